"""Text as a hurried reader takes it in: one folded form that words and names are compared in.

Folded are case, accents, compatibility forms (full-width, mathematical), look-alike letters of other scripts, typographic
quotes and dashes; runs of white space become one blank; what has no ink is dropped. Knows Unicode (NFKD, UAX #15); must
not know mail or languages. Every character folds by itself, so the cost is linear and a map back costs nothing extra.
"""

from __future__ import annotations

import re
import unicodedata

from milter.text.confusables import ASCII_LOOKALIKES

_SIGNS = {
    **dict.fromkeys("‘’‚‛′‵`´ʹʻʼʽˈ＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›＂", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-"),
    "…": "...",
    "•": "*",
}
_INKLESS = frozenset({0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0})
_KEPT = 70_000
_BLANKS = re.compile(" {2,}")


def _once(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char.isspace():
        return " "
    folded: list[str] = []
    for part in unicodedata.normalize("NFKD", ASCII_LOOKALIKES.get(ord(char), char).casefold()):
        category = unicodedata.category(part)
        if part.isspace():
            folded.append(" ")
        elif category[0] != "M" and category not in ("Cf", "Cc") and ord(part) not in _INKLESS:
            folded.append(ASCII_LOOKALIKES.get(ord(part), _SIGNS.get(part, part)))
    return "".join(folded)


class _Folding(dict[int, str]):
    """Code point → folded text, worked out when first met; hostile text cannot make it grow without end."""

    def __missing__(self, code: int) -> str:
        folded = chr(code)
        for _ in range(4):  # a fold of a fold may fold again (ﬃ, ligatures of letters with marks)
            again = "".join(map(_once, folded))
            if again == folded:
                break
            folded = again
        if len(self) < _KEPT:
            self[code] = folded
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """The folded form. Idempotent, linear. Not for display, and not for comparing domains (see `confusables.skeleton`)."""
    return _BLANKS.sub(" ", text.translate(_FOLDING))


def fold_map(text: str) -> tuple[str, list[int]]:
    """The folded form, and for each of its characters the index in `text` that it comes from (for quotes)."""
    folded: list[str] = []
    places: list[int] = []
    for index, char in enumerate(text):
        for part in _FOLDING[ord(char)]:
            if part == " " and folded and folded[-1] == " ":
                continue
            folded.append(part)
            places.append(index)
    return "".join(folded), places
