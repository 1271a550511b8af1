"""XFORWARD: what a trusted mail server says of the client that stands before it.

Postfix's XFORWARD_README: NAME ADDR PORT PROTO HELO IDENT SOURCE, values in xtext (RFC 3461 §4), `[UNAVAILABLE]` and `[TEMPUNAVAIL]` for
what is not known, `IPV6:` before an IPv6 address. Must not know whom to trust.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

from milter.model.mail import Connection

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
_UNKNOWN = frozenset(("[UNAVAILABLE]", "[TEMPUNAVAIL]"))
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+")  # RFC 3461 §4
_HEX = re.compile(r"\+([0-9A-Fa-f]{2})")
_LONGEST = 255


@lru_cache(maxsize=1_024)
def read(argument: str | None) -> Mapping[str, str] | str:
    """The attributes of one command, values still in xtext; a str says what is wrong with it. Callers share the mapping.

    A repeated attribute counts as its last.
    """
    attributes: dict[str, str] = {}
    for pair in (argument or "").split():
        name, _, value = pair.partition("=")
        name = name.upper()
        if name not in ATTRIBUTES:
            return "attribute that is not offered"
        if not _XTEXT.fullmatch(value) or len(decoded(value)) > _LONGEST:
            return f"{name} without a value in xtext"
        if name == "ADDR" and decoded(value) not in _UNKNOWN and address(value) is None:
            return "ADDR that is no IP address"
        attributes[name] = value
    return attributes or "no attribute"


def decoded(value: str) -> str:
    """The text of an xtext value; octets that are no UTF-8 become U+FFFD."""
    if "+" not in value:
        return value
    octets = _HEX.sub(lambda found: chr(int(found[1], 16)), value).encode("latin-1")
    return octets.decode("utf-8", "replace")


@lru_cache(maxsize=1_024)
def address(value: str) -> str | None:
    """The IP address of an ADDR value in its usual form, or None."""
    text = decoded(value)
    if text[:5].upper() == "IPV6:":
        text = text[5:]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def connection(attributes: Mapping[str, str], *, helo: str) -> Connection:
    """The client behind the trusted server. Unknown stays unknown: its address is None then, never the server's own.

    `helo` is what the server itself said; it counts only when no attribute came at all.
    """
    if not attributes:
        return Connection(helo=helo)
    return Connection(address(attributes.get("ADDR", "")), _known(attributes, "NAME"), _known(attributes, "HELO"))


def _known(attributes: Mapping[str, str], name: str) -> str:
    text = decoded(attributes.get(name, ""))
    return "" if text in _UNKNOWN else text
