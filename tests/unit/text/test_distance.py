"""Slips of the finger between two words."""

from __future__ import annotations

import pytest

from milter.text.distance import osa


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
    assert osa(a, b, 2) == slips


def test_beyond_the_limit_only_the_excess_is_told() -> None:
    """A greater distance is reported as limit + 1."""
    assert osa("matmut", "lavande", 2) == 3
