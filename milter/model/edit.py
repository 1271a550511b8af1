"""Edits of the header section, as values: the proxy splices them into the octets, a milter maps them to its commands.

The body is never edited. Indexes count the header fields of the received mail from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Insert:
    """Put a field in front of the header section; several keep their order. `octets` is a whole field ending in CRLF."""

    octets: bytes


@quick
@dataclass(frozen=True, slots=True)
class Remove:
    """Take out received field number `index` with all its lines."""

    index: int


@quick
@dataclass(frozen=True, slots=True)
class Replace:
    """Put `octets` (a whole field, with the line end of the old one) in the place of received field number `index`."""

    index: int
    octets: bytes


Edit = Insert | Remove | Replace
