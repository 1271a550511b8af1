"""The door of authentication."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.adapters.dns_zone import Records
from milter.auth.collect import collect
from milter.model.evidence import AuthFacts, AuthResult
from tests.helpers.authentication import LIMITS, NOW, PLAIN, key_record, mail_from, read, rsa_key, signed
from tests.helpers.dns import DictResolver

KEY = "s1._domainkey.insurer.example"
ZONE: Records = {
    KEY: {"TXT": [key_record(rsa_key())]},
    "insurer.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.insurer.example": {"TXT": ["v=DMARC1; p=reject"]},
    "bounce.sender.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
}


async def facts(raw: bytes, zone: Records = ZONE, *, ip: str | None = "192.0.2.1", sender: str = "camille@insurer.example") -> AuthFacts:
    """The facts of a mail in a made-up DNS."""
    return await collect(mail_from(raw, ip=ip, sender=sender), read(raw), DictResolver(zone), LIMITS, seconds=5.0, now=NOW)


async def test_a_genuine_mail() -> None:
    """A signed mail from the right client proves its author by both ways."""
    found = await facts(signed())
    assert [str(domain) for domain in found.proven] == ["insurer.example"]
    assert (found.author_proven, found.doubts, found.dns_trouble) == (True, (), False)
    assert (found.dmarc.result, found.dmarc.dkim_aligned) == (AuthResult.PASS, True)


@pytest.mark.parametrize(
    ("raw", "sender", "proven", "author_proven"),
    [
        (signed(), "x@bounce.sender.example", ["insurer.example", "bounce.sender.example"], True),
        (PLAIN, "x@bounce.sender.example", ["bounce.sender.example"], False),
        (signed().replace(b"Bonjour", b"Bonsoir"), "x@bounce.sender.example", ["bounce.sender.example"], False),
        (signed(length=True) + b"More\r\n", "x@bounce.sender.example", ["bounce.sender.example"], False),
        (b"From: Eve <eve@evil.example>\r\n" + signed(), "x@bounce.sender.example", ["insurer.example", "bounce.sender.example"], False),
        (PLAIN, "", [], False),
    ],
)
async def test_what_is_proven(raw: bytes, sender: str, proven: list[str], *, author_proven: bool) -> None:
    """Only whole signatures and MAIL FROM prove a domain, and only an aligned one proves a single author."""
    found = await facts(raw, sender=sender)
    assert [str(domain) for domain in found.proven] == proven
    assert found.author_proven is author_proven


async def test_a_part_signed_body_passes_dmarc_but_proves_nothing() -> None:
    """RFC 9989 counts a signature with l=; we report its pass and do not take it for proof of the author."""
    found = await facts(signed(length=True) + b"More\r\n", sender="x@bounce.sender.example")
    assert (found.dmarc.result, found.author_proven) == (AuthResult.PASS, False)


async def test_strangers_below_a_public_suffix_do_not_prove_each_other() -> None:
    """A suffix that publishes a record makes its tenants one organization by the letter; for proof they stay strangers."""
    zone: Records = {**ZONE, "_dmarc.insurer.example": "NXDOMAIN", "_dmarc.example": {"TXT": ["v=DMARC1; p=none"]}}
    found = await facts(PLAIN, zone, sender="x@bounce.sender.example")
    assert (found.dmarc.result, found.dmarc.spf_aligned, found.author_proven) == (AuthResult.PASS, True, False)


async def test_helo_proves_nothing() -> None:
    """A HELO pass is a fact, but no proven domain."""
    zone: Records = {"mx.insurer.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}
    found = await facts(PLAIN, zone)
    assert (found.helo.result, found.proven) == (AuthResult.PASS, ())


async def test_known_names_are_asked_side_by_side() -> None:
    """Keys, the author's record and both SPF domains are announced before the first answer is awaited."""
    resolver = DictResolver(ZONE)
    raw = signed()
    await collect(mail_from(raw), read(raw), resolver, LIMITS, seconds=5.0, now=NOW)
    assert sorted(resolver.prefetched) == sorted(
        [(KEY, "TXT"), ("_dmarc.insurer.example", "TXT"), ("insurer.example", "TXT"), ("mx.insurer.example", "TXT")]
    )
    assert set(resolver.prefetched) <= set(resolver.calls)


async def test_dead_dns_is_doubt() -> None:
    """With a dead DNS every fact is temperror with its cause, nothing is proven, and the doubts name each."""
    zone: Records = dict.fromkeys((KEY, "insurer.example", "mx.insurer.example", "_dmarc.insurer.example"), "TIMEOUT")
    found = await facts(signed(), zone)
    assert {found.spf.result, found.helo.result, found.dkim[0].result, found.dmarc.result} == {AuthResult.TEMPERROR}
    assert (found.proven, found.author_proven, found.dns_trouble) == ((), False, True)
    assert found.doubts == (
        "spf: TXT insurer.example: timeout",
        "dkim: insurer.example: key lookup: timeout",
        "dmarc: record lookup",
    )


async def test_ignored_signatures_are_named() -> None:
    """Signatures beyond the limit are a doubt that is named."""
    raw = signed()
    found = await facts(raw[: raw.index(b"From:")] * 12 + PLAIN)
    assert len(found.dkim) == LIMITS.dkim_signatures
    assert found.doubts == ("dkim: 2 more signatures not verified",)


async def test_without_client_address_spf_is_none_and_unasked() -> None:
    """SPF without a client address is none, and its names are not asked for."""
    resolver = DictResolver(ZONE)
    raw = signed()
    found = await collect(mail_from(raw, ip=None), read(raw), resolver, LIMITS, seconds=5.0, now=NOW)
    assert (found.spf.result, found.helo.result, found.author_proven) == (AuthResult.NONE, AuthResult.NONE, True)
    assert ("insurer.example", "TXT") not in resolver.calls + resolver.prefetched


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "blanks in the body": lambda n: signed() + b" " * n * 100,
    "blanks before each line end": lambda n: signed() + (b"a" + b" \t" * 50 + b"\r\n") * n,
    "empty lines at the end": lambda n: signed() + b"\r\n" * n * 50,
    "bare line ends": lambda n: signed() + b"\r" * n * 50 + b"\n" * n * 50,
    "many fields and many names": lambda n: (
        b"".join(b"X%d: 1\r\n" % (i % 90) for i in range(n // 2)) + signed(names=("from", *(f"x{i}" for i in range(90))))
    ),
    "fields": lambda n: b"".join(b"X: %d\r\n" % i for i in range(n // 2)) + signed(),
    "folds in a value": lambda n: b"Subject: " + b"a\r\n " * n * 5 + b"\r\n" + signed(),
    "semicolons in a signature": lambda n: b"DKIM-Signature: v=1" + b";" * n * 20 + b"\r\n" + PLAIN,
    "signatures": lambda n: b"DKIM-Signature: v=1; a=b\r\n" * (n // 2) + PLAIN,
    "seals": lambda n: b"".join(b"ARC-Seal: i=%d; cv=none\r\n" % i for i in range(n // 2)) + PLAIN,
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_mails_cost_no_more_than_their_size(kind: str) -> None:
    """Four times the octets cost at most six times the time."""
    make = HOSTILE[kind]

    async def cost(size: int) -> float:
        raw = make(size)
        message, mail, best = read(raw), mail_from(raw), 9.0
        for _ in range(3):
            start = time.process_time()
            await collect(mail, message, DictResolver(ZONE), LIMITS, seconds=5.0, now=NOW)
            best = min(best, time.process_time() - start)
        return best

    # what a small mail costs anyway is no growth
    small, large = await cost(500), await cost(2000)
    assert large <= 6 * small + 0.002


FLIPPED = signed()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(FLIPPED) - 1), st.integers(0, 255)), max_size=4), st.binary(max_size=20), st.text(max_size=20))
async def test_any_mail_gives_facts(flips: list[tuple[int, int]], head: bytes, sender: str) -> None:
    """Invariant: no mail makes authentication raise, and a broken signature never proves the author."""
    octets = bytearray(FLIPPED)
    for at, octet in flips:
        octets[at] = octet
    raw = head + bytes(octets)
    found = await facts(raw, sender=sender, ip="203.0.113.9")
    assert not found.author_proven or found.dkim[0].result is AuthResult.PASS
