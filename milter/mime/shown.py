"""What a reader takes for an address in a text, and the characters that he cannot see.

Knows compatibility forms and characters without ink; must not know the grammar of address lists. Texts are short: callers cap them.
"""

from __future__ import annotations

import re
import unicodedata

from milter.model.address import Address
from milter.text.domains import parse_domain

_NO_NAME = r"\s\x00-\x20\x7f()<>@,;:\"\[\]\\"
_LOCAL_REVERSED = re.compile(rf"[^{_NO_NAME}]*")
_DOMAIN_AFTER_AT = re.compile(rf"[^{_NO_NAME}/?#'’]{{1,255}}")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u202a-\u202e\u2028\u2029\u2060-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f]|\u00a0{3}"
)
_JOINERS = re.compile("[\u061c\u200c-\u200f]")


def addresses_in(text: str, most: int) -> list[Address]:
    """Everything in a text that looks like an address to a reader: compatibility forms count, invisible characters do not."""
    if not text.isascii():
        text = visible(text)
    found: list[Address] = []
    at = text.find("@")
    while at >= 0 and len(found) < most:
        after = _DOMAIN_AFTER_AT.match(text, at + 1)
        before = _LOCAL_REVERSED.match(text[max(0, at - 80) : at][::-1])
        name = after[0].strip(".") if after else ""
        domain = parse_domain(re.sub(r"\.{2,}", ".", name)) if name else None
        if domain and "." in domain.name and before and before[0]:
            local = before[0][::-1]
            found.append(Address(local, domain, "", f"{local}@{name}"))
        at = text.find("@", at + 1)
    return found


def visible(text: str) -> str:
    """Compatibility forms made plain, characters without a look of their own removed."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(character for character in text if character.isascii() or unicodedata.category(character) != "Cf")


def hides_characters(shown: str) -> bool:
    """True when a text holds invisible or direction characters that no honest name needs."""
    if shown.isascii():
        return False
    # Joiners and marks belong to right-to-left scripts, Indic scripts and emoji; between Latin letters they only hide.
    latin = not any(character > "\u0590" and not "\u2000" <= character <= "\u206f" for character in shown)
    return _INVISIBLE.search(shown) is not None or (latin and _JOINERS.search(shown) is not None)
