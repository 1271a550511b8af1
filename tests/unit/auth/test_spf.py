"""SPF evaluation."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from milter.adapters.dns_zone import Records
from milter.auth import spf
from milter.model.domain import Domain
from milter.model.evidence import AuthResult
from milter.model.limits import Limits
from tests.helpers.authentication import LIMITS, mail_from
from tests.helpers.dns import DictResolver

PASS, FAIL, SOFTFAIL, NEUTRAL, NONE = AuthResult.PASS, AuthResult.FAIL, AuthResult.SOFTFAIL, AuthResult.NEUTRAL, AuthResult.NONE
TEMPERROR, PERMERROR = AuthResult.TEMPERROR, AuthResult.PERMERROR
ZONE: Records = {
    "host.example": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "many.example": {"MX": [f"{n} m{n}.many.example" for n in range(11)]},
    "mail.example": {"MX": ["20 host.example", "10 gone.example"]},
    "null.example": {"MX": ["0 "]},
    "pass.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "soft.example": {"TXT": ["v=spf1 ~all"]},
    "nospf.example": {"A": ["192.0.2.1"]},
    "broken.example": {"TXT": ["v=spf1 foo"]},
    "dead.example": "SERVFAIL",
    "slow.example": "TIMEOUT",
    "loop.example": {"TXT": ["v=spf1 include:loop.example -all"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["host.example", "liar.example"]},
    "liar.example": {"A": ["192.0.2.99"]},
    "192.0.2.1.list.example": {"A": ["127.0.0.2"]},
}


async def ask(record: str, *, ip: str = "192.0.2.1", zone: Records | None = None, limits: Limits = LIMITS) -> spf.Outcome:
    """Evaluate one record at example.org."""
    resolver = DictResolver({**ZONE, **(zone or {}), "example.org": {"TXT": [record]}})
    return await spf.check_host(ip_address(ip), spf.Identity("mailfrom", "user", Domain("example.org")), "mx.example.org", resolver, limits)


@pytest.mark.parametrize(
    ("record", "result", "cause"),
    [
        ("v=spf1 -all", FAIL, "-all"),
        ("v=spf1 ~all", SOFTFAIL, "~all"),
        ("v=spf1 ?all", NEUTRAL, "?all"),
        ("v=spf1", NEUTRAL, "no term matched"),
        ("v=spf1 ip4:192.0.2.0/30 -all", PASS, "ip4:192.0.2.0/30"),
        ("v=spf1 ip4:192.0.2.2 ip6:2001:db8::1 -all", FAIL, "-all"),
        ("v=spf1 a:host.example -all", PASS, "a:host.example"),
        ("v=spf1 a:HOST.example. -all", PASS, "a:HOST.example."),
        ("v=spf1 mx:mail.example -all", PASS, "mx:mail.example"),
        ("v=spf1 mx:null.example -all", FAIL, "-all"),
        ("v=spf1 mx:many.example -all", PERMERROR, "mx:many.example: more than 10 names"),
        ("v=spf1 include:pass.example -all", PASS, "include:pass.example"),
        ("v=spf1 include:soft.example -all", FAIL, "-all"),
        ("v=spf1 include:nospf.example -all", PERMERROR, "include:nospf.example: no SPF record"),
        ("v=spf1 include:gone.example -all", PERMERROR, "include:gone.example: no SPF record"),
        ("v=spf1 include:broken.example -all", PERMERROR, "broken.example: cannot read foo"),
        ("v=spf1 include:dead.example -all", TEMPERROR, "TXT dead.example: servfail"),
        ("v=spf1 a:slow.example -all", TEMPERROR, "A slow.example: timeout"),
        ("v=spf1 ip4:192.0.2.1 a:slow.example", PASS, "ip4:192.0.2.1"),
        ("v=spf1 redirect=pass.example", PASS, "ip4:192.0.2.1"),
        ("v=spf1 ?all redirect=pass.example", NEUTRAL, "?all"),
        ("v=spf1 redirect=gone.example", PERMERROR, "redirect=gone.example: no SPF record"),
        ("v=spf1 ptr:host.example -all", PASS, "ptr:host.example"),
        ("v=spf1 ptr:example -all", PERMERROR, "cannot read ptr:example"),
        ("v=spf1 ptr:liar.example -all", FAIL, "-all"),
        ("v=spf1 exists:%{i}.list.example -all", PASS, "exists:%{i}.list.example"),
        ("v=spf1 exists:%{ir}.list.example -all", FAIL, "-all"),
        ("v=spf1 include:loop.example", PERMERROR, "more than 10 terms that cost a lookup"),
        ("v=spf1 a:g1.example a:g2.example -all", FAIL, "-all"),
        ("v=spf1 a:g1.example a:g2.example a:g3.example -all", PERMERROR, "more than 2 lookups without an answer"),
        ("v=spf1 " + "a:liar.example " * 10 + "-all", FAIL, "-all"),
        ("v=spf1 " + "a:liar.example " * 11 + "-all", PERMERROR, "more than 10 terms that cost a lookup"),
        ("v=spf1 a:" + "x" * 64 + ".example -all", FAIL, "-all"),
    ],
)  # fmt: skip
async def test_results(record: str, result: AuthResult, cause: str) -> None:
    """Each result is told with the term that matched or with what went wrong."""
    outcome = await ask(record)
    assert outcome.result is result
    assert cause in outcome.cause


async def test_ipv6_and_mapped_addresses() -> None:
    """An IPv6 client is matched by AAAA and ip6; an IPv4-mapped address is IPv4 (RFC 7208 §5)."""
    assert (await ask("v=spf1 a:host.example -all", ip="2001:db8::1")).result is PASS
    assert (await ask("v=spf1 ip6:2001:db8::/32 -all", ip="2001:db8::1")).result is PASS
    resolver = DictResolver(ZONE)
    fact, _ = await spf.check(mail_from(b"", ip="::ffff:192.0.2.1", sender="a@pass.example"), resolver, LIMITS)
    assert fact.result is PASS


async def test_limits_are_settable() -> None:
    """Both lookup limits come from the settings."""
    record = "v=spf1 a:g1.example a:g2.example a:g3.example a:liar.example -all"
    assert (await ask(record, limits=Limits(spf_void_lookups=3))).result is FAIL
    assert (await ask(record, limits=Limits(spf_void_lookups=9, spf_lookups=3))).result is PERMERROR


async def test_explanation_is_read_only_when_wanted() -> None:
    """The sender's explanation costs a lookup only when the caller asks for it (RFC 7208 §6.2)."""
    resolver = DictResolver({"example.org": {"TXT": ["v=spf1 -all exp=why.example"]}, "why.example": {"TXT": ["%{i} may not send"]}})
    identity = spf.Identity("mailfrom", "user", Domain("example.org"))
    client = ip_address("192.0.2.9")
    assert (await spf.check_host(client, identity, "h.example", resolver, LIMITS)).explanation == ""
    assert len(resolver.calls) == 1
    outcome = await spf.check_host(client, identity, "h.example", resolver, LIMITS, explain=True)
    assert outcome.explanation == "192.0.2.9 may not send"


@pytest.mark.parametrize(
    ("sender", "helo", "mail_from_domain", "helo_domain"),
    [
        ("a@Pass.Example", "mx.example.org", "pass.example", "mx.example.org"),
        ('"a@b"@pass.example', "[192.0.2.1]", "pass.example", None),
        ("", "Mx.example.org.", "mx.example.org", "mx.example.org"),
        ("", "localhost", None, None),
        ("nodomain", "", None, None),
        ("(a@insurer.example", "h.example", None, "h.example"),
        ("a@insurer.example(b.evil.example", "h(.example", None, None),
        ("@relay.example,@b.example:a@c.example", "h.example", "c.example", "h.example"),
        ("a@b c.example", "a b", None, None),
        ("a@insurer.example'@b.evil.example", "h.example", "b.evil.example", "h.example"),
        ("a@" + "x" * 64 + ".example", "a..b", None, None),
        ("a@assuré.example", "h\xe9.example", "xn--assur-fsa.example", "xn--h-bga.example"),
    ],
)
def test_identities(sender: str, helo: str, mail_from_domain: str | None, helo_domain: str | None) -> None:
    """MAIL FROM and HELO are apart; the null sender is postmaster at the HELO name (RFC 7208 §2.4)."""
    first, second = spf.identities(mail_from(b"", sender=sender, helo=helo))
    assert (first.name, second.name) == ("mailfrom", "helo")
    assert (first.domain and first.domain.name, second.domain and second.domain.name) == (mail_from_domain, helo_domain)
    assert spf.questions((first, second)) == [(name, "TXT") for name in (mail_from_domain, helo_domain) if name]


async def test_both_identities_have_their_own_fact() -> None:
    """A HELO pass stays beside a MAIL FROM fail."""
    resolver = DictResolver({**ZONE, "helo.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}, "from.example": {"TXT": ["v=spf1 -all"]}})
    sender, helo = await spf.check(mail_from(b"", sender="a@from.example", helo="helo.example"), resolver, LIMITS)
    assert (sender.identity, sender.result, sender.cause) == ("mailfrom", FAIL, "-all")
    assert (helo.identity, helo.result) == ("helo", PASS)


async def test_null_sender_is_evaluated_once() -> None:
    """For a null sender both facts come from one evaluation."""
    resolver = DictResolver(ZONE)
    sender, helo = await spf.check(mail_from(b"", sender="", helo="pass.example"), resolver, LIMITS)
    assert (sender.result, helo.result, len(resolver.calls)) == (PASS, PASS, 1)


@pytest.mark.parametrize("ip", [None, "", "not an address"])
async def test_without_a_client_address_nothing_is_guessed(ip: str | None) -> None:
    """Without a usable client address both results are `none` and nothing is asked."""
    resolver = DictResolver(ZONE)
    facts = await spf.check(mail_from(b"", ip=ip), resolver, LIMITS)
    assert [fact.result for fact in facts] == [NONE, NONE]
    assert resolver.calls == []


async def test_macro_bombs_stay_small() -> None:
    """A record full of macros cannot make names that are longer than the DNS allows."""
    resolver = DictResolver({"example.org": {"TXT": ["v=spf1 exists:" + "%{s}" * 300 + ".example.org -all"]}})
    identity = spf.Identity("mailfrom", "x" * 200, Domain("example.org"))
    outcome = await spf.check_host(ip_address("192.0.2.1"), identity, "h.example", resolver, LIMITS)
    assert outcome.result is FAIL
    assert all(len(name) <= 253 for name, _ in resolver.calls)
