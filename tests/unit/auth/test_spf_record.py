"""SPF records."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth.spf_record import BadRecord, SpfRecord, choose_record, read_record
from milter.model.evidence import AuthResult


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("v=spf1", []),
        ("v=spf1 -all", [("all", AuthResult.FAIL, 32, 128)]),
        ("V=SpF1  ?ALL ", [("all", AuthResult.NEUTRAL, 32, 128)]),
        (
            "v=spf1 a mx/24 a:x.example/24//64 mx//0",
            [("a", AuthResult.PASS, 32, 128), ("mx", AuthResult.PASS, 24, 128), ("a", AuthResult.PASS, 24, 64), ("mx", AuthResult.PASS, 32, 0)],
        ),
        ("v=spf1 a:%{l/}.x.example/8", [("a", AuthResult.PASS, 8, 128)]),
        (
            "v=spf1 ~ptr +include:a.example exists:%{i}.x.example",
            [("ptr", AuthResult.SOFTFAIL, 32, 128), ("include", AuthResult.PASS, 32, 128), ("exists", AuthResult.PASS, 32, 128)],
        ),
        ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32", [("ip4", AuthResult.PASS, 32, 128), ("ip6", AuthResult.PASS, 32, 128)]),
        ("v=spf1 unknown=%{d} moo.cow-far_out=a -all", [("all", AuthResult.FAIL, 32, 128)]),
    ],
)
def test_terms(text: str, terms: list[tuple[str, AuthResult, int, int]]) -> None:
    """Each mechanism gives its name, qualifier and prefix lengths."""
    record = read_record(text.encode())
    assert isinstance(record, SpfRecord)
    assert [(term.name, term.result, term.bits4, term.bits6) for term in record.terms] == terms


@pytest.mark.parametrize(
    "term",
    [
        "a:", "a:/24", "a/33", "a/-1", "a/08", "a//129", "a/24/64", "mx:com", "all:x", "all/8", "-all.", "ip4", "ip4:", "ip4:1.2.3",
        "ip4:1.2.3.4/33", "ip4:1.2.3.4/", "ip4:1.2.3.4//32", "ip4:2001:db8::1", "ip6:192.0.2.1", "ip6:::1/129", "ip6:::1%eth0", "include",
        "include:", "include:x.example/24", "exists:", "exists:%", "ptr:", "ptr:a/24", "foo", "-", "=x", "redirect=", "redirect=a b",
        "redirect=x.example redirect=y.example", "exp=a.b exp=a.b", "a=%", "default=%{x}", "ip4:١.2.3.4", "a\t-all", "1a=x",
    ],
)  # fmt: skip
def test_wrong_terms_void_the_whole_record(term: str) -> None:
    """One term that cannot be read makes the record unusable, even behind a term that matches (RFC 7208 §4.6)."""
    record = read_record(f"v=spf1 +all {term}".encode())
    assert isinstance(record, BadRecord)
    assert record.cause


def test_modifiers() -> None:
    """redirect and exp are read, in any place."""
    record = read_record(b"v=spf1 redirect=a.example exp=%{d}.b.example mx")
    assert isinstance(record, SpfRecord)
    assert record.redirect is not None
    assert record.redirect.fixed == "a.example"
    assert record.explanation is not None


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((b"v=spf1 -all", b"other"), True),
        ((b"V=SPF1",), True),
        ((b"v=spf10 -all", b"v=spf1-all", b" v=spf1", b"v=spf1\t-all", b"v=spf"), False),
        ((), False),
    ],
)
def test_choosing_the_record(texts: tuple[bytes, ...], *, found: bool) -> None:
    """Only a record of exactly this version counts (RFC 7208 §4.5)."""
    assert isinstance(choose_record(texts), SpfRecord) is found


def test_two_records_are_an_error() -> None:
    """Two SPF records at one name are an error, not a choice."""
    assert choose_record((b"v=spf1 -all", b"v=spf1 +all")) == BadRecord("more than one SPF record")


@pytest.mark.parametrize(
    ("octets", "cause"), [(b"v=spf1 " + b"a" * 20_000, "record is too long"), ("v=spf1 a:é.example".encode(), "record is not ASCII")]
)
def test_records_beyond_reason(octets: bytes, cause: str) -> None:
    """Overlong and non-ASCII records are errors."""
    assert read_record(octets) == BadRecord(cause)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aimxpt4610:/=%{}d.-+~? ", max_size=60) | st.binary(max_size=40).map(lambda octets: octets.decode("latin-1")))
def test_any_text_is_read(text: str) -> None:
    """Invariant: no text makes reading a record raise."""
    assert isinstance(read_record(b"v=spf1 " + text.encode()), SpfRecord | BadRecord)
