"""Content-Type and Content-Disposition values → main value and parameters.

Knows RFC 2045 §5.1, RFC 2231 (continuations, charsets) and the RFC 2047 words that real programs put into file names;
must not know what a parameter means. One pass, at most `MOST` parameters; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from milter.mime import charsets, encoded_words

MOST = 100
_SHORT = 200  # octets of values that are remembered: the same few stand in most mails
_SIMPLE = re.compile(
    rb"""\s*+([A-Za-z0-9!#$&^_.+-]++/[A-Za-z0-9!#$&^_.+-]++)\s*+(?:;\s*+([A-Za-z-]++)=(?:"([^"\\?*\r\n]*+)"|([^\s;"=*()\\]++))\s*+;?\s*+)?+"""
)
_MAIN = re.compile(rb"[^;]*")
_NAME = re.compile(rb"[;\s]*([^\s;=]*)\s*")
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"?', re.DOTALL)
_BARE = re.compile(rb"[^;]*")
_SECTION = re.compile(r"(.+?)(?:\*([0-9]{1,4}))?(\*)?")


def read(value: bytes) -> tuple[str, Mapping[str, str]]:
    """(main value in lower case without comments, {lower-case name: decoded text}); the first of a repeated name counts."""
    return _remembered(value) if len(value) <= _SHORT else _read(value)


def _read(value: bytes) -> tuple[str, Mapping[str, str]]:
    simple = _SIMPLE.fullmatch(value)
    if simple:
        main, name, quoted, bare = simple.groups()
        if name is None:
            return main.decode("ascii").lower(), {}
        return main.decode("ascii").lower(), {name.decode("ascii").lower(): charsets.decode(quoted if quoted is not None else bare).strip()}
    value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    head = _MAIN.match(value)
    pos = head.end() if head else 0
    main_text = charsets.decode(value[:pos]).partition("(")[0].strip().lower()
    return main_text.split()[0] if main_text else "", _join(_pairs(value, pos))


_remembered = lru_cache(maxsize=512)(_read)


def _pairs(value: bytes, pos: int) -> list[tuple[str, bytes]]:
    """(name, raw value without quotes) in order."""
    pairs: list[tuple[str, bytes]] = []
    while pos < len(value) and len(pairs) < MOST:
        match = _NAME.match(value, pos)
        if not match or match.end() == pos:
            break
        pos = match.end()
        if value[pos : pos + 1] != b"=":
            continue
        pos += 1
        while value[pos : pos + 1] in (b" ", b"\t"):
            pos += 1
        if value[pos : pos + 1] == b'"':
            quoted = _QUOTED.match(value, pos)
            pos = quoted.end() if quoted else len(value)
            text = re.sub(rb'\\(["\\])', rb"\1", quoted[1]) if quoted else b""
        else:
            bare = _BARE.match(value, pos)
            text = bare[0].strip() if bare else b""
            pos = bare.end() if bare else len(value)
            if b" " in text and b"=?" not in text and not match[1].lower().startswith((b"name", b"filename")):
                text = text.split()[0]
        pairs.append((match[1].decode("latin-1").lower(), text))
    return pairs


def _join(pairs: list[tuple[str, bytes]]) -> dict[str, str]:
    """Put continuations together (RFC 2231 §3) and decode; an extended value wins over a plain one of the same name."""
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for name, text in pairs:
        match = _SECTION.fullmatch(name) if "*" in name else None
        if match is None:
            plain.setdefault(name, _plain_text(text))
            continue
        base, number, extended = match.groups()
        sections.setdefault(base, {}).setdefault(int(number or 0), (text, extended is not None))
    for base, numbered in sections.items():
        plain[base] = _extended_text(numbered)
    return plain


def _plain_text(text: bytes) -> str:
    return encoded_words.decode_text(text) if b"=?" in text else charsets.decode(text)


def _extended_text(numbered: dict[int, tuple[bytes, bool]]) -> str:
    label = ""
    octets: list[bytes] = []
    for number in sorted(numbered):
        text, extended = numbered[number]
        if not octets and extended and text.count(b"'") >= 2:
            written, _, text = text.split(b"'", 2)
            label = written.decode("latin-1")
        octets.append(unquote_to_bytes(text) if extended else text)
    return charsets.decode(b"".join(octets), label)
