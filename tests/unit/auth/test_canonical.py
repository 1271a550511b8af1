"""Canonical octets of DKIM."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth import canonical
from milter.auth.canonical import Canonical, canonical_body, fold_blanks, relaxed_value
from tests.helpers.authentication import read

SIMPLE_RELAXED = [
    (b"", b"\r\n", b""),
    (b"\r\n", b"\r\n", b""),
    (b"\r\n\r\n", b"\r\n", b""),
    (b"a", b"a\r\n", b"a\r\n"),
    (b"a\r\n", b"a\r\n", b"a\r\n"),
    (b"a\r\n\r\n\r\n", b"a\r\n", b"a\r\n"),
    (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5
    (b"a \t\r\n \t\r\n", b"a \t\r\n \t\r\n", b"a\r\n"),
    (b"a\r\n ", b"a\r\n \r\n", b"a\r\n"),
    (b"a\t", b"a\t\r\n", b"a\r\n"),
    (b"a\r\r\n\r\n", b"a\r\r\n", b"a\r\r\n"),
    (b"a\n\r\n\r\n", b"a\n\r\n", b"a\n\r\n"),
    (b"\n\r\n", b"\n\r\n", b"\n\r\n"),
    (b"a\n", b"a\n\r\n", b"a\n\r\n"),
    (b"a\r", b"a\r\r\n", b"a\r\r\n"),
    (b" ", b" \r\n", b""),
    (b"a\x0b  \x0cb\r\n", b"a\x0b  \x0cb\r\n", b"a\x0b \x0cb\r\n"),
]


@pytest.mark.parametrize(("body", "simple", "relaxed"), SIMPLE_RELAXED)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes) -> None:
    """Bodies lose trailing empty lines, and relaxed ones their superfluous blanks (RFC 6376 §3.4.3, §3.4.4)."""
    assert bytes(canonical_body(body, relaxed=False)) == simple
    assert bytes(canonical_body(body, relaxed=True)) == relaxed


@pytest.mark.parametrize(
    ("value", "relaxed"),
    [(b" X", b"X"), (b"  Y\t\r\n\tZ  ", b"Y Z"), (b"", b""), (b" \r\n \r\n x", b"x"), (b"a\x0bb", b"a\x0bb"), (b"a\r b", b"a\r b")],
)
def test_values(value: bytes, relaxed: bytes) -> None:
    """Values are unfolded, blanks made one and dropped at the ends (RFC 6376 §3.4.2)."""
    assert relaxed_value(value) == relaxed


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"\x0b", b"\xff"]), max_size=14).map(b"".join))
def test_bodies_equal_a_plain_reading(body: bytes) -> None:
    """Invariant: the fast canonicalisation equals one that goes line by line as the RFC words it."""
    lines = body.split(b"\r\n")
    ended = lines[-1] == b""
    if ended:
        lines.pop()
    plain = {False: list(lines), True: [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]}
    for relaxed, kept in plain.items():
        while kept and not kept[-1]:
            kept.pop()
        expected = b"".join(line + b"\r\n" for line in kept) or (b"" if relaxed else b"\r\n")
        assert bytes(canonical_body(body, relaxed=relaxed)) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_folding_is_idempotent(octets: bytes) -> None:
    """Invariant: folding blanks twice changes nothing more, and leaves no two blanks in a row."""
    folded = fold_blanks(octets)
    assert fold_blanks(folded) == folded
    assert b"  " not in folded


def test_fields_are_taken_from_the_bottom() -> None:
    """A name in h= takes the lowest field not yet taken; a name too many takes nothing (RFC 6376 §5.4.2)."""
    canonical = Canonical(read(b"X: 1\r\nx : 2\r\nY:  a\r\n\tb\r\n\r\nbody"))
    assert canonical.fields_signed(("x", "y", "x", "x", "z"), relaxed=True) == b"x:2\r\ny:a b\r\nx:1\r\n"
    assert canonical.fields_signed(("x", "y"), relaxed=False) == b"x : 2\r\nY:  a\r\n\tb\r\n"


def test_body_hash_of_a_part() -> None:
    """A hash over l= octets is that of the beginning alone, and both are kept apart."""
    canonical = Canonical(read(b"X: 1\r\n\r\nabc\r\n"))
    assert canonical.body_length(relaxed=True) == 5
    hashes = {canonical.body_hash(relaxed=True, length=length) for length in (None, 5, 3, 0)}
    assert len(hashes) == 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b" ", b"\t", b"  ", b"a", b"\r\n", b" " * 40]), max_size=60).map(b"".join), st.sampled_from([1, 2, 7]))
def test_many_octets_fold_like_few(octets: bytes, piece: int) -> None:
    """Wherever a long body is cut, each run of blanks becomes one."""
    with pytest.MonkeyPatch.context() as patch:
        few = canonical.fold_blanks(octets)
        patch.setattr(canonical, "_MANY", 0)
        patch.setattr(canonical, "_PIECE", piece)
        assert canonical.fold_blanks(octets) == few
