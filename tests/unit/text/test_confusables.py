"""Characters that look alike."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.text import confusables_table
from milter.text.confusables import ASCII_LOOKALIKES, skeleton
from tests.helpers import confusables_source

UNICODE = Path(__file__).resolve().parents[4] / "shared" / "data" / "unicode" / "confusables.txt"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mgen", "mgеn"),
        ("lavande", "lаvаndе"),
        ("maaf", "rnaaf"),
        ("apivia", "аріvіа"),
        ("alan", "a1an"),
        ("axa", "ａｘａ"),
        ("axa", "a\u200bxa"),
        ("macif", "mаcif"),
    ],
)
def test_look_alikes_have_one_skeleton(one: str, other: str) -> None:
    """Cyrillic, full-width, multi-letter, digit and invisible tricks all give the skeleton of the honest word."""
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("maif", "maaf"), ("axa", "axo"), ("mgen", "agen"), ("santé", "sante")])
def test_different_looks_have_different_skeletons(one: str, other: str) -> None:
    """Neighbours that a reader tells apart stay apart; an accent is ink."""
    assert skeleton(one) != skeleton(other)


def test_the_shipped_table_is_the_unicode_file() -> None:
    """Generating the table again from confusables.txt gives exactly the module that is shipped."""
    if not UNICODE.exists():
        pytest.skip("shared data (unicode/confusables.txt) is not beside the repository")
    shipped = Path(confusables_table.__file__).read_text("utf-8")
    assert confusables_source.source(UNICODE.read_text("utf-8-sig")) == shipped


def test_the_skeleton_follows_the_unicode_file() -> None:
    """Every pair of confusables.txt has one skeleton, whatever way our table is packed."""
    if not UNICODE.exists():
        pytest.skip("shared data (unicode/confusables.txt) is not beside the repository")
    pairs = confusables_source.table(UNICODE.read_text("utf-8-sig"))
    # a source that NFD takes apart is never looked up itself (UTS #39 §4, step 1)
    wrong = [source for source, target in pairs.items() if unicodedata.is_normalized("NFD", source) and skeleton(source) != skeleton(target)]
    assert len(pairs) > 6_000
    assert wrong == []


@pytest.mark.parametrize(
    ("char", "letter"), [("а", "a"), ("Ν", "n"), ("ν", "v"), ("І", "i"), ("œ", "oe"), ("ɡ", "g"), ("ᴀ", "a"), ("ѕ", "s"), ("ø", "o")]
)
def test_letters_are_read_as_ascii(char: str, letter: str) -> None:
    """A letter outside ASCII is read as the letter that it resembles, capital and small apart."""
    assert ASCII_LOOKALIKES[ord(char)] == letter


def test_the_letter_table_is_ascii_and_closed() -> None:
    """Sources are never ASCII, answers always lower-case ASCII letters or digits, so mapping twice is mapping once."""
    assert all(code > 127 and look.isascii() and look.isalnum() and look == look.lower() for code, look in ASCII_LOOKALIKES.items())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_the_skeleton_is_idempotent(text: str) -> None:
    """Invariant: the skeleton of a skeleton is the skeleton; nothing raises."""
    once = skeleton(text)
    assert skeleton(once) == once


@pytest.mark.slow
def test_every_code_point_has_a_stable_skeleton() -> None:
    """Every Unicode character alone: the skeleton is idempotent."""
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert [char for char in chars if skeleton(skeleton(char)) != skeleton(char)] == []
