"""A share of one event loop for large work, so that small work hardly notices it.

Large work comes in slices of a few hundred kilobytes. They are done one by one, and after each the loop is left to everybody else for some
times as long as it took. Must not know what a slice does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
_SHARE = 0.25  # of the loop's time
_FINE = 0.001  # seconds: timers know no less; shorter pauses add up first
_LONGEST = 0.05  # a slice that was held up by the machine must not make the others wait for long


class Lane:
    """Belongs to one event loop. Slices run in the order in which they were asked for."""

    def __init__(self, share: float = _SHARE) -> None:
        self._share = share
        self._free = 0.0
        self._turn = asyncio.Lock()

    async def slice(self, work: Callable[[], T]) -> T:
        """Do `work` when it is its turn; it must be short, because nothing interrupts it. What it raises passes through."""
        async with self._turn:
            pause = self._free - perf_counter()
            await asyncio.sleep(pause if pause > _FINE else 0)
            began = perf_counter()
            try:
                return work()
            finally:
                took = min(perf_counter() - began, _LONGEST)
                self._free = max(self._free, began) + took / self._share
