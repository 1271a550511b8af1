"""DKIM verification."""

from __future__ import annotations

import dkim as dkimpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth import dkim
from milter.auth.canonical import Canonical
from milter.model.evidence import AuthResult, DkimFact
from milter.model.limits import Limits
from tests.helpers.authentication import LIMITS, NOW, PLAIN, ed25519_key, key_record, read, rsa_key, signed
from tests.helpers.authentication import Canonical as Form
from tests.helpers.dns import DictResolver

NAME = "s1._domainkey.insurer.example"
DNS = {NAME: {"TXT": [key_record(rsa_key())]}}
FORMS: tuple[Form, ...] = ("simple", "relaxed")


async def verify(raw: bytes, resolver: DictResolver | None = None, *, limits: Limits = LIMITS, now: float = NOW) -> tuple[DkimFact, ...]:
    """Verify all signatures of a mail."""
    message = read(raw)
    signatures = dkim.read_signatures(message, limits)
    return await dkim.verify(signatures, Canonical(message), message, resolver or DictResolver(DNS), now=now)


async def one(raw: bytes, resolver: DictResolver | None = None, *, now: float = NOW) -> DkimFact:
    """The fact of the only signature."""
    (fact,) = await verify(raw, resolver, now=now)
    return fact


@pytest.mark.parametrize("header", FORMS)
@pytest.mark.parametrize("body", FORMS)
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_signatures_of_dkimpy_hold(header: Form, body: Form, kind: str) -> None:
    """What dkimpy signs verifies, in each canonicalisation and with both algorithms (RFC 6376, RFC 8463)."""
    key = rsa_key() if kind == "rsa" else ed25519_key()
    fact = await one(signed(header=header, body=body, key=key), DictResolver({NAME: {"TXT": [key_record(key)]}}))
    assert (fact.result, fact.cause) == (AuthResult.PASS, "")
    assert (str(fact.domain), fact.selector, fact.proves_content, fact.signs_subject) == ("insurer.example", "s1", True, True)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"Bonjour Lou", b"Bonjour Zoe", "body was changed"),
        (b"pr\xc3\xaat. \r\n", b"pr\xc3\xaat. \r\nMore\r\n", "body was changed"),
        (b"Camille Martin", b"Camille Merlin", "signed fields were changed"),
        (b"Votre  contrat", b"Votre  kontrat", "signed fields were changed"),
        (b"q=dns/txt", b"z=From:x", "signed fields were changed"),
    ],
)
async def test_changed_mails_fail(old: bytes, new: bytes, cause: str) -> None:
    """A change of body, of a signed field or of the signature itself fails, and says which."""
    raw = signed()
    assert old in raw
    fact = await one(raw.replace(old, new, 1))
    assert (fact.result, fact.cause, fact.proves_content) == (AuthResult.FAIL, cause, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"To: lou", b"X-Added: 1\r\nTo: lou"),
        (b"Votre  contrat", b"Votre\r\n  contrat "),
        (b"From: ", b"FROM:\t"),
        (b"votre  contrat est", b"votre \t contrat est"),
        (b". \r\n\r\n", b".\r\n\r\n\r\n\r\n"),
    ],
)
async def test_relaxed_signatures_bear_what_they_may(old: bytes, new: bytes) -> None:
    """Added unsigned fields, refolding, case of names, blanks and trailing empty lines do not break a relaxed signature."""
    raw = signed()
    assert old in raw
    assert (await one(raw.replace(old, new, 1))).result is AuthResult.PASS


@pytest.mark.parametrize(
    ("old", "new", "result", "cause"),
    [
        (b"v=1; ", b"", AuthResult.PERMERROR, "version is not 1"),
        (b"v=1", b"v=2", AuthResult.PERMERROR, "version is not 1"),
        (b"a=rsa-sha256", b"a=rsa-sha1", AuthResult.POLICY, "rsa-sha1 proves nothing"),
        (b"a=rsa-sha256", b"a=rsa-md5", AuthResult.PERMERROR, "algorithm is unknown"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", AuthResult.PERMERROR, "key is for another algorithm"),
        (b"c=relaxed/relaxed", b"c=relaxed/other", AuthResult.PERMERROR, "canonicalisation is unknown"),
        (b" d=insurer.example;", b"", AuthResult.PERMERROR, "tag d= is missing"),
        (b"d=insurer.example", b"d=[192.0.2.1]", AuthResult.PERMERROR, "domain or selector cannot be a DNS name"),
        (b"s=s1;", b"s=s 1;", AuthResult.PERMERROR, "domain or selector cannot be a DNS name"),
        (b"i=@insurer.example", b"i=@other.example", AuthResult.PERMERROR, "i= is outside d="),
        (b"q=dns/txt", b"q=http", AuthResult.PERMERROR, "key is not in the DNS"),
        (b"h=from : ", b"h=", AuthResult.PERMERROR, "From is not signed"),
        (b"q=dns/txt", b"l=99999", AuthResult.PERMERROR, "l= is more than the body"),
        (b"q=dns/txt", b"l=x", AuthResult.PERMERROR, "tag l= is not a number"),
        (b"q=dns/txt", b"x=1700000000", AuthResult.POLICY, "signature expired"),
        (b"q=dns/txt", b"t=10; x=9", AuthResult.PERMERROR, "expires before it was signed"),
        (b"q=dns/txt", b"a=rsa-sha256", AuthResult.PERMERROR, "signature cannot be read"),
        (b"bh=", b"bh=!", AuthResult.PERMERROR, "signature is not base64"),
    ],
)
async def test_signatures_that_cannot_count(old: bytes, new: bytes, result: AuthResult, cause: str) -> None:
    """A signature that is broken, forbidden or expired has its own result and cause, and proves nothing (RFC 6376 §6.1.1)."""
    raw = _without_time(signed())
    assert old in raw
    fact = await one(raw.replace(old, new, 1))
    assert (fact.result, fact.cause, fact.proves_content) == (result, cause, False)


def _without_time(raw: bytes) -> bytes:
    """Drop the t= that dkimpy writes, so that a case can write its own."""
    head, _, rest = raw.partition(b" t=")
    return head + rest.partition(b";")[2]


async def test_expiry_is_judged_by_the_time_handed_in() -> None:
    """x= counts against the time that the caller gives."""
    raw = _without_time(signed()).replace(b"q=dns/txt", b"x=1700000000", 1)
    assert (await one(raw, now=1_700_000_000.0)).cause == "signed fields were changed"
    assert (await one(raw, now=1_700_000_001.0)).cause == "signature expired"


@pytest.mark.parametrize(
    ("records", "result", "cause"),
    [
        ({}, AuthResult.PERMERROR, "no key in the DNS"),
        ({NAME: {"A": ["192.0.2.1"]}}, AuthResult.PERMERROR, "no key in the DNS"),
        ({NAME: "SERVFAIL"}, AuthResult.TEMPERROR, "key lookup: servfail"),
        ({NAME: "TIMEOUT"}, AuthResult.TEMPERROR, "key lookup: timeout"),
        ({NAME: "REFUSED"}, AuthResult.TEMPERROR, "key lookup: refused"),
        ({NAME: {"TXT": ["v=DKIM1; p="]}}, AuthResult.PERMERROR, "key revoked"),
        ({NAME: {"TXT": [key_record(rsa_key(1024))]}}, AuthResult.FAIL, "signed fields were changed"),
        ({NAME: {"TXT": [key_record(rsa_key(), more="h=sha1; ")]}}, AuthResult.PERMERROR, "key is for another hash"),
    ],
)
async def test_key_trouble(records: dict[str, dict[str, list[str]] | str], result: AuthResult, cause: str) -> None:
    """No key is permanent, DNS trouble is temporary, another key fails."""
    fact = await one(signed(), DictResolver(records))
    assert (fact.result, fact.cause) == (result, cause)


async def test_strict_keys_forbid_subdomains() -> None:
    """A key with t=s does not hold for an i= below d= (RFC 6376 §3.6.1)."""
    resolver = DictResolver({NAME: {"TXT": [key_record(rsa_key(), more="t=s; ")]}})
    raw = signed()
    assert (await one(raw, resolver)).result is AuthResult.PASS
    below = raw.replace(b"i=@insurer.example", b"i=@news.insurer.example", 1)
    assert (await one(below, resolver)).cause == "key forbids a subdomain in i="


async def test_test_mode_is_told() -> None:
    """t=y in the key is a fact beside the result."""
    fact = await one(signed(), DictResolver({NAME: {"TXT": [key_record(rsa_key(), more="t=y; ")]}}))
    assert (fact.result, fact.test_mode) == (AuthResult.PASS, True)


async def test_a_body_signed_in_part_proves_no_content() -> None:
    """With l= the signature holds after an addition, but only a wholly signed body is proof."""
    raw = signed(length=True)
    whole = await one(raw)
    more = await one(raw + b"<a href='https://evil.example'>click</a>\r\n")
    assert (whole.result, whole.proves_content) == (AuthResult.PASS, True)
    assert (more.result, more.proves_content, more.cause) == (AuthResult.PASS, False, "part of the body is unsigned")


@pytest.mark.parametrize(
    ("names", "raw", "signs"),
    [
        (("from", "to", "subject", "date"), PLAIN, True),
        (("from", "to", "date"), PLAIN, False),
        (("from", "date", "subject"), PLAIN.replace(b"Subject: Votre  contrat\r\n", b""), True),
    ],
)
async def test_signed_subject(names: tuple[str, ...], raw: bytes, *, signs: bool) -> None:
    """The subject is signed when it is named as often as it occurs; an absent one that is named cannot be added."""
    fact = await one(signed(raw, names=names))
    assert (fact.result, fact.signs_subject) == (AuthResult.PASS, signs)


async def test_a_second_subject_on_top_is_unsigned() -> None:
    """An added field above the signed one leaves the signature whole, but the subject is no longer signed."""
    fact = await one(b"Subject: Urgent\r\n" + signed())
    assert (fact.result, fact.signs_subject) == (AuthResult.PASS, False)


async def test_all_signatures_up_to_the_limit() -> None:
    """Each signature has its own fact, in the order of the mail, and no more are verified than the limit says."""
    raw = signed(signed(selector="gone"), selector="s1")
    facts = await verify(raw)
    assert [fact.result for fact in facts] == [AuthResult.PASS, AuthResult.PERMERROR]
    many = signed(signed(signed()))
    assert len(await verify(many, limits=Limits(dkim_signatures=2))) == 2
    resolver = DictResolver(DNS)
    await verify(many, resolver)
    assert dkim.questions(dkim.read_signatures(read(many), LIMITS)) == [(NAME, "TXT")] * 3


async def test_too_many_signed_fields_are_refused() -> None:
    """A signature that names more fields than the limit is refused unverified."""
    raw = signed().replace(b"h=from", b"h=" + b"x:" * 100 + b"from", 1)
    assert (await one(raw)).cause == "h= names more than 100 fields"


@pytest.mark.parametrize("selector", ["20270115", "1", "a.b", "S_1", "k-1"])
async def test_selectors(selector: str) -> None:
    """Selectors are labels of any kind, digits alone too, in any case."""
    resolver = DictResolver({f"{selector}._domainkey.insurer.example": {"TXT": [key_record(rsa_key())]}})
    assert (await one(signed(selector=selector), resolver)).result is AuthResult.PASS


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"From: a@b.example", PLAIN, b"DKIM-Signature:\r\n\r\n", b"DKIM-Signature: v=1", b" x\r\n: y\r\n\r\n"])
async def test_odd_mails(raw: bytes) -> None:
    """Mails without a usable signature give facts that are no pass, and never raise."""
    assert all(fact.result is AuthResult.PERMERROR for fact in await verify(raw))


FLIPPED = signed()


@settings(max_examples=250, deadline=None)
@given(st.integers(0, len(FLIPPED) - 1), st.integers(1, 255))
async def test_flipped_octets_never_give_more(at: int, mask: int) -> None:
    """Invariant: a mail with one octet changed never raises, and passes only where dkimpy lets the same mail pass."""
    raw = FLIPPED[:at] + bytes((FLIPPED[at] ^ mask,)) + FLIPPED[at + 1 :]
    facts = await verify(raw)
    if any(fact.result is AuthResult.PASS for fact in facts):
        assert dkimpy.verify(raw, dnsfunc=lambda name, timeout=5: DNS[NAME]["TXT"][0].encode() if name.startswith(b"s1.") else None)
