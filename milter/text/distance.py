"""How many slips of the finger lie between two words, and which known words lie near one.

Optimal string alignment: insertion, omission, replacement and the swap of two neighbours cost one each. rapidfuzz counts;
an index of shortened words finds whom to count against, so that the number of known words hardly matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rapidfuzz.distance import OSA


def shortened(word: str) -> Iterator[str]:
    """The word and every word that lacks one of its letters. Two words one slip apart share at least one of these."""
    yield word
    for index in range(len(word)):
        yield word[:index] + word[index + 1 :]


class NearWords:
    """Known words, each with the number of slips (1 or 2) that it may be off. Finds in time that depends on the question."""

    __slots__ = ("_halves", "_limits", "_longest", "_shortest", "_whole")

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._shortest = min((len(word) - limit for word, limit in limits.items()), default=1)
        self._longest = max((len(word) + limit for word, limit in limits.items()), default=0)
        self._whole: dict[str, tuple[str, ...]] = _index((word, word) for word, limit in limits.items() if limit == 1)
        # Two slips leave one half of the word with at most one: the halves are indexed, marked by the end that they stand at.
        self._halves: dict[str, tuple[str, ...]] = _index(
            (half, word) for word, limit in limits.items() if limit == 2 for half in ("<" + word[: len(word) // 2], ">" + word[len(word) // 2 :])
        )

    def find(self, word: str) -> tuple[str, int] | None:
        """The nearest known word within its limit and the slips between, the first in alphabet when several are as near."""
        size = len(word)
        if not self._shortest <= size <= self._longest:
            return None
        best: tuple[int, str] | None = None
        for known in self._candidates(word):
            limit = self._limits[known]
            if abs(len(known) - size) <= limit:
                slips = OSA.distance(word, known, score_cutoff=limit)
                if slips <= limit and (best is None or (slips, known) < best):
                    best = slips, known
        return (best[1], best[0]) if best else None

    def _candidates(self, word: str) -> set[str]:
        found: set[str] = set()
        whole = self._whole
        for index in range(len(word)):
            if known := whole.get(word[:index] + word[index + 1 :]):
                found.update(known)
        if known := whole.get(word):
            found.update(known)
        if not self._halves:
            return found
        # A known word of n letters lies within n ± 2; with the slips shared out, its halves end this near the middle.
        middle, halves = len(word) // 2, self._halves
        parts = ["<" + word[:cut] for cut in range(middle - 1, middle + 2)]
        parts += [">" + word[len(word) - length :] for length in range(middle - 1, middle + 3)]
        for part in parts:
            for index in range(1, len(part)):
                if known := halves.get(part[:index] + part[index + 1 :]):
                    found.update(known)
            if known := halves.get(part):
                found.update(known)
        return found


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text, word in pairs:
        for key in shortened(text):
            known = found.get(key)
            found[key] = (word,) if known is None else tuple(sorted({*known, word}))
    return found
