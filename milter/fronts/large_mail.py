"""A large mail on its way in: each piece is looked at as it comes, so that no work on the whole of it is left for the end.

Knows what `smtp_session` must know of a mail before it takes it. RFC 5321 §2.3.8. Small mails take the short way through the same door, `take`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from milter.actions import edits, smtp_client
from milter.adapters.lane import Lane
from milter.adapters.spool import Spool
from milter.fronts import line_ends
from milter.fronts.line_ends import Stray

_SLICE = 262_144


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail whole: `received` as it came, `proper` with proper line ends (the same object where nothing had to be done or it is refused).

    `stray` is what it must be refused for, if anything; without it `is_readable` says whether its header section can be read to its end.
    """

    received: bytes
    proper: bytes
    stray: Stray | None = None
    is_readable: bool = True


class LargeMail:
    """Fulfils `inbox.Sink`. With `normalise` only NUL is a reason to refuse."""

    def __init__(self, *, normalise: bool) -> None:
        self.stray: Stray | None = None
        self._normalise = normalise
        self._is_whole = True
        self._lines = 0
        self._held = b""
        self._spool = Spool()

    def add(self, octets: bytes) -> None:
        """One more piece, dots removed."""
        self._spool.add(octets)
        looked_at = self._held + octets
        self._held = b"\r" if looked_at.endswith(b"\r") else b""  # its LF may come with the next piece
        self._look(looked_at[:-1] if self._held else looked_at)

    def _look(self, octets: bytes) -> None:
        self._is_whole = self._is_whole and smtp_client.has_whole_line_ends(octets)
        if self.stray is None:
            found = line_ends.find_stray(octets, only_nul=self._normalise)
            if found is not None:
                self.stray = Stray(found.name, self._lines + found.line)
            self._lines += octets.count(b"\r\n" if self._normalise else b"\n")

    def __len__(self) -> int:
        return self._spool.size

    def close(self) -> None:
        """It is not wanted any more."""
        self._spool.close()

    async def take(self, lane: Lane) -> Taken:
        """The mail whole. Its last piece has come."""
        if self._held:
            self._look(self._held)
        if self.stray is not None:
            self.close()
            return Taken(b"", b"", self.stray)
        received = proper = await self._spool.take()
        if not self._is_whole:
            made = Spool()
            for piece in _whole_lines(received):
                made.add(await lane.slice(partial(line_ends.normalise, piece)))
            proper = await made.take()
        return Taken(received, proper, None, edits.can_read_all(received))


def _whole_lines(octets: bytes) -> Iterator[bytes]:
    """Pieces none of which ends between CR and LF."""
    start = 0
    while start < len(octets):
        end = start + _SLICE
        if octets[end - 1 : end + 1] == b"\r\n":
            end += 1
        yield octets[start:end]
        start = end


async def take(content: bytes | LargeMail, lane: Lane, *, normalise: bool) -> Taken:
    """The mail that the inbox gave, whole, and why it cannot be taken, if so."""
    if isinstance(content, LargeMail):
        return await content.take(lane)
    stray = line_ends.find_stray(content, only_nul=normalise)
    if stray is not None:
        return Taken(content, content, stray)
    return Taken(content, line_ends.normalise(content) if normalise else content, None, edits.can_read_all(content))
