"""Bare CR, bare LF and NUL."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.actions import smtp_client
from milter.fronts.line_ends import Stray, find_stray, normalise


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"a\r\nb\r\n", None),
        (b"a\nb\r\n", Stray("bare <LF>", 1)),
        (b"a\r\nb\rc\r\n", Stray("bare <CR>", 2)),
        (b"a\r\r\n", Stray("bare <CR>", 1)),
        (b"a\r\n\n", Stray("bare <LF>", 2)),
        (b"a\r\n\r\n\0\r\n", Stray("NUL", 3)),
        (b"\0\r\n\n", Stray("NUL", 1)),
        (b"\n\r", Stray("bare <LF>", 1)),
        (b"a\r", Stray("bare <CR>", 1)),
    ],
)
def test_find(content: bytes, expected: Stray | None) -> None:
    """The first octet without a place is found and named with its line."""
    assert find_stray(content) == expected


def test_find_only_nul() -> None:
    """Where line ends are normalised, only NUL is still a reason to refuse."""
    assert find_stray(b"a\nb\rc\r\n", only_nul=True) is None
    assert find_stray(b"a\nb\r\nc\0\n", only_nul=True) == Stray("NUL", 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\r\n", b"a \r\nb\r\n"),
        (b"a\rb\r\n", b"a b\r\n"),
        (b"\n.\n", b"\r\n.\r\n"),
        (b"\r.\r", b" . "),
        (b"\n\r\n\r", b"\r\n\r\n "),
        (b"a\r\n", b"a\r\n"),
    ],
)
def test_normalise(content: bytes, expected: bytes) -> None:
    """A bare LF becomes a line end, a bare CR a blank."""
    assert normalise(content) == expected


def test_normalise_refuses_nul() -> None:
    """NUL is for the caller to refuse."""
    with pytest.raises(ValueError, match="NUL"):
        normalise(b"\0")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n"]), max_size=30).map(b"".join))
def test_normalised_mail_may_be_sent(content: bytes) -> None:
    """Invariant: what normalise gives has no stray line end, and stuffed for DATA it holds no line of one dot."""
    clean = normalise(content)
    assert find_stray(clean) is None
    assert normalise(clean) == clean
    assert b"\r\n.\r\n" not in b"\r\n" + smtp_client.stuffed(clean)
