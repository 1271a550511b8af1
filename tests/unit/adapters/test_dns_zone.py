"""The made-up DNS of demo, bench and tests."""

from __future__ import annotations

import pytest

from milter.adapters.dns_zone import Zone, read_zone
from milter.auth.resolver import DnsStatus
from tests.helpers.dns import DictResolver

ZONE = """
# a comment
example.test TXT v=spf1 ip4:192.0.2.1 -all
example.test TXT "two " "strings \\" quoted"
example.test MX 10 mx.example.test.
a.b.example.test A 192.0.2.7
www.example.test CNAME a.b.example.test
loop.test CNAME loop.test
dead.test SERVFAIL
slow.test TXT TIMEOUT
slow.test A 192.0.2.9
"""


@pytest.mark.parametrize(
    ("name", "kind", "status", "values"),
    [
        ("example.test", "TXT", DnsStatus.OK, ("v=spf1 ip4:192.0.2.1 -all", 'two strings " quoted')),
        ("EXAMPLE.test.", "MX", DnsStatus.OK, ("10 mx.example.test.",)),
        ("example.test", "AAAA", DnsStatus.NODATA, ()),
        ("b.example.test", "TXT", DnsStatus.NODATA, ()),
        ("x.example.test", "TXT", DnsStatus.NXDOMAIN, ()),
        ("www.example.test", "A", DnsStatus.OK, ("192.0.2.7",)),
        ("www.example.test", "TXT", DnsStatus.NODATA, ()),
        ("loop.test", "A", DnsStatus.SERVFAIL, ()),
        ("dead.test", "TXT", DnsStatus.SERVFAIL, ()),
        ("dead.test", "A", DnsStatus.SERVFAIL, ()),
        ("slow.test", "TXT", DnsStatus.TIMEOUT, ()),
        ("slow.test", "A", DnsStatus.OK, ("192.0.2.9",)),
    ],
)
def test_zone_text_answers_like_a_resolver(name: str, kind: str, status: DnsStatus, values: tuple[str, ...]) -> None:
    """A zone text tells records, NODATA, NXDOMAIN, aliases and planned failures apart."""
    found = read_zone(ZONE).find(name, kind)
    assert (found.status, found.values) == (status, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example.test", "line 1: expected `name KIND value` or `name FAILURE`"),
        ("\na.test BROKEN", "line 2: unknown failure 'BROKEN'; known: NXDOMAIN, NODATA, SERVFAIL, TIMEOUT, REFUSED, MALFORMED"),
        ('a.test TXT "x', "line 1: double quote not closed"),
        ('a.test TXT "x" y', "line 1: text outside the double quotes"),
    ],
)
def test_zone_text_says_what_is_wrong(text: str, message: str) -> None:
    """A wrong line of a zone text is named with its number."""
    with pytest.raises(ValueError, match="line") as caught:
        read_zone(text)
    assert str(caught.value) == message


async def test_dictionary_resolver_records_its_calls() -> None:
    """The dictionary resolver answers as the protocol says and records what it was asked."""
    resolver = DictResolver({"Example.test": {"TXT": [b"\xff", "é"], "MX": ["10 MX.example.test."]}, "no.test": "NXDOMAIN"})
    assert (await resolver.query("example.test", "TXT")).texts == (b"\xff", "é".encode())
    assert (await resolver.query("example.test.", "MX")).names == ("10 mx.example.test",)
    assert (await resolver.query("no.test", "A")).status is DnsStatus.NXDOMAIN
    assert resolver.calls == [("example.test", "TXT"), ("example.test", "MX"), ("no.test", "A")]


def test_zone_takes_records_one_by_one() -> None:
    """Values can be added beside those that are there."""
    zone = Zone({"a.test": {"A": ["192.0.2.1"]}})
    zone.add("a.test", "a", "192.0.2.2")
    assert zone.find("a.test", "A").values == ("192.0.2.1", "192.0.2.2")
