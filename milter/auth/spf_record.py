"""SPF records (RFC 7208 §4.5, §4.6, §5, §6): choosing the one record and reading it whole before any use.

Knows text; must not know mails or the DNS. Syntax is checked over the whole record: one wrong term makes it unusable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from milter.auth.spf_macro import Macro, read_domain_spec, read_macro
from milter.model.evidence import AuthResult

_QUALIFIERS = {"+": AuthResult.PASS, "-": AuthResult.FAIL, "~": AuthResult.SOFTFAIL, "?": AuthResult.NEUTRAL}
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL).fullmatch
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?").fullmatch
_PREFIX = re.compile(r"([^/]*)(?:/(0|[1-9][0-9]{0,2}))?").fullmatch
_BEGINS = (b"v=spf1 ", b"v=spf1")
_MAX_RECORD = 16_384
_MAX_SHOWN = 60
_CACHED = 4_096


@dataclass(frozen=True, slots=True)
class Term:
    """One mechanism. `spec` is its domain-spec or None; `bits4`, `bits6` are the prefix lengths of a and mx.

    `version` is 4 or 6 for ip4 and ip6, whose network is every address with `address & mask == base`; else 0.
    """

    result: AuthResult
    name: str
    text: str
    spec: Macro | None = None
    bits4: int = 32
    bits6: int = 128
    version: int = 0
    mask: int = 0
    base: int = 0


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record whose every term is well formed."""

    terms: tuple[Term, ...]
    redirect: Macro | None = None
    explanation: Macro | None = None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """The record is unusable: `permerror`."""

    cause: str


def choose_record(texts: tuple[bytes, ...]) -> SpfRecord | BadRecord | None:
    """The SPF record among the TXT records of a name; None when there is none (RFC 7208 §4.5)."""
    found = [text for text in texts if text[:7].lower() in _BEGINS] if texts else ()
    if not found:
        return None
    if len(found) > 1:
        return BadRecord("more than one SPF record")
    return read_record(found[0])


@lru_cache(maxsize=_CACHED)
def read_record(octets: bytes) -> SpfRecord | BadRecord:
    """Read a record that begins with `v=spf1`. Never raises."""
    if len(octets) > _MAX_RECORD:
        return BadRecord("record is too long")
    if not octets.isascii():
        return BadRecord("record is not ASCII")
    terms: list[Term] = []
    modifiers: dict[str, Macro] = {}
    for text in octets.decode("ascii")[6:].split(" "):
        modifier = _MODIFIER(text)
        if modifier is not None:
            if not _take_modifier(modifiers, modifier[1].lower(), modifier[2]):
                return _bad(text)
        elif text:
            term = _read_mechanism(text)
            if term is None:
                return _bad(text)
            terms.append(term)
    return SpfRecord(tuple(terms), modifiers.get("redirect"), modifiers.get("exp"))


def _take_modifier(modifiers: dict[str, Macro], name: str, value: str) -> bool:
    """RFC 7208 §6: redirect and exp at most once; others are ignored when their value is a macro string."""
    if name not in ("redirect", "exp"):
        return read_macro(value) is not None
    macro = read_domain_spec(value)
    if macro is None or name in modifiers:
        return False
    modifiers[name] = macro
    return True


def _read_mechanism(text: str) -> Term | None:
    result = _QUALIFIERS.get(text[0])
    body = text[1:] if result else text
    result = result or AuthResult.PASS
    end = min((at for at in (body.find(":"), body.find("/")) if at >= 0), default=len(body))
    name, rest = body[:end].lower(), body[end:]
    if name == "all":
        return None if rest else Term(result, name, text)
    if name in ("ip4", "ip6"):
        network = _read_network(rest[1:], version=int(name[2])) if rest.startswith(":") else None
        if network is None:
            return None
        return Term(result, name, text, version=network.version, mask=int(network.netmask), base=int(network.network_address))
    if name in ("include", "exists"):
        spec = read_domain_spec(rest[1:]) if rest.startswith(":") else None
        return Term(result, name, text, spec) if spec else None
    if name == "ptr":
        spec = read_domain_spec(rest[1:]) if rest.startswith(":") else None
        return Term(result, name, text, spec) if spec or not rest else None
    return _read_addresses(result, name, text, rest) if name in ("a", "mx") else None


def _read_addresses(result: AuthResult, name: str, text: str, rest: str) -> Term | None:
    """`a` and `mx`: an optional domain-spec, then optional prefix lengths (RFC 7208 §5.3, §5.4)."""
    spec = None
    prefixes = rest
    if rest.startswith(":"):
        # the prefix lengths are at the end; a slash may also stand in the domain-spec, within a macro's delimiters
        tail = re.search(r"(?:/[0-9]*)?(?://[0-9]*)?\Z", rest)
        cut = tail.start() if tail else len(rest)
        spec, prefixes = read_domain_spec(rest[1:cut]), rest[cut:]
        if spec is None:
            return None
    bits = _CIDR(prefixes)
    if bits is None:
        return None
    bits4, bits6 = int(bits[1] or 32), int(bits[2] or 128)
    return Term(result, name, text, spec, bits4, bits6) if bits4 <= 32 and bits6 <= 128 else None


def _read_network(text: str, *, version: int) -> IPv4Network | IPv6Network | None:
    match = _PREFIX(text)
    if match is None or "%" in text:
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    return network if network.version == version else None


def _bad(text: str) -> BadRecord:
    return BadRecord(f"cannot read {text[:_MAX_SHOWN]}")
