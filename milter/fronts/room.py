"""The memory that the mail of one connection may take, from what its client says of its size to its answer.

RFC 1870 (SIZE). Knows sizes alone. A small mail has its room; a large one asks for it before it comes, and one that grows beyond what was said
asks for as much as any may have. What is given back goes to those who wait.
"""

from __future__ import annotations

from milter.adapters.board import Place
from milter.fronts.gate import Gate
from milter.fronts.smtp_contract import Options


class Room:
    """`announced` is the SIZE that the client names, `is_refused` whether a mail that grew found no room."""

    def __init__(self, memory: Gate, place: Place, options: Options) -> None:
        self.announced = 0
        self.is_refused = False
        self._memory = memory
        self._place = place
        self._small = options.small_octets
        self._most = options.max_octets
        self._reserved = 0  # of a large mail
        self._held = 0  # by a small one

    async def begin(self) -> bool:
        """Ask for what was announced, before the mail comes."""
        return self.announced <= self._small or await self._reserve(self.announced)

    def is_enough(self, received: int) -> bool:
        """Whether a mail of which so much has come may go on without more room."""
        return received <= self._reserved + self._small or self.is_refused or self._reserved >= self._most

    async def grow(self) -> bool:
        """Ask for as much as the largest mail needs."""
        self.is_refused = not await self._reserve(self._most)
        return not self.is_refused

    def settle(self, octets: int) -> None:
        """The mail is there and has its size."""
        if not self._reserved:
            self._held = octets
            self._place.grown(octets)
        elif octets < self._reserved:
            self._memory.give_back(self._reserved - octets)
            self._reserved = octets

    def clear(self) -> None:
        """The mail has its answer, or is gone."""
        if self._held:
            self._place.grown(-self._held)
        if self._reserved:
            self._memory.give_back(self._reserved)
        self.announced = self._reserved = self._held = 0
        self.is_refused = False

    async def _reserve(self, octets: int) -> bool:
        if not await self._memory.take(octets - self._reserved, own=self._reserved):
            return False
        self._reserved = octets
        return True
