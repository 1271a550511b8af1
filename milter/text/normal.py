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


def _once(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char.isspace():
        return " "
    folded: list[str] = []
    for part in unicodedata.normalize("NFKD", ASCII_LOOKALIKES.get(ord(char), char).casefold().lower()):
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

# Signs of Windows-1252 that fold to one of its octets: West European mail, which folds ten times faster octet by octet.
_CODEC = "cp1252"
_WESTERN = {char: _FOLDING[ord(char)] for char in bytes(range(256)).decode(_CODEC, "ignore")}
_SINGLE = {char: folded for char, folded in _WESTERN.items() if len(folded) == 1 and folded in _WESTERN}
_SINGLE_OCTETS = "".join(_SINGLE).encode(_CODEC)
_FOLD_OCTETS = bytes.maketrans(_SINGLE_OCTETS, "".join(_SINGLE.values()).encode(_CODEC))
_WORD_OCTETS = bytes(octet if bytes([octet]).isalnum() else 32 for octet in _FOLD_OCTETS)
_RARE = re.compile("[^" + re.escape("".join(_SINGLE)) + "]+")
_BLANKS = re.compile(rb"  +")
_BETWEEN = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """The folded form. Idempotent, linear. Not for display, and not for comparing domains (see `confusables.skeleton`)."""
    octets = _western(text)
    folded = text.translate(_FOLDING) if octets is None else octets.translate(_FOLD_OCTETS).decode(_CODEC)
    while "  " in folded:  # halves the longest run each time
        folded = folded.replace("  ", " ")
    return folded


def plain(text: str) -> str:
    """The folded letters and digits, single blanks in the place of everything between and at both ends."""
    octets = plain_octets(text)
    return f" {' '.join(_BETWEEN.sub(' ', text.translate(_FOLDING)).split())} " if octets is None else octets.decode("ascii")


def plain_octets(text: str) -> bytes | None:
    """`plain` in ASCII, None for other scripts."""
    octets = _western(text)
    return None if octets is None else b" %b " % _BLANKS.sub(b" ", octets.translate(_WORD_OCTETS)).strip()


def spaced_octets(text: str) -> bytes | None:
    """As `plain_octets`, but a blank for each sign between words: a third of the cost, for a first look at a long text."""
    octets = _western(text)
    return None if octets is None else b" %b " % octets.translate(_WORD_OCTETS)


def _western(text: str) -> bytes | None:
    """Octets of Windows-1252 that fold one by one, rare signs folded already; None for other scripts."""
    for usual in (text, None):
        try:
            octets = (_RARE.sub(lambda run: run[0].translate(_FOLDING), text) if usual is None else usual).encode(_CODEC)
        except UnicodeEncodeError:
            continue
        if not octets.translate(None, _SINGLE_OCTETS):
            return octets
    return None


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
