"""Reading a DKIM-Signature field (RFC 6376 §3.5, §6.1.1) and the parts that ARC-Message-Signature shares with it.

Knows the tags; must not know keys or the DNS. A signature that cannot count is a DkimFact that says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from milter.auth.tags import read_base64, read_number, read_tags, read_words
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, DkimFact
from milter.model.limits import Limits
from milter.model.quick import quick
from milter.text.domains import parse_domain

ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
_REQUIRED = ("a", "b", "bh", "d", "h", "s")
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*").fullmatch
_MAX_KEY_NAME = 240  # of the 253 octets of a name, without `._domainkey.`
_CANONICAL = {"simple": False, "relaxed": True}
_VALUE_OF_B = re.compile(rb"(;[ \t\r\n]*b[ \t\r\n]*=)[^;]*").sub
_CACHED = 4_096
_NUMBERS = (("l", 76), ("t", 12), ("x", 12))


@quick
@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says. `kind` is the key type, `length` the l= octets or None; times are seconds since 1970.

    `names` are lower-case field names in the order of h=; `identity_domain` is the domain of i= (d= when absent).
    """

    kind: str
    octets: bytes
    body_hash: bytes
    domain: Domain
    selector: str
    names: tuple[str, ...]
    relaxed_header: bool = False
    relaxed_body: bool = False
    length: int | None = None
    identity_domain: Domain | None = None
    expires: int | None = None

    @property
    def key_name(self) -> str:
        """Where the key is in the DNS (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain.name}"


def read_dkim_signature(value: bytes, limits: Limits) -> Signature | DkimFact:
    """Read the value of a DKIM-Signature field."""
    tags = read_tags(value.decode("utf-8", "replace"))
    if tags is None:
        return DkimFact(AuthResult.PERMERROR, None, cause="signature cannot be read")
    # RFC 6376 §3.5: v= is required and must be 1; drafts before the RFC had none
    if tags.get("v") != "1":
        return DkimFact(AuthResult.PERMERROR, parse_domain(tags.get("d", "")), cause="version is not 1")
    signature = read_signature(tags, limits, identity=tags.get("i"))
    if isinstance(signature, Signature) and "from" not in signature.names:
        return refuse(tags, AuthResult.PERMERROR, "From is not signed")
    return signature


def read_signature(tags: dict[str, str], limits: Limits, *, identity: str | None = None, canonical: str = "simple/simple") -> Signature | DkimFact:
    """Read the tags that DKIM and ARC message signatures share.

    `identity` is DKIM's i= (in ARC that tag is a number), `canonical` what c= is when it is absent.
    """
    missing = [tag for tag in _REQUIRED if tag not in tags]
    if missing:
        return refuse(tags, AuthResult.PERMERROR, f"tag {missing[0]}= is missing")
    algorithm = tags["a"].lower()
    if algorithm == "rsa-sha1":
        # RFC 8301 §3.1: rsa-sha1 must not be taken for a valid signature
        return refuse(tags, AuthResult.POLICY, "rsa-sha1 proves nothing")
    octets, body_hash = read_base64(tags["b"]), read_base64(tags["bh"])
    relaxed = _canonicalisations(tags.get("c", canonical))
    domain, selector = parse_domain(tags["d"]), read_selector(tags["s"])
    names = read_words(tags["h"])
    cause = ""
    if algorithm not in ALGORITHMS:
        cause = "algorithm is unknown"
    elif octets is None or body_hash is None:
        cause = "signature is not base64"
    elif relaxed is None:
        cause = "canonicalisation is unknown"
    elif domain is None or selector is None or len(domain.name) + len(selector) > _MAX_KEY_NAME:
        cause = "domain or selector cannot be a DNS name"
    elif "dns/txt" not in read_words(tags.get("q", "dns/txt")):
        cause = "key is not in the DNS"
    if cause or octets is None or body_hash is None or relaxed is None or domain is None or selector is None:
        return refuse(tags, AuthResult.PERMERROR, cause)
    if len(names) > limits.dkim_signed_fields:
        return refuse(tags, AuthResult.POLICY, f"h= names more than {limits.dkim_signed_fields} fields")
    numbers = _numbers(tags)
    if isinstance(numbers, str):
        return refuse(tags, AuthResult.PERMERROR, numbers)
    identity_domain = domain if identity is None else parse_domain(identity.rpartition("@")[2])
    # RFC 6376 §6.1.1: i= must be d= or below it
    if identity_domain is None or not identity_domain.is_within(domain):
        return refuse(tags, AuthResult.PERMERROR, "i= is outside d=")
    return Signature(ALGORITHMS[algorithm], octets, body_hash, domain, selector, names, *relaxed, numbers[0], identity_domain, numbers[1])


def _numbers(tags: dict[str, str]) -> tuple[int | None, int | None] | str:
    """l= and x=, or what is wrong with l=, t= or x= (RFC 6376 §3.5)."""
    numbers: list[int | None] = [None, None, None]
    for place, (tag, digits) in enumerate(_NUMBERS):
        if tag in tags:
            numbers[place] = read_number(tags[tag], digits=digits)
            if numbers[place] is None:
                return f"tag {tag}= is not a number"
    length, signed, expires = numbers
    if signed is not None and expires is not None and expires <= signed:
        return "expires before it was signed"
    return length, expires


def refuse(tags: dict[str, str], result: AuthResult, cause: str) -> DkimFact:
    """The fact of a signature that is not verified."""
    return DkimFact(result, parse_domain(tags.get("d", "")), read_selector(tags.get("s", "")) or "", cause)


@lru_cache(maxsize=_CACHED)
def _plain_selector(text: str) -> str | None:
    return text if _SELECTOR(text) else None


def read_selector(text: str) -> str | None:
    """A selector, lower case; None when it cannot be part of a DNS name (RFC 6376 §3.1: labels, digits alone are fine)."""
    if not text.isascii():
        domain = parse_domain(text)
        return domain.name if domain else None
    text = text.lower()
    return _plain_selector(text) if len(text) <= _MAX_KEY_NAME else None


def without_signature(value: bytes) -> bytes:
    """The value with the value of b= taken out and all else as written (RFC 6376 §3.7)."""
    return _VALUE_OF_B(_name_alone, b";" + value)[1:]


def _name_alone(match: re.Match[bytes]) -> bytes:
    return match[1]


def _canonicalisations(text: str) -> tuple[bool, bool] | None:
    """Header and body: True for relaxed. RFC 6376 §3.5 c=: a missing body part means simple."""
    header, _, body = text.lower().partition("/")
    if header not in _CANONICAL or (body or "simple") not in _CANONICAL:
        return None
    return _CANONICAL[header], _CANONICAL[body or "simple"]
