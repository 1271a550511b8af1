"""DKIM verification (RFC 6376, RFC 8301, RFC 8463): which domains signed this mail, and what they signed.

Knows signatures, keys and the resolver it is handed; must not know what a domain stands for. Message octets are the
received ones; every signature up to the limit is verified.
"""

from __future__ import annotations

import hashlib

from milter.auth.canonical import Canonical, relaxed_field
from milter.auth.dkim_signature import Signature, read_dkim_signature, without_signature
from milter.auth.keys import BadKey, Key, choose_key, matches
from milter.auth.resolver import Question, Resolver
from milter.model.evidence import AuthResult, DkimFact
from milter.model.limits import Limits
from milter.model.message import Field, Message

Read = tuple[Field, "Signature | DkimFact"]


def read_signatures(message: Message, limits: Limits) -> tuple[Read, ...]:
    """The signatures from the top, at most `limits.dkim_signatures`, read but not verified."""
    fields = message.all("dkim-signature")[: limits.dkim_signatures]
    return tuple((field, read_dkim_signature(field.value, limits)) for field in fields)


def questions(signatures: tuple[Read, ...]) -> list[Question]:
    """Where the keys are, for asking side by side."""
    return [(signature.key_name, "TXT") for _, signature in signatures if isinstance(signature, Signature)]


async def verify(signatures: tuple[Read, ...], canonical: Canonical, message: Message, resolver: Resolver, *, now: float) -> tuple[DkimFact, ...]:
    """Verify each signature, in order. `now` is in seconds since 1970 (for x=)."""
    facts: list[DkimFact] = []
    for field, signature in signatures:
        if isinstance(signature, DkimFact):
            facts.append(signature)
            continue
        key = choose_key(await resolver.query(signature.key_name, "TXT"))
        facts.append(_verify_one(field, signature, key, canonical, message, now))
    return tuple(facts)


def _verify_one(field: Field, signature: Signature, key: Key | BadKey, canonical: Canonical, message: Message, now: float) -> DkimFact:
    def fact(result: AuthResult, cause: str, *, testing: bool = False) -> DkimFact:
        return DkimFact(result, signature.domain, signature.selector, cause, test_mode=testing)

    if isinstance(key, BadKey):
        return fact(key.result, key.cause)
    cause = unfit(signature, key)
    if cause:
        return fact(AuthResult.PERMERROR, cause)
    if signature.expires is not None and now > signature.expires:
        return fact(AuthResult.POLICY, "signature expired", testing=key.testing)
    whole = canonical.body_length(relaxed=signature.relaxed_body)
    if signature.length is not None and signature.length > whole:
        return fact(AuthResult.PERMERROR, "l= is more than the body", testing=key.testing)
    cause = mismatch(field, signature, key, canonical, message.raw)
    if cause:
        return fact(AuthResult.FAIL, cause, testing=key.testing)
    partial = signature.length is not None and signature.length < whole
    return DkimFact(
        AuthResult.PASS,
        signature.domain,
        signature.selector,
        "part of the body is unsigned" if partial else "",
        proves_content=not partial,
        # a subject that is absent but signed cannot be added, one that is there must be signed as often as it occurs
        signs_subject=signature.names.count("subject") >= max(1, canonical.count("subject")),
        test_mode=key.testing,
    )


def unfit(signature: Signature, key: Key) -> str:
    """Why this key may not verify this signature, or "" (RFC 6376 §6.1.2)."""
    if key.kind != signature.kind:
        return "key is for another algorithm"
    if key.hashes is not None and "sha256" not in key.hashes:
        return "key is for another hash"
    # RFC 6376 §3.6.1 t=s: i= must not be a subdomain
    if key.strict and signature.identity_domain != signature.domain:
        return "key forbids a subdomain in i="
    return ""


def mismatch(field: Field, signature: Signature, key: Key, canonical: Canonical, raw: bytes) -> str:
    """Why body or fields are not what was signed, or "" when they are (RFC 6376 §6.1.3)."""
    if canonical.body_hash(relaxed=signature.relaxed_body, length=signature.length) != signature.body_hash:
        return "body was changed"
    digest = hashlib.sha256(canonical.fields_signed(signature.names, relaxed=signature.relaxed_header))
    unsigned = without_signature(field.value)
    if signature.relaxed_header:
        digest.update(relaxed_field(field, unsigned))
    else:
        written = raw[field.start : field.end].removesuffix(b"\r\n")
        digest.update(written[: len(written) - len(field.value)] + unsigned)
    return "" if matches(key, signature.octets, digest.digest()) else "signed fields were changed"
