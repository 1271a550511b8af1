"""Which of some patterns occur in a text, found in one pass over its octets.

Knows RE2's sets: the cost is linear and hardly depends on how many patterns there are. Must not know what the patterns mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import re2

_MEMORY = 64_000_000  # octets at most; an automaton uses a small part


class Signs:
    """Named patterns (RE2 syntax, any case). `utf8`: of UTF-8 text, else of octets."""

    def __init__(self, patterns: Mapping[str, str], *, utf8: bool) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
        options.case_sensitive = False
        options.dot_nl = True
        options.max_mem = _MEMORY
        self._automaton = re2.Set.SearchSet(options)
        self._names = ("", *patterns)
        # The first one fits every text, once: one that fits everywhere would take as long as all the others.
        for pattern in (r"\A", *patterns.values()):
            self._automaton.Add(pattern)
        self._automaton.Compile()

    def look(self, octets: bytes) -> frozenset[str]:
        """The names of the patterns that occur, and ""; every name when the automaton fails. Never raises."""
        return frozenset([self._names[number] for number in self._automaton.Match(octets) or ()]) or frozenset(self._names)
