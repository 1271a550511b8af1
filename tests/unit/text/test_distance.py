"""Slips of the finger between two words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from milter.text.distance import NearWords


@pytest.mark.parametrize(
    ("a", "b", "slips"),
    [
        ("matmut", "matmut", 0),
        ("matmut", "mattmut", 1),
        ("matmut", "matmt", 1),
        ("matmut", "matmot", 1),
        ("matmut", "mamtut", 1),
        ("groupama", "gruopma", 2),
    ],
)
def test_each_slip_costs_one(a: str, b: str, slips: int) -> None:
    """Insertion, omission, replacement and a swap of neighbours count one each."""
    assert NearWords({b: 2}).find(a) == (b, slips)


def test_beyond_the_limit_nothing_is_near() -> None:
    """A word that is further off than its limit is not found."""
    assert NearWords({"lavande": 2}).find("matmut") is None


WORDS = {"macif": 1, "matmut": 1, "groupama": 2, "harmoniemutuelle": 2, "viamedis": 2}


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("macif", ("macif", 0)),
        ("macf", ("macif", 1)),
        ("mcaif", ("macif", 1)),
        ("mcf", None),
        ("gruopmaa", ("groupama", 2)),
        ("grouma", ("groupama", 2)),
        ("xgroupamax", ("groupama", 2)),
        ("armoniemutuele", ("harmoniemutuelle", 2)),
        ("viamedia", ("viamedis", 1)),
        ("viamxdxx", None),
        ("", None),
        ("m" * 10_000, None),
    ],
)
def test_the_nearest_known_word_is_found(word: str, found: tuple[str, int] | None) -> None:
    """Within each word's own limit, whatever the slips and wherever they stand."""
    assert NearWords(WORDS).find(word) == found


def test_no_words_are_near_nothing() -> None:
    """An empty index answers None."""
    assert NearWords({}).find("macif") is None


SLIPS = st.lists(st.tuples(st.sampled_from("oirs"), st.integers(0, 30), st.sampled_from("abcmopx")), max_size=2)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WORDS)), SLIPS)
def test_the_index_finds_what_counting_finds(word: str, slips: list[tuple[str, int, str]]) -> None:
    """Invariant: whatever lies within the limit by the count of rapidfuzz, the index finds something at least as near."""
    seen = word
    for kind, place, letter in slips:
        at = place % (len(seen) or 1)
        if kind == "o":
            seen = seen[:at] + seen[at + 1 :]
        elif kind == "i":
            seen = seen[:at] + letter + seen[at:]
        elif kind == "r":
            seen = seen[:at] + letter + seen[at + 1 :]
        else:
            seen = seen[:at] + seen[at : at + 2][::-1] + seen[at + 2 :]
    distance = OSA.distance(seen, word)
    if distance <= WORDS[word]:
        near = NearWords(WORDS).find(seen)
        assert near is not None
        assert near[1] <= distance
