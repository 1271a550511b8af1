"""Folding text for comparison: what becomes equal, and that every folded character knows where it comes from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.text.normal import fold, fold_map, plain


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Échéance  d’aujourd’hui", "echeance d'aujourd'hui"),
        ("E\u0301che\u0301ance", "echeance"),
        ("Cоnfirmеr", "confirmer"),
        ("ＡＭＥＬＩ 𝐀𝐗𝐀", "ameli axa"),
        ("œuvre ﬃ Straße", "oeuvre ffi strasse"),
        ("u\u200brg\u00adent\ufeff\u202e", "urgent"),
        ("«\u00a0RIB\u00a0» – 48\u202fh…", '" rib " - 48 h...'),
        ("a\r\n\t b", "a b"),
        ("1l|I0O", "1l|i0o"),
        ("", ""),
    ],
)
def test_fold(written: str, folded: str) -> None:
    """Case, accents, look-alike letters, typography, blanks and invisible characters do not matter."""
    assert fold(written) == folded


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_fold_is_idempotent_and_mapped(text: str) -> None:
    """Invariant: folding twice changes nothing, and the map gives the same text with rising places inside the original."""
    folded = fold(text)
    assert fold(folded) == folded
    mapped, places = fold_map(text)
    assert mapped == folded
    assert len(places) == len(mapped)
    assert places == sorted(places)
    assert all(0 <= place < len(text) for place in places)


@pytest.mark.slow
def test_every_character_folds_to_a_fixed_point() -> None:
    """No character of Unicode folds to something that folds further."""
    assert [code for code in range(0x110000) if fold(fold(chr(code))) != fold(chr(code))] == []


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_plain_keeps_the_letters_and_digits_of_the_fold(text: str) -> None:
    """Invariant: `plain` is the fold with one blank for everything that is no letter or digit."""
    between = "".join(char if char.isalnum() else " " for char in fold(text))
    assert plain(text) == f" {' '.join(between.split())} "


@given(st.text(alphabet=st.characters(codec="cp1252"), max_size=200))
@settings(max_examples=300, deadline=None)
def test_western_text_folds_as_any_other(text: str) -> None:
    """Invariant: the fast way for Windows-1252 gives what the fold character by character gives."""
    assert fold(text) == fold_map(text)[0]
    assert fold(text + "\u4e00") == fold(text) + "\u4e00"
