"""Finds the organisations that a text names: aliases and product words, whatever the case, accents, spacing or look-alikes.

Knows registry values and folded text. Must not decide what a name amounts to: that depends on where it stands (`claims`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ahocorasick

from milter.identity.brands import look
from milter.identity.organisation import AliasStrength, Organisation
from milter.identity.vocabulary import HEALTH
from milter.mime.signs import Signs
from milter.model.quick import quick
from milter.text.normal import fold, plain, plain_octets, spaced_octets

_GLUED_FROM = 8  # letters from which a name of several words is also looked for without its spaces
_MOST_HITS = 2_000


@dataclass(frozen=True, slots=True)
class Name:
    """One way to name an organisation: `words` folded, parted by single blanks."""

    words: str
    insurer: str
    strength: AliasStrength
    product: bool = False


@quick
@dataclass(frozen=True, slots=True)
class NameMatch:
    """A name at [start, end) of the folded words. `exact` is False when it only looks like the name (`MAlF`).

    `certain` means: this organisation is meant. A distinctive name always is, an ambiguous one beside a word of health.
    """

    insurer: str
    name: str
    strength: AliasStrength
    start: int
    end: int
    exact: bool
    certain: bool
    product: bool


@quick
@dataclass(frozen=True, slots=True)
class Reading:
    """A text as folded words (single blanks between, one at each end) and the names in it, in order."""

    words: str
    matches: tuple[NameMatch, ...]

    def without_names(self) -> list[str]:
        """The words that are no part of a name."""
        parts, at = [], 0
        for match in self.matches:
            parts.append(self.words[at : match.start])
            at = match.end
        parts.append(self.words[at:])
        return " ".join(parts).split()


# Letters that stand alone in a row (`M G E N`, `A.X.A`); an apostrophe parts words that belong to different words.
_ROW = re.compile(r"(?<![^\W_])(?:[^\W_][ .\-]){2,}[^\W_](?![^\W_])")
_SHAPE = bytes(97 if bytes([octet]).isalnum() else octet for octet in range(256))
_ROW_SHAPE = re.compile(b" a a a ").search  # twice as fast as `in` on a long text


def plain_words(text: str) -> str:
    """Folded words with single blanks between and at both ends; letters that stand alone in a row are joined."""
    octets = plain_octets(text)
    return _words_of_rows(text) if octets is None or _ROW_SHAPE(octets.translate(_SHAPE)) else octets.decode("ascii")


def _words_of_rows(text: str) -> str:
    return plain(_ROW.sub(lambda row: "".join(filter(str.isalnum, row[0])), fold(text)))


# A row of letters, as far as octets with a blank for each sign show it.
_ROW_SIGN = " [a-z0-9] +[a-z0-9] +[a-z0-9] "
_LETTERS = string.ascii_lowercase + string.digits
_ALIKE = {look(char): "".join(other for other in _LETTERS if look(other) == look(char)) for char in _LETTERS}


def _sign(key: str) -> str:
    """The pattern in such octets of a name, given by its `look`; "" when they never hold it."""
    words = key.split()
    return " +".join("".join(f"[{_ALIKE[char]}]" for char in word) for word in words) if _ALIKE.keys() >= set("".join(words)) else ""


class NameIndex:
    """All names of a registry in one automaton; one pass over a text finds them all, a faster one tells that there is none."""

    __slots__ = ("_automaton", "_empty", "_signs")

    def __init__(self, organisations: Iterable[Organisation]) -> None:
        self._automaton = ahocorasick.Automaton()
        found: dict[str, Name] = {}
        for organisation in organisations:
            for name in _names(organisation):
                known = found.get(look(name.words))
                if known is None or (known.strength is AliasStrength.AMBIGUOUS and name.strength is AliasStrength.DISTINCTIVE):
                    found[look(name.words)] = name
        for key, name in found.items():
            self._automaton.add_word(key, name)
        names = "|".join(filter(None, map(_sign, sorted(found))))
        self._signs = Signs({"name": f" (?:{names}) ", "row": _ROW_SIGN}, utf8=False)
        self._empty = not found
        if found:
            self._automaton.make_automaton()

    def read(self, text: str, *, limit: int = 100) -> Reading:
        """The text as words with the names in it; of names that overlap, the longest."""
        words = plain_words(text)
        if self._empty or len(words) < 4:
            return Reading(words, ())
        spotted: list[tuple[int, int, Name]] = []
        for last, name in self._automaton.iter(look(words)):
            spotted.append((last + 1 - len(name.words), last + 1, name))
            if len(spotted) >= _MOST_HITS:
                break
        if not spotted:
            return Reading(words, ())
        healthy = any(word in HEALTH for word in words.split())
        return Reading(words, tuple(_matches(words, spotted, healthy=healthy))[:limit])

    def find(self, text: str, *, limit: int = 100) -> tuple[NameMatch, ...]:
        """The names in a text, in its order."""
        return self.read(text, limit=limit).matches if self._may_name(text) else ()

    def _may_name(self, text: str) -> bool:
        """False when no name stands in a text, which most mails are; no name is ever overlooked."""
        octets = spaced_octets(text)
        return octets is None or len(self._signs.look(octets)) > 1


def _matches(words: str, spotted: list[tuple[int, int, Name]], *, healthy: bool) -> Iterator[NameMatch]:
    """Longest first, none inside another; a name that is ambiguous counts only when it is written exactly so."""
    taken_to = 0
    for start, end, name in _longest(spotted):
        exact = words[start:end] == name.words
        ambiguous = name.strength is AliasStrength.AMBIGUOUS
        if start + 1 < taken_to or not _resembles(words[start:end], name.words, exactly=ambiguous):
            continue
        taken_to = end
        yield NameMatch(name.insurer, name.words.strip(), name.strength, start + 1, end - 1, exact, not ambiguous or healthy, name.product)


def _resembles(written: str, name: str, *, exactly: bool) -> bool:
    """True when at most a quarter of the letters is another one (of the same look)."""
    changed = sum(a != b for a, b in zip(written, name, strict=True))
    return changed <= (0 if exactly else max(1, len(name) // 4))


def _longest(spotted: list[tuple[int, int, Name]]) -> list[tuple[int, int, Name]]:
    """The matches that no longer match takes in, from left to right. Linear but for the sort."""
    found: list[tuple[int, int, Name]] = []
    reach = -1
    for match in sorted(spotted, key=lambda item: (item[0], -item[1])):
        if match[1] > reach:
            found.append(match)
            reach = match[1]
    return found


def _names(organisation: Organisation) -> Iterator[Name]:
    for written, strength in organisation.names:
        yield from _spellings(Name(plain_words(written), organisation.id, strength))
    for written in organisation.product_words.distinctive:
        yield from _spellings(Name(plain_words(written), organisation.id, AliasStrength.DISTINCTIVE, product=True))


def _spellings(name: Name) -> Iterator[Name]:
    if len(name.words) < 4:
        return
    yield name
    glued = name.words.replace(" ", "")
    if len(name.words.split()) > 1 and len(glued) >= _GLUED_FROM and name.strength is AliasStrength.DISTINCTIVE:
        yield Name(f" {glued} ", name.insurer, name.strength, name.product)
