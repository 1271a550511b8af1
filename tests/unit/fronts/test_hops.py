"""The count of Received fields."""

from __future__ import annotations

import pytest

from milter.fronts import hops

FIELD = b"Received: from a.example by b.example; Mon, 1 Jan 2026 00:00:00 +0000\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (FIELD * 50 + b"\r\nx\r\n", False),
        (FIELD * 51 + b"\r\nx\r\n", True),
        (FIELD.replace(b"R", b"r", 1) * 51, True),
        (b"X: y\r\n" + FIELD * 51, True),
        (FIELD * 50 + b"\r\n" + FIELD * 9, False),
        (FIELD * 50 + b"X-Received: x\r\n" * 9 + b"\r\n", False),
        (FIELD * 50 + b"Subject: Received: x\r\n" * 9 + b"\r\n", False),
        (b"", False),
        (b"\r\n", False),
        (b"\r\n" + FIELD * 51, False),
        (b"Received:", False),
    ],
)
def test_more_than_fifty(raw: bytes, expected: bool) -> None:  # noqa: FBT001  # a parameter of the table
    """Only fields of that name count, in the header section alone."""
    assert hops.are_too_many(raw, 50) is expected
