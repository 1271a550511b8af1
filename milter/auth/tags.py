"""Lists of `tag=value` as DKIM signatures, DKIM keys, ARC and DMARC records write them (RFC 6376 §3.2).

Knows the syntax alone; what a tag means is the caller's. Linear in the text, never raises.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*").fullmatch
_USUAL = frozenset(("v", "a", "b", "bh", "c", "d", "h", "i", "l", "q", "s", "t", "x", "k", "p", "cv"))
_USUAL_WORDS = 512
_CACHED = 4_096
_BLANK = " \t\r\n"


def read_tags(text: str) -> dict[str, str] | None:
    """Tags in their order, values without blanks around them; None when the list is no list or a tag occurs twice."""
    specs = text.split(";")
    if not specs[-1].strip(_BLANK):
        specs.pop()
    tags: dict[str, str] = {}
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_BLANK)
        # RFC 6376 §3.2: a list with a repeated tag is invalid as a whole
        if not equals or name in tags or (name not in _USUAL and not _NAME(name)):
            return None
        tags[name] = value.strip(_BLANK)
    return tags


def read_base64(text: str) -> bytes | None:
    """Octets of a base64 value with blanks anywhere; None when it is none."""
    for blank in _BLANK:
        if blank in text:
            text = text.replace(blank, "")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def read_words(text: str) -> tuple[str, ...]:
    """The words of a colon-separated value (`h=From : To`), lower case, blanks around them dropped."""
    return _words(text) if len(text) <= _USUAL_WORDS else _words.__wrapped__(text)


@lru_cache(maxsize=_CACHED)
def _words(text: str) -> tuple[str, ...]:
    return tuple([word.strip(_BLANK) for word in text.lower().split(":")])


def read_number(text: str, *, digits: int) -> int | None:
    """A decimal number of at most so many digits; None otherwise."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None
