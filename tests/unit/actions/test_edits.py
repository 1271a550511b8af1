"""Splicing: inserts in front, removals and replacements in place, every other octet as it came."""

from __future__ import annotations

import pytest

from milter.actions import edits
from milter.mime.fields import scan
from milter.model.edit import Edit, Insert, Remove, Replace
from milter.model.limits import Limits

A, B, C = b"A: 1\r\n", b"B: 2\r\n folded\r\n", b"C: 3\r\n"
MAIL = A + B + C + b"\r\nbody\r\n.\r\n"


@pytest.mark.parametrize(
    ("raw", "changes", "expected"),
    [
        (MAIL, (), MAIL),
        (MAIL, (Insert(b"X: 1\r\n"), Insert(b"Y: 2\r\n")), b"X: 1\r\nY: 2\r\n" + MAIL),
        (MAIL, (Remove(1),), A + C + b"\r\nbody\r\n.\r\n"),
        (MAIL, (Remove(2), Remove(0)), B + b"\r\nbody\r\n.\r\n"),
        (MAIL, (Replace(1, b"B: new\r\n"),), A + b"B: new\r\n" + C + b"\r\nbody\r\n.\r\n"),
        (MAIL, (Remove(0), Insert(b"X: 1\r\n"), Replace(2, b"C: 4\r\n")), b"X: 1\r\n" + B + b"C: 4\r\n\r\nbody\r\n.\r\n"),
        (MAIL, (Remove(1), Replace(1, b"B: last\r\n")), A + b"B: last\r\n" + C + b"\r\nbody\r\n.\r\n"),
        (b"A: 1\nB: 2\n\nbody\n", (Insert(b"X: 1\r\n"), Remove(0)), b"X: 1\r\nB: 2\n\nbody\n"),
        (b"\r\nbody", (Insert(b"X: 1\r\n"),), b"X: 1\r\n\r\nbody"),
        (b"", (Insert(b"X: 1\r\n"),), b"X: 1\r\n"),
        (b"A: 1", (Remove(0),), b""),
        (b"A: 1\r\nB: 2", (Replace(1, b"B: 3"),), b"A: 1\r\nB: 3"),
        (b"no header at all", (Insert(b"X: 1\r\n"),), b"X: 1\r\nno header at all"),
    ],
)
def test_edits_change_nothing_else(raw: bytes, changes: tuple[Edit, ...], expected: bytes) -> None:
    """Each kind of edit does what it says and leaves every other octet, whatever the line ends, with or without header and body."""
    assert edits.apply(raw, scan(raw, Limits()).fields, changes) == expected
    assert edits.carry_out(raw, changes) == expected


@pytest.mark.parametrize("index", [-1, 3])
def test_an_edit_of_a_field_that_is_not_there_is_our_mistake(index: int) -> None:
    """An index outside the header section raises and damages no mail."""
    with pytest.raises(ValueError, match=f"edit of fields .{index}., but the mail has"):
        edits.carry_out(MAIL, (Remove(index),))


def test_fields_behind_the_limits_can_be_edited() -> None:
    """A field that the limits of judging cut off is found when an edit names it."""
    raw = b"".join(b"H%d: x\r\n" % number for number in range(50)) + b"\r\nbody"
    few = scan(raw, Limits(fields=10)).fields
    assert len(few) == 10
    assert edits.apply(raw, few, (Remove(49),)) == raw.replace(b"H49: x\r\n", b"")


@pytest.mark.parametrize("spans", [((2, 1),), ((0, 3), (2, 4)), ((0, 99),), ((3, 4), (0, 1))])
def test_crooked_cuts_raise(spans: tuple[tuple[int, int], ...]) -> None:
    """Cuts that overlap, run backwards or leave the mail raise."""
    with pytest.raises(ValueError, match="overlaps another or leaves the mail"):
        edits.splice(b"0123456789", [edits.Cut(start, end) for start, end in spans])


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"Subject: a\r\n", (b"Subject:", b" a", b"\r\n")),
        (b"Subject : a\r\n b\n", (b"Subject :", b" a\r\n b", b"\n")),
        (b"Subject:", (b"Subject:", b"", b"")),
        (b"Subject:\r\n", (b"Subject:", b"", b"\r\n")),
        (b"Subject:\n", (b"Subject:", b"", b"\n")),
        (b"Subject: a", (b"Subject:", b" a", b"")),
        (b"Subject: a\r\r\n", (b"Subject:", b" a\r", b"\r\n")),
    ],
)
def test_pieces_of_a_field(octets: bytes, expected: tuple[bytes, bytes, bytes]) -> None:
    """A field falls into name with colon, value and line end, and the three make the field again."""
    (field,) = scan(octets, Limits()).fields
    found = edits.pieces(octets, field)
    assert found == expected
    assert b"".join(found) == octets


def test_a_release_keeps_subjects() -> None:
    """What a release delivers has the inserts and removals, not the replacements."""
    changes = (Insert(b"X: 1\r\n"), Replace(0, b"A: 2\r\n"), Remove(1))
    assert edits.without_replacements(changes) == (changes[0], changes[2])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", True),
        (b"A: b\r\n" * 49_999 + b"\r\n" + b"x\r\n" * 60_000, True),
        (b"A: b\r\n" * 50_001 + b"\r\n", False),
        (b"A: b\n" * 49_999 + b"\n" + b"x\n" * 60_000, True),
        (b"A: b\n" * 50_001 + b"\n\r\n", False),
        (b"A: " + b"x" * 9_000_000 + b"\r\n\r\n", False),
        (b"A: b\r\n" * 50_001, False),
        (b"x\r\n" * 50_001, True),
        (b"A: b\r\n" + b"x" * 9_000_000, True),
    ],
)
def test_a_header_that_is_never_read_whole_is_known(raw: bytes, *, expected: bool) -> None:
    """Where fields could stand beyond all limits, the answer is no; what it lets through is read to the last field."""
    assert edits.can_read_all(raw) is expected
    if expected:
        assert not scan(raw, edits._WIDE).incomplete
