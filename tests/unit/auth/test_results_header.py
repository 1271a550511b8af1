"""Authentication-Results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth.results_header import is_ours, render
from milter.model.domain import Domain
from milter.model.evidence import ArcFact, AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from tests.helpers.authentication import mail_from

INSURER = Domain("insurer.example")
FACTS = AuthFacts(
    spf=SpfFact(AuthResult.PASS, INSURER, "mailfrom", "ip4:192.0.2.1"),
    helo=SpfFact(AuthResult.NONE, Domain("mx.insurer.example"), "helo", "no SPF record"),
    dkim=(DkimFact(AuthResult.PASS, INSURER, "s1"), DkimFact(AuthResult.FAIL, Domain("list.example"), "s2", "body was changed")),
    dmarc=DmarcFact(AuthResult.PASS, INSURER, INSURER, "reject", dkim_aligned=True),
    arc=ArcFact(AuthResult.FAIL, (), "sets are not complete"),
)


def test_the_whole_field() -> None:
    """Each method has a line of its own, with its reason unless it passed, and the properties of RFC 8601."""
    assert render(FACTS, mail_from(b""), "mx.home.example").decode().split("\r\n\t") == [
        "mx.home.example;",
        "spf=pass smtp.mailfrom=camille@insurer.example;",
        'spf=none reason="no SPF record" smtp.helo=mx.insurer.example;',
        'dkim=pass header.d=insurer.example header.s=s1;',
        'dkim=fail reason="body was changed" header.d=list.example header.s=s2;',
        "dmarc=pass header.from=insurer.example policy.dmarc=reject;",
        'arc=fail reason="sets are not complete"',
    ]  # fmt: skip


def test_missing_facts() -> None:
    """Without signature, author and sender the methods say so, and empty properties are left out."""
    nothing = SpfFact(AuthResult.NONE, None, cause="client address unknown")
    facts = AuthFacts(nothing, nothing, (), DmarcFact(AuthResult.NONE, reason="several_from_fields"))
    assert render(facts, mail_from(b"", sender="", helo=""), "mx.home.example").decode().split("\r\n\t") == [
        "mx.home.example;",
        'spf=none reason="client address unknown";',
        'spf=none reason="client address unknown";',
        "dkim=none;",
        'dmarc=none reason="several from fields"',
    ]


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        ('"a b"@insurer.example', b'smtp.mailfrom="\\"a b\\"@insurer.example"'),
        ("a;b@insurer.example", b'smtp.mailfrom="a;b@insurer.example"'),
        ("a\r\nX-Evil: 1@x.example", b'smtp.mailfrom="a??X-Evil: 1@x.example"'),
        ("é@x.example", b'smtp.mailfrom="?@x.example"'),
        ("a\\@x.example", b'smtp.mailfrom="a\\\\@x.example"'),
        ("x" * 5000, b'smtp.mailfrom="' + b"x" * 200 + b'"'),
    ],
)
def test_hostile_senders_are_quoted(sender: str, written: bytes) -> None:
    """What is no plain token becomes a quoted string of printable ASCII, cut where it is long."""
    assert written + b";" in render(FACTS, mail_from(b"", sender=sender), "mx.home.example")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_escapes(sender: str, cause: str) -> None:
    """Invariant: whatever sender and cause say, the field has its six lines, printable ASCII only, and one authserv-id."""
    facts = AuthFacts(SpfFact(AuthResult.FAIL, None, cause=cause), FACTS.helo, FACTS.dkim, FACTS.dmarc)
    value = render(facts, mail_from(b"", sender=sender), "mx.home.example")
    lines = value.split(b"\r\n\t")
    assert len(lines) == 6
    assert all(line.isascii() and line.decode().isprintable() for line in lines)
    assert is_ours(value, "mx.home.example")


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b" mx.home.example; spf=pass", True),
        (b" MX.Home.EXAMPLE ; none", True),
        (b"mx.home.example", True),
        (b" mx.home.example. ; x", True),
        (b" mx.home.example 1; spf=pass", True),
        (b" mx.home.example/1; spf=pass", True),
        (b"\r\n\tmx.home.example\r\n\t1;", True),
        (b' "mx.home.example" 1; x', True),
        (b' "mx.home\\.example"; x', True),
        (b" (a (nested; comment) \\) \") mx.home.example (b); x", True),
        (b"(unclosed mx.home.example; x", False),
        (b" mx.home.example.evil.example; x", False),
        (b" other.example; (mx.home.example)", False),
        (b" other.example; mx.home.example; x", False),
        (b"", False),
        (b";", False),
        (b"\xff\xfe", False),
    ],
)  # fmt: skip
def test_a_copy_of_ours_is_told(value: bytes, *, ours: bool) -> None:
    """Our authserv-id is found at any case, folding, comment, quoting and version token; others are left alone."""
    assert is_ours(value, "mx.home.example") is ours


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_octets_are_read(value: bytes) -> None:
    """Invariant: no octets make the reader raise."""
    assert is_ours(value, "mx.home.example") in (True, False)


@pytest.mark.parametrize(
    ("value", "ours"), [(b" " + b"(" * 900_000, True), (b" mx.example" + b"(" * 900_000, True), (b" other.example" + b"(" * 900_000, False)]
)
def test_an_id_behind_a_flood_of_comment_is_not_searched(value: bytes, *, ours: bool) -> None:
    """Only the first kilobytes are read; a field that hides its id behind them is taken for ours."""
    assert is_ours(value, "mx.example") is ours
