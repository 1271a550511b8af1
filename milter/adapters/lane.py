"""A share of one event loop for large work, so that small work hardly notices it.

Large work comes in slices of a few hundred kilobytes. Each slice waits until the ones before it have had their time, and between them the loop is
left to everybody else. Must not know what a slice does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
_SHARE = 0.25  # of the loop's time
_FIRST = 0.0005  # seconds: the first guess of what a slice takes
_LONGEST = 0.05  # one slice that was held up by the machine must not make the others wait for long


class Lane:
    """Belongs to one event loop. Slices run in the order in which they were asked for."""

    def __init__(self, share: float = _SHARE) -> None:
        self._share = share
        self._usual = _FIRST
        self._free = 0.0

    async def slice(self, work: Callable[[], T]) -> T:
        """Do `work` when it is its turn; it must be short, because nothing interrupts it. What it raises passes through."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        start = max(now, self._free)
        self._free = start + self._usual / self._share
        await asyncio.sleep(start - now)
        began = perf_counter()
        try:
            return work()
        finally:
            self._usual += (min(perf_counter() - began, _LONGEST) - self._usual) / 8
