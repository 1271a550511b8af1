"""Carry out edits of the header section by splicing octets; nothing is ever parsed and written back.

Knows offsets of received fields and the three kinds of edit. Must not know why an edit is made, nor SMTP.
Line ends: an inserted field ends in CRLF (RFC 5321 §2.3.8: mail on the wire has no other), whatever the mail itself uses; every octet that
is kept stays as it came, so a mail with LF line ends keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milter.mime import fields as mime_fields
from milter.model.edit import Edit, Insert, Remove, Replace
from milter.model.limits import Limits
from milter.model.message import Field
from milter.model.quick import quick

# A forged field may stand behind a thousand others. The scanner is linear; these bound its memory.
_WIDE = Limits(header_octets=8_388_608, fields=50_000, field_octets=8_388_608)

_MAILBOX_LINE = re.compile(rb">{0,9}From [^\r\n]{0,998}\r?\n(?:[ \t][^\r\n]*+\r?\n)*+")  # with what continues it


@quick
@dataclass(frozen=True, slots=True)
class Cut:
    """Put `octets` in the place of `raw[start:end]`."""

    start: int
    end: int
    octets: bytes = b""


def apply(raw: bytes, fields: Sequence[Field], edits: Iterable[Edit]) -> bytes:
    """The mail after the edits. `fields` are the header fields of `raw` from the first, in order.

    Inserts stand in front in their order (see `compose`). Of several edits of one field the last counts. An edit of a field that stands
    behind `fields` (the limits of judging cut them off) makes all fields be looked for. Raises ValueError for a field that does not
    exist: our own mistake.
    """
    edits = tuple(edits)
    return compose(raw, front(edits), cuts(raw, fields, edits))


def mailbox_line(raw: bytes) -> bytes:
    """The Unix mailbox line that stands first, with what continues it; b"" without one."""
    line = _MAILBOX_LINE.match(raw)
    return line[0] if line else b""


def compose(raw: bytes, front: bytes, changes: Iterable[Cut]) -> bytes:
    """The mail after the cuts with `front` before it, but behind a Unix mailbox line (`From x …`) that stands first.

    That line is no header field: before it, ours would end the header section for the next hop, and the sender's fields would be text.
    """
    return b"".join(_composed(raw, front, changes))


def _composed(raw: bytes, front: bytes, changes: Iterable[Cut]) -> list[bytes | memoryview]:
    start = len(mailbox_line(raw))
    return _spliced(raw, (Cut(start, start, front), *(cut for cut in changes if cut.start >= start)))


def carry_out(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """`apply` for a caller who does not hold the fields; looks for them only when an edit needs them."""
    return apply(raw, (), edits)


def carry_out_in_pieces(raw: bytes, edits: Iterable[Edit]) -> tuple[bytes | memoryview, ...]:
    """The same without a copy of the mail: joined, the pieces are what `carry_out` gives. The first two hold all that is inserted."""
    edits = tuple(edits)
    return tuple(_composed(raw, front(edits), cuts(raw, (), edits)))


def header_fields(raw: bytes) -> tuple[Field, ...]:
    """The header fields, far beyond the limits of judging. The first ones are the fields that judging saw, so indexes agree."""
    return tuple(mime_fields.scan(raw, _WIDE).fields)


def all_fields(raw: bytes) -> tuple[Field, ...]:
    """The header fields, then those behind a line that is no field: forgiving readers take them for fields.

    An empty first line is different: with fields of ours before it, it ends the header section for everybody.
    """
    header = mime_fields.scan(raw, _WIDE)
    return tuple(header.fields) if raw.startswith((b"\r\n", b"\n")) else (*header.fields, *header.beyond)


def can_read_all(raw: bytes) -> bool:
    """Whether the limits here reach the end of the header section; if not, a forged field could stand where nobody looks. Soon answered."""
    most = _WIDE.header_octets + 3
    end = raw.find(b"\n\r\n", 0, most)
    bare = raw.find(b"\n\n", 0, most if end < 0 else end)
    end = min((place for place in (end, bare) if place >= 0), default=len(raw))
    is_small = end < _WIDE.header_octets and (end < _WIDE.fields or raw.count(b"\n", 0, end) < _WIDE.fields)
    return is_small or not mime_fields.scan(raw, _WIDE).incomplete


def pieces(raw: bytes, field: Field) -> tuple[bytes, bytes, bytes]:
    """A field as (name and colon, value, line end); the three joined are its octets. The line end is empty where the mail ends without one."""
    octets = raw[field.start : field.end]
    colon = octets.index(b":") + 1
    size = 2 if octets.endswith(b"\r\n") else 1 if octets.endswith((b"\n", b"\r")) else 0
    end = max(colon, len(octets) - size)
    return octets[:colon], octets[colon:end], octets[end:]


def front(edits: Iterable[Edit]) -> bytes:
    """The octets that the edits put in front of the mail."""
    return b"".join(edit.octets for edit in edits if isinstance(edit, Insert))


def cuts(raw: bytes, fields: Sequence[Field], edits: Iterable[Edit]) -> tuple[Cut, ...]:
    """The removals and replacements as offsets, in the order of the mail."""
    by_index: dict[int, bytes] = {}
    for edit in edits:
        if not isinstance(edit, Insert):
            by_index[edit.index] = edit.octets if isinstance(edit, Replace) else b""
    if by_index and max(by_index) >= len(fields):
        fields = all_fields(raw)
    if by_index and not 0 <= min(by_index) <= max(by_index) < len(fields):
        raise ValueError(f"edit of fields {sorted(by_index)}, but the mail has {len(fields)}")
    return tuple(Cut(fields[index].start, fields[index].end, by_index[index]) for index in sorted(by_index))


def splice(raw: bytes, changes: Iterable[Cut]) -> bytes:
    """The octets after the cuts, which must be in order and must not overlap (else ValueError)."""
    return b"".join(_spliced(raw, changes))


def _spliced(raw: bytes, changes: Iterable[Cut]) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    view = memoryview(raw)
    kept = 0
    for cut in changes:
        if not kept <= cut.start <= cut.end <= len(raw):
            raise ValueError(f"cut {cut.start}:{cut.end} overlaps another or leaves the mail")
        parts += (view[kept : cut.start], cut.octets)
        kept = cut.end
    parts.append(view[kept:])
    return parts


def without_replacements(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits that leave every kept field as it came: what a release from quarantine delivers."""
    return tuple(edit for edit in edits if isinstance(edit, Insert | Remove))
