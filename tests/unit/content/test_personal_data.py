"""Social security numbers and bank accounts in texts: found by form and key, never kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.content.personal_data import kinds


@pytest.mark.parametrize(
    "text",
    [
        "N° 2 69 05 49 588 157 80.",
        "269054958815780",
        "Sécu : 2.69.05.49.588.157.80",
        "2\u00a069\u00a005\u00a049\u00a0588\u00a0157\u00a080",
        "2690549588157 80",
        "1 84 12 2A 004 001 48",
        "1 84 12 2b 004 001 75",
        "1 99 50 99 999 999 87",
    ],
)
def test_finds_a_social_security_number(text: str) -> None:
    """INSEE's 13 digits and key, written together, spaced or dotted, Corsica too."""
    assert kinds(text) == {"nir"}


@pytest.mark.parametrize(
    "text",
    [
        "2 69 05 49 588 157 81",
        "2690549588157",
        "9 69 05 49 588 157 80",
        "2 69 13 49 588 157 80",
        "92690549588157801",
        "2 69 05 49 588 157 801",
        "Facture 269054958815",
        "",
    ],
)
def test_other_numbers_are_none(text: str) -> None:
    """A wrong key, month or length, or a longer number around it, is no social security number."""
    assert kinds(text) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "IBAN FR14 2004 1010 0505 0001 3M02 606",
        "FR1420041010050500013M02606",
        "fr14 2004 1010 0505 0001 3m02 606 merci",
        "DE89 3704 0044 0532 0130 00",
        "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
        "BE68 5390 0754 7034, merci",
        "LU28 0019 4006 4475 0000",
    ],
)
def test_finds_a_bank_account(text: str) -> None:
    """ISO 13616 accounts with a right key, spaced or not, whatever follows."""
    assert kinds(text) == {"iban"}


@pytest.mark.parametrize(
    "text",
    ["FR15 2004 1010 0505 0001 3M02 606", "FR14 2004 1010", "XX14 2004 1010 0505 0001 3M02 606", "DE89 3704 0044 0532 0130", "AB12 CD"],
)
def test_other_codes_are_none(text: str) -> None:
    """A wrong key, country or length is no account."""
    assert kinds(text) == frozenset()


def test_finds_both_in_one_text() -> None:
    """Kinds are a set: each is named once, however often it stands there."""
    assert kinds("269054958815780 269054958815780 DE89370400440532013000") == {"nir", "iban"}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2), st.integers(0, 99), st.integers(1, 12), st.integers(1, 95), st.integers(1, 999), st.integers(1, 999))
def test_every_valid_number_is_found(sex: int, year: int, month: int, department: int, town: int, order: int) -> None:
    """For any number of a mainland birth with its own key: found; with any other key: not."""
    number = f"{sex}{year:02}{month:02}{department:02}{town:03}{order:03}"
    key = 97 - int(number) % 97
    assert kinds(f"{number}{key:02}") == {"nir"}
    assert kinds(f"{number}{key % 97 + 1:02}") == frozenset()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(["FR14", "2", " ", "A", "é", "２"])).map("".join))
def test_looking_never_raises(text: str) -> None:
    """For any text the result is a set of known kinds."""
    assert kinds(text) <= {"nir", "iban"}
