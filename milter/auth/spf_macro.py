"""SPF macro strings (RFC 7208 §7): read once into pieces, expanded for one mail.

Knows the syntax of §7.1 and the letters of §7.2; must not know the DNS: the validated name of `%{p}` is handed in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

_TOKEN = re.compile(r"%\{([slodiphcrtvSLODIPHCRTV])([0-9]*)([rR]?)([.\-+,/_=]*)\}|%([%_-])|([\x21-\x24\x26-\x7e]+)")
_BLANK_TOKEN = re.compile(r"[ ]+")
# RFC 7208 §7.1 toplabel: letters and digits with a letter, or with a hyphen inside; never digits alone
_TOP_LABEL = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?").fullmatch
_PERCENT = {"%": "%", "_": " ", "-": "%20"}
_MAX_NAME = 253
_MAX_PARTS = 128


@dataclass(frozen=True, slots=True)
class Expand:
    """One `%{…}`: `keep` is the count of right-hand parts, 0 for all; `escape` for an upper-case letter."""

    letter: str
    keep: int
    reverse: bool
    delimiters: str
    escape: bool


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro string that was read. `fixed` is its text when nothing in it depends on the mail, else ""."""

    pieces: tuple[str | Expand, ...]

    @property
    def fixed(self) -> str:
        """The text of a string without macros."""
        return self.pieces[0] if len(self.pieces) == 1 and isinstance(self.pieces[0], str) else ""

    @property
    def needs_name(self) -> bool:
        """True when `%{p}` occurs."""
        return any(isinstance(piece, Expand) and piece.letter == "p" for piece in self.pieces)


class Scene(NamedTuple):
    """What macros stand for in one evaluation (RFC 7208 §7.2)."""

    ip: IPv4Address | IPv6Address
    local: str
    sender_domain: str
    helo: str
    domain: str
    client_name: str = "unknown"
    receiver: str = "unknown"
    now: int = 0


def read_macro(text: str, *, explanation: bool = False) -> Macro | None:
    """Read a macro string; None when it is none. In an explanation blanks and the letters c, r, t are allowed."""
    pieces: list[str | Expand] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None and explanation:
            match = _BLANK_TOKEN.match(text, at)
            if match is not None:
                pieces.append(match[0])
                at = match.end()
                continue
        if match is None:
            return None
        at = match.end()
        letter, digits, reverse, delimiters, percent, literal = match.groups()
        if literal is not None:
            pieces.append(literal)
        elif percent is not None:
            pieces.append(_PERCENT[percent])
        else:
            keep = digits.lstrip("0")
            if (digits and not keep) or (letter.lower() in "crt" and not explanation):
                return None
            pieces.append(Expand(letter.lower(), min(int(keep[:4] or 0), _MAX_PARTS), bool(reverse), delimiters, letter.isupper()))
    return Macro(tuple(pieces))


def read_domain_spec(text: str) -> Macro | None:
    """Read a domain-spec (RFC 7208 §7.1): a macro string that ends in a macro or in a top label."""
    macro = read_macro(text)
    if macro is None or not macro.pieces:
        return None
    if isinstance(macro.pieces[-1], Expand):
        return macro
    if text.endswith(("%%", "%_", "%-")):
        return None
    parts = text.removesuffix(".").rpartition(".")
    return macro if parts[1] and _TOP_LABEL(parts[2]) else None


def expand(macro: Macro, scene: Scene) -> str:
    """The text that a macro string stands for; of an explanation or a domain-spec."""
    return macro.fixed or "".join(piece if isinstance(piece, str) else _expand(piece, scene) for piece in macro.pieces)


def expand_domain(macro: Macro, scene: Scene) -> str:
    """The domain name that a domain-spec stands for, without root dot, left labels dropped beyond 253 octets (§7.3)."""
    name = expand(macro, scene).removesuffix(".")
    if len(name) > _MAX_NAME:
        _, dot, name = name[-_MAX_NAME - 1 :].partition(".")
        if not dot:
            return ""
    return name.lower()


def _expand(piece: Expand, scene: Scene) -> str:
    value = _value(piece.letter, scene)
    if piece.keep or piece.reverse or piece.delimiters:
        marks = piece.delimiters or "."
        if len(marks) > 1:
            value = value.translate({ord(mark): marks[0] for mark in marks[1:]})
        parts = value.split(marks[0])
        if piece.reverse:
            parts.reverse()
        value = ".".join(parts[-piece.keep :] if piece.keep else parts)
    return quote(value, safe="-._~", errors="replace") if piece.escape else value


def _value(letter: str, scene: Scene) -> str:
    if letter == "s":
        return f"{scene.local}@{scene.sender_domain}"
    if letter == "i":
        return _dotted(scene.ip)
    if letter == "v":
        return "in-addr" if scene.ip.version == 4 else "ip6"
    return {
        "l": scene.local,
        "o": scene.sender_domain,
        "d": scene.domain,
        "h": scene.helo,
        "p": scene.client_name,
        "c": str(scene.ip),
        "r": scene.receiver,
        "t": str(scene.now),
    }[letter]


def _dotted(ip: IPv4Address | IPv6Address) -> str:
    """RFC 7208 §7.3: IPv6 as dot-separated nibbles."""
    return str(ip) if ip.version == 4 else ".".join(f"{int(ip):032X}")
