"""Carry out edits of the header section by splicing octets; nothing is ever parsed and written back.

Knows offsets of received fields and the three kinds of edit. Must not know why an edit is made, nor SMTP.
Line ends: an inserted field ends in CRLF (RFC 5321 §2.3.8: mail on the wire has no other), whatever the mail itself uses; every octet that
is kept stays as it came, so a mail with LF line ends keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milter.mime import fields as mime_fields
from milter.model.edit import Edit, Insert, Remove, Replace
from milter.model.limits import Limits
from milter.model.message import Field


@dataclass(frozen=True, slots=True)
class Cut:
    """Put `octets` in the place of `raw[start:end]`."""

    start: int
    end: int
    octets: bytes = b""


def apply(raw: bytes, fields: Sequence[Field], edits: Iterable[Edit]) -> bytes:
    """The mail after the edits. `fields` are all header fields of `raw`, in order.

    Inserts stand in front in their order. Of several edits of one field the last counts. Raises ValueError for a field that does not exist:
    that is our own mistake.
    """
    edits = tuple(edits)
    return b"".join((front(edits), splice(raw, cuts(fields, edits))))


def carry_out(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """`apply` for a caller who does not hold the fields; looks for them only when an edit needs them."""
    edits = tuple(edits)
    needed = any(not isinstance(edit, Insert) for edit in edits)
    return apply(raw, all_fields(raw) if needed else (), edits)


def all_fields(raw: bytes) -> tuple[Field, ...]:
    """Every header field of the mail, beyond the limits of judging too: the scanner is linear, and a forged field may stand anywhere."""
    size = len(raw) + 1
    return tuple(mime_fields.scan(raw, Limits(header_octets=size, fields=size, field_octets=size)).fields)


def front(edits: Iterable[Edit]) -> bytes:
    """The octets that the edits put in front of the mail."""
    return b"".join(edit.octets for edit in edits if isinstance(edit, Insert))


def cuts(fields: Sequence[Field], edits: Iterable[Edit]) -> tuple[Cut, ...]:
    """The removals and replacements as offsets, in the order of the mail."""
    by_index: dict[int, bytes] = {}
    for edit in edits:
        if isinstance(edit, Insert):
            continue
        if not 0 <= edit.index < len(fields):
            raise ValueError(f"edit of field {edit.index}, but the mail has {len(fields)}")
        by_index[edit.index] = edit.octets if isinstance(edit, Replace) else b""
    return tuple(Cut(fields[index].start, fields[index].end, by_index[index]) for index in sorted(by_index))


def splice(raw: bytes, changes: Iterable[Cut]) -> bytes:
    """The octets after the cuts, which must be in order and must not overlap (else ValueError)."""
    parts: list[bytes] = []
    kept = 0
    for cut in changes:
        if not kept <= cut.start <= cut.end <= len(raw):
            raise ValueError(f"cut {cut.start}:{cut.end} overlaps another or leaves the mail")
        parts += (raw[kept : cut.start], cut.octets)
        kept = cut.end
    parts.append(raw[kept:])
    return b"".join(parts)


def without_replacements(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits that leave every kept field as it came: what a release from quarantine delivers."""
    return tuple(edit for edit in edits if isinstance(edit, Insert | Remove))
