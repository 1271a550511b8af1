"""Ids, masks and states of quarantined mails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from milter.errors import QuarantineError
from milter.quarantine.entry import checked_id, new_id

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def test_ids_sort_by_time() -> None:
    """An id made later sorts behind one made at least a millisecond earlier."""
    made = [new_id(NOON + timedelta(milliseconds=step)) for step in range(50)]
    assert made == sorted(made)


def test_ids_of_one_moment_differ() -> None:
    """Ids of the same moment are told apart by 60 random bits."""
    assert len({new_id(NOON) for _ in range(1000)}) == 1000


def test_a_new_id_is_a_good_id() -> None:
    """What `new_id` makes is what `checked_id` lets through."""
    name = new_id(NOON)
    assert checked_id(name) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../../etc/passwd", "01kezm4qh0/../../../../ab", "01KEZM4QH0abcdefghjkmn", "01kezm4qh0abcdefghjkm", "01kezm4qh0abcdefghjkmn\n",
     "01kezm4qh0abcdefghjkmu", "01kezm4qh0abcdefghjk\0n", "０１kezm4qh0abcdefghjkmn"],
)  # fmt: skip
def test_anything_else_is_no_id(text: str) -> None:
    """A text that is not exactly an id never comes near a path."""
    with pytest.raises(QuarantineError, match="not a quarantine id"):
        checked_id(text)
