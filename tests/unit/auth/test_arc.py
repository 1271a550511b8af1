"""ARC chain validation."""

from __future__ import annotations

import dkim as dkimpy
import pytest

from milter.auth import arc
from milter.auth.canonical import Canonical
from milter.model.evidence import ArcFact, AuthResult
from milter.model.limits import Limits
from tests.helpers.authentication import LIMITS, PLAIN, key_record, read, rsa_key, sealed
from tests.helpers.dns import DictResolver

NAME = "s1._domainkey.list.example"
DNS = {NAME: {"TXT": [key_record(rsa_key())]}}


async def validate(raw: bytes, resolver: DictResolver | None = None, *, limits: Limits = LIMITS) -> ArcFact:
    """Validate the chain of a mail."""
    message = read(raw)
    return await arc.validate(message, Canonical(message), resolver or DictResolver(DNS), limits)


async def test_mails_without_a_chain() -> None:
    """A mail without ARC fields has no chain, and nothing is asked."""
    resolver = DictResolver(DNS)
    assert await validate(PLAIN, resolver) == ArcFact()
    assert resolver.calls == []


@pytest.mark.parametrize("times", [1, 3])
async def test_whole_chains_hold(times: int) -> None:
    """A chain that dkimpy accepts validates, with the sealers from the oldest on."""
    raw = sealed(times=times)
    assert dkimpy.arc_verify(raw, dnsfunc=lambda name, timeout=5: DNS[NAME]["TXT"][0].encode())[0] == b"pass"
    fact = await validate(raw)
    assert (fact.result, fact.cause) == (AuthResult.PASS, "")
    assert [str(domain) for domain in fact.sealers] == ["list.example"] * times


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"Bonjour Lou", b"Bonjour Zoe", "message signature: body was changed"),
        (b"Camille Martin", b"Camille Merlin", "message signature: signed fields were changed"),
        (b"Results: i=1; list.example; dkim=pass", b"Results: i=1; list.example; dkim=fail", "seal 1: sealed fields were changed"),
        (b"cv=none", b"cv=pass", "seal 1 says cv=pass"),
        (b"cv=none", b"cv=fail", "seal 1 says cv=fail"),
        (b"cv=none;", b"cv=none; h=from;", "seal 1 has h="),
        (b"ARC-Seal: i=1", b"ARC-Seal: i=2", "sets are not complete"),
        (b"ARC-Seal: i=1", b"ARC-Seal: i=x", "arc-seal without a usable instance"),
        (b"ARC-Seal: i=1", b"ARC-Seal: i=1; i=1", "arc-seal without a usable instance"),
    ],
)
async def test_broken_chains_fail(old: bytes, new: bytes, cause: str) -> None:
    """A chain that was changed anywhere fails and says where (RFC 8617 §5.2)."""
    raw = sealed()
    assert old in raw
    fact = await validate(raw.replace(old, new, 1))
    assert (fact.result, fact.cause) == (AuthResult.FAIL, cause)


async def test_a_set_twice_fails() -> None:
    """An instance that occurs twice breaks the chain."""
    raw = sealed()
    assert (await validate(raw.partition(b"From:")[0] + raw)).cause.endswith("occurs twice for one instance")


@pytest.mark.parametrize(
    ("records", "result"),
    [({NAME: "SERVFAIL"}, AuthResult.TEMPERROR), ({}, AuthResult.FAIL), ({NAME: {"TXT": ["v=DKIM1; p="]}}, AuthResult.FAIL)],
)
async def test_key_trouble(records: dict[str, dict[str, list[str]] | str], result: AuthResult) -> None:
    """A key that cannot be had now leaves the chain undecided, a missing one fails it."""
    assert (await validate(sealed(), DictResolver(records))).result is result


async def test_number_of_sets_is_limited() -> None:
    """More sets than the limit fail before any key is asked for."""
    resolver = DictResolver(DNS)
    raw = b"".join(b"ARC-Seal: i=%d; cv=pass\r\n" % number for number in range(1, 61)) + PLAIN
    assert (await validate(raw, resolver)).cause == "more than 50 sets"
    assert resolver.calls == []
