"""Which of some patterns occur in a text."""

from __future__ import annotations

import pytest

from milter.mime.signs import Signs

PATTERNS = {"word": "école|mot", "start": r"(?:\A|\n)x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [("", set()), ("Mots", {"word"}), ("ÉCOLE\nX", {"word", "start"}), ("école", {"word"}), ("ecole x", set()), ("\ufffd\0mot", {"word"})],
)
def test_finds_all_patterns_in_any_case(text: str, found: set[str]) -> None:
    """Every pattern that occurs is named, whatever the case of its letters."""
    assert Signs(PATTERNS, utf8=True).look(text.encode("utf-8")) - {""} == found


def test_a_failing_automaton_promises_everything() -> None:
    """When not even the pattern that always fits is found, all patterns count as found."""
    signs = Signs(PATTERNS, utf8=True)

    class Failing:
        def Match(self, octets: bytes) -> list[int]:
            return []

    signs._automaton = Failing()
    assert signs.look(b"x") >= {"word", "start"}
