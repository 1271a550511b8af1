"""Names of organisations in texts."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.identity.names import plain_words
from milter.identity.organisation import AliasStrength
from milter.identity.registry import Registry


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Mutuelle Lavande",
            "MUTUELLE  LAVANDE",
            "mutuelle-lavande",
            "Mutuelle\u00a0Lavande",
            "la « Mutuelle Lavande »",
            "M u t u e l l e  L a v a n d e",
        ),
        *(
            "MutuelleLavande",
            "Mutuеlle Lаvande",
            "Ｍutuelle Ｌavande",
            "Mutuelle\u200b Lav\u00adande",
            "Mutue11e Lavande",
            "Mutuelle Lavànde",
            "M.U.T.U.E.L.L.E Lavande",
        ),
    ],
)
def test_a_name_is_found_however_it_is_written(invented: Registry, text: str) -> None:
    """Case, spacing, hyphens, accents, invisible characters, other scripts and digits for letters make no difference."""
    found = invented.find_names(text)
    assert [(match.insurer, match.strength) for match in found] == [("mutuelle-lavande", AliasStrength.DISTINCTIVE)]


@pytest.mark.parametrize(
    "text", ["", "Mutuelles Lavandes", "amutuelle lavandes", "Boréale", "asnieres", "la mutuelle des lilas", "tpvx", "49 53", "."]
)
def test_parts_of_words_are_no_names(invented: Registry, text: str) -> None:
    """Names are bounded by words; other words, plurals and figures name nobody."""
    assert invented.find_names(text) == ()


def test_the_longest_name_wins(invented: Registry) -> None:
    """`Boréal Assurances Vie` is one name, not three."""
    assert [match.name for match in invented.find_names("Boréal Assurances Vie, Opale")] == ["boreal assurances vie", "opale"]


@pytest.mark.parametrize(
    ("text", "certain"), [("Alizée", False), ("Alizée Martin", False), ("Alizée santé", True), ("ma mutuelle Alizée", True), ("TPV", False)]
)
def test_an_ambiguous_name_needs_a_word_of_health(invented: Registry, text: str, certain: bool) -> None:  # noqa: FBT001  # a table of cases
    """A first name, a wind or three letters mean the insurer only beside a word of health or insurance."""
    assert [match.certain for match in invented.find_names(text)] == [certain]


@pytest.mark.parametrize(
    "text", ["I'm a sick puppy", "6:49pm up 57 days", "Just do it", "see you on Friday", "Marie Martin", "Ville de Lyon", "L'avis de Paul"]
)
def test_ordinary_words_mean_no_insurer(french: Registry, text: str) -> None:
    """Letters of other words, times of day, English words, people and towns are no certain name."""
    assert [match for match in french.find_names(text) if match.certain] == []


def test_single_letters_in_a_row_are_joined() -> None:
    """Spaced-out letters are one word; an apostrophe parts two words that stay apart."""
    assert plain_words("M G E N, A.X.A et l'été") == " mgen axa et l ete "


def test_matches_are_counted_out(invented: Registry) -> None:
    """No more names than the limit are given."""
    assert len(invented.find_names("Opale Tiers Payant. " * 500, limit=7)) == 7


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_read(french: Registry, text: str) -> None:
    """Invariant: nothing raises, and every match lies inside the words, in order."""
    reading = french.read_names(text)
    at = 0
    for match in reading.matches:
        assert at <= match.start < match.end < len(reading.words)
        at = match.end
    assert "".join(reading.without_names()).isalnum() or not reading.without_names()


_NAMES = ("Harmonie Mutuelle", "MGEN", "M.G.E.N", "m  g e n", "harm0nie", "Mutuelle", "Générale", "Gênérale de Santé", "macif", "MAlF", "Axa")
_PIECES = st.sampled_from([*_NAMES, "Аха", "santé", "cœur", "l", "a", "5", "œ", "é", "x"])
_BETWEEN = st.sampled_from([" ", " ", "  ", ", ", ". ", ".", "-", "_", "'", "’", "…", "\xa0", "\xad", "\u200b", "\n", "&", "(", "€", "½", ""])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(_PIECES, _BETWEEN), max_size=6), st.sampled_from([str, str.upper, str.swapcase]))
def test_the_first_look_overlooks_no_name(french: Registry, written: list[tuple[str, str]], cased: Callable[[str], str]) -> None:
    """Invariant: looking for names alone finds those that a whole reading finds."""
    text = cased("".join(piece + between for piece, between in written))
    assert french.find_names(text) == french.read_names(text).matches


@pytest.mark.parametrize(
    "text", ["a " * 100_000, "mgen " * 40_000, "m.g.e.n." * 25_000, "\u0301" * 200_000, "mutuelle générale de " * 10_000, "’" * 200_000]
)
def test_long_hostile_texts_are_quick(french: Registry, text: str) -> None:
    """200,000 characters of the worst kind are read in less than two seconds."""
    started = time.process_time()
    french.read_names(text)
    french.find_names(text)
    assert time.process_time() - started < 2
