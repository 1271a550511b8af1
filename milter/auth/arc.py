"""ARC chain validation (RFC 8617 §5.2): is the chain of seals whole, and who sealed?

Knows sets, seals and message signatures; must not know whom to trust. Do not conclude anything from a pass: a chain says
only that its sealers said so, and counts when a listed sealer made it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from milter.auth import dkim
from milter.auth.canonical import Canonical, relaxed_field
from milter.auth.dkim_signature import ALGORITHMS, read_selector, read_signature, without_signature
from milter.auth.keys import BadKey, choose_key, matches
from milter.auth.resolver import Resolver
from milter.auth.tags import read_base64, read_number, read_tags
from milter.model.domain import Domain
from milter.model.evidence import ArcFact, AuthResult, DkimFact
from milter.model.limits import Limits
from milter.model.message import Field, Message
from milter.text.domains import parse_domain

_RESULTS, _SIGNATURE, _SEAL = "arc-authentication-results", "arc-message-signature", "arc-seal"
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class _Set:
    """One ARC set (RFC 8617 §4.2). Tags of message signature and seal are read, not verified."""

    results: Field
    signature: Field
    signature_tags: dict[str, str]
    seal: Field
    seal_tags: dict[str, str]

    @property
    def sealer(self) -> Domain | None:
        """Who sealed."""
        return parse_domain(self.seal_tags.get("d", ""))

    @property
    def key_name(self) -> str:
        """Where the seal's key is in the DNS, "" when the seal names no possible place."""
        selector = read_selector(self.seal_tags.get("s", ""))
        return f"{selector}._domainkey.{self.sealer}" if selector and self.sealer else ""


async def validate(message: Message, canonical: Canonical, resolver: Resolver, limits: Limits) -> ArcFact:
    """The chain's state: `none` without ARC fields, `pass`, `fail` with its cause, `temperror` when a key is not to be had."""
    if not any(canonical.count(key) for key in (_RESULTS, _SIGNATURE, _SEAL)):
        return ArcFact()
    sets = _read_sets(message, limits)
    if isinstance(sets, str):
        return ArcFact(AuthResult.FAIL, cause=sets)
    sealers = tuple(one.sealer for one in sets)
    known = tuple(sealer for sealer in sealers if sealer)
    cause = _wrong_states(sets)
    if cause:
        return ArcFact(AuthResult.FAIL, known, cause)
    resolver.prefetch((one.key_name, "TXT") for one in sets if one.key_name)
    failure = await _latest_signature(sets[-1], canonical, message, resolver, limits)
    if failure is None:
        failure = await _seals(sets, resolver)
    result, cause = failure or (AuthResult.PASS, "")
    return ArcFact(result, known, cause)


def _read_sets(message: Message, limits: Limits) -> tuple[_Set, ...] | str:
    """The sets by instance, or what is wrong with their structure (RFC 8617 §5.2 steps 1 and 3)."""
    found: dict[str, dict[int, tuple[Field, dict[str, str]]]] = {}
    for key in (_RESULTS, _SIGNATURE, _SEAL):
        fields = message.all(key)
        if len(fields) > limits.arc_sets:
            return f"more than {limits.arc_sets} sets"
        by_instance = found.setdefault(key, {})
        for field in fields:
            # the results are no tag list, but begin with one: their instance
            value = field.value.partition(b";")[0] if key == _RESULTS else field.value
            tags = read_tags(value.decode("utf-8", "replace"))
            instance = read_number(tags.get("i", ""), digits=2) if tags else None
            if tags is None or not instance or instance in by_instance:
                return f"{key} without a usable instance" if tags is None or not instance else f"{key} occurs twice for one instance"
            by_instance[instance] = (field, tags)
    count = len(found[_SEAL])
    if any(sorted(by_instance) != list(range(1, count + 1)) for by_instance in found.values()):
        return "sets are not complete"
    return tuple(_Set(found[_RESULTS][i][0], *found[_SIGNATURE][i], *found[_SEAL][i]) for i in range(1, count + 1))


def _wrong_states(sets: tuple[_Set, ...]) -> str:
    """RFC 8617 §5.2 steps 2 and 3: cv= of the first seal is none, of the others pass; a seal never has h=."""
    for number, one in enumerate(sets, 1):
        state = one.seal_tags.get("cv", "").lower()
        if state != ("none" if number == 1 else "pass"):
            return f"seal {number} says cv={state[:20]}"
        if "h" in one.seal_tags:
            return f"seal {number} has h="
    return ""


async def _latest_signature(
    latest: _Set, canonical: Canonical, message: Message, resolver: Resolver, limits: Limits
) -> tuple[AuthResult, str] | None:
    """RFC 8617 §5.2 step 4: the newest message signature must hold."""
    # RFC 8617 §4.1.2 leaves the default of c= to DKIM (simple), but whoever omits it in ARC signs relaxed
    signature = read_signature(latest.signature_tags, limits, canonical="relaxed/relaxed")
    if isinstance(signature, DkimFact):
        return AuthResult.FAIL, f"message signature: {signature.cause}"
    # RFC 8617 §4.1.2: a message signature never covers a seal
    if _SEAL in signature.names:
        return AuthResult.FAIL, "message signature covers a seal"
    key = choose_key(await resolver.query(signature.key_name, "TXT"))
    if isinstance(key, BadKey):
        return _failed(key, "message signature")
    cause = dkim.unfit(signature, key) or dkim.mismatch(latest.signature, signature, key, canonical, message.raw)
    return (AuthResult.FAIL, f"message signature: {cause}") if cause else None


async def _seals(sets: tuple[_Set, ...], resolver: Resolver) -> tuple[AuthResult, str] | None:
    """RFC 8617 §5.2 step 6: each seal covers its own set and all before it (§5.1.1); hashed once, from the oldest on."""
    digest = hashlib.sha256()
    for number, one in enumerate(sets, 1):
        digest.update(relaxed_field(one.results) + _CRLF + relaxed_field(one.signature) + _CRLF)
        mine = digest.copy()
        mine.update(relaxed_field(one.seal, without_signature(one.seal.value)))
        failure = await _seal(one, mine.digest(), resolver)
        if failure is not None:
            return failure[0], f"seal {number}: {failure[1]}"
        digest.update(relaxed_field(one.seal) + _CRLF)
    return None


async def _seal(one: _Set, digest: bytes, resolver: Resolver) -> tuple[AuthResult, str] | None:
    tags = one.seal_tags
    octets, kind = read_base64(tags.get("b", "")), ALGORITHMS.get(tags.get("a", "").lower())
    if not octets or not one.key_name or kind is None:
        return AuthResult.FAIL, "cannot be read"
    key = choose_key(await resolver.query(one.key_name, "TXT"))
    if isinstance(key, BadKey):
        return _failed(key, "key")
    if key.kind != kind or (key.hashes is not None and "sha256" not in key.hashes):
        return AuthResult.FAIL, "key is for another algorithm"
    return None if matches(key, octets, digest) else (AuthResult.FAIL, "sealed fields were changed")


def _failed(key: BadKey, what: str) -> tuple[AuthResult, str]:
    """A key that cannot be had now is temporary, any other trouble fails the chain."""
    return AuthResult.TEMPERROR if key.result is AuthResult.TEMPERROR else AuthResult.FAIL, f"{what}: {key.cause}"
