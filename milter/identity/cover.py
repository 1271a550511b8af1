"""Takes a label apart into known words: which letters of it are explained, and by words of what kind.

Knows the vocabulary. Must not know brands: it is given the stretches between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import ahocorasick

from milter.identity import vocabulary
from milter.identity.brands import look
from milter.model.quick import quick
from milter.text.distance import NearWords

_LONGEST_PIECE = 63
_UNKNOWN = 3  # what a letter costs that no word explains; a word costs one, so that few long words win over many short


@quick
@dataclass(frozen=True, slots=True)
class Cover:
    """Numbers of health words and service words, letters that nothing explains, and the runs of those letters."""

    health: int = 0
    service: int = 0
    unknown: int = 0
    chunks: tuple[str, ...] = ()

    @property
    def lures(self) -> int:
        """Words that dress a brand up."""
        return self.health + self.service

    def __add__(self, other: Cover) -> Cover:
        return Cover(self.health + other.health, self.service + other.service, self.unknown + other.unknown, self.chunks + other.chunks)


NOTHING = Cover()


def _kinds() -> dict[str, str]:
    found = {look(word): "filler" for word in vocabulary.FILLER}
    found.update({look(word): "service" for word in vocabulary.SERVICE})
    found.update({look(word): "health" for word in vocabulary.HEALTH})
    return found


_KINDS = _kinds()
_NUMBER = re.compile("[0-9]+")
_NEAR = NearWords({word: 1 for word, kind in _KINDS.items() if kind != "filler" and len(word) >= 6})


def _automaton(words: Iterable[str]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for word in words:
        automaton.add_word(word, word)
    automaton.make_automaton()
    return automaton


_WORDS = _automaton(_KINDS)
_LURES = _automaton(word for word, kind in _KINDS.items() if kind != "filler" and len(word) >= 3)


def may_lure(looked: str) -> bool:
    """False when no word of health or service stands in the looked text; far cheaper than to explain it."""
    return next(_LURES.iter(looked), None) is not None


def cover(text: str) -> Cover:
    """Explain a stretch of a label (lower case, ASCII); hyphens, dots and underscores part words."""
    total = NOTHING
    for piece in pieces(text):
        total += _piece(piece[:_LONGEST_PIECE])
    return total


def pieces(text: str) -> list[str]:
    """The words between hyphens, dots and underscores."""
    return [piece for piece in text.replace(".", "-").replace("_", "-").split("-") if piece]


def glues(piece: str, *, left: bool) -> bool:
    """True when a word ends where this piece, written onto its left (or right) end, stops: it is known words or a number."""
    short = _SHORT_LEFT if left else _SHORT_RIGHT
    return piece.isdigit() or piece in short or (len(piece) >= 3 and not _known(piece).unknown)


_SHORT_LEFT = frozenset({"ma", "my", "le", "la"})
_SHORT_RIGHT = frozenset({"fr"})


@lru_cache(maxsize=8192)
def _piece(piece: str) -> Cover:
    found = _known(piece)
    if found.unknown and (near := _NEAR.find(look(piece))):
        return Cover(health=1) if _KINDS[near[0]] == "health" else Cover(service=1)
    return found


@lru_cache(maxsize=8192)
def _known(piece: str) -> Cover:
    counts = {"health": 0, "service": 0, "filler": 0, "number": 0}
    unknown = 0
    chunks: list[str] = []
    run, before = "", True  # letters that nothing explains, and whether they begin where a word clearly ends
    looked = look(piece)
    words = _segment(piece, looked, shortest=2)
    if not all(kind for _, kind in words):
        # Short words explain letters by chance (la-van-de): they count only where they leave nothing over.
        words = _segment(piece, looked, shortest=4)
    for word, kind in [*words, ("", "end")]:
        if not kind:
            run += word
            continue
        clear = kind == "end" or len(word) >= 4
        if run:
            unknown += len(run)
            if before and clear:
                chunks.append(run)
        run, before = "", clear
        if kind != "end":
            counts[kind] += 1
    return Cover(counts["health"], counts["service"], unknown, tuple(chunks))


def _segment(piece: str, looked: str, *, shortest: int) -> list[tuple[str, str]]:
    """The cheapest way to write the piece as known words, numbers and single unknown letters (kind "")."""
    size = len(piece)
    steps: list[list[tuple[int, str]]] = [[] for _ in range(size + 1)]  # by where a word ends: where it starts, its kind
    for last, word in _WORDS.iter(looked):
        if len(word) >= shortest or len(word) == size:
            steps[last + 1].append((last + 1 - len(word), _KINDS[word]))
    for number in _NUMBER.finditer(piece):
        steps[number.end()].extend((start, "number") for start in range(*number.span()))
    best: list[tuple[int, int, str]] = [(0, 0, "")]  # cost, where the last word starts, its kind
    for end in range(1, size + 1):
        known = [(best[start][0] + 1, start, kind) for start, kind in steps[end]]
        best.append(min([(best[end - 1][0] + _UNKNOWN, end - 1, ""), *known]))
    words = []
    end = size
    while end:
        _, start, kind = best[end]
        words.append((piece[start:end], kind))
        end = start
    return words[::-1]
