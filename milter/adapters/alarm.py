"""One timer of an event loop in the place of many, for deadlines that are seldom reached.

Knows when it has to ring next; must not know what for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_EARLY = 0.001  # seconds; loops ring up to their clock's resolution early


class Alarm:
    """Calls `ring` with the loop's time, no later than any time that was `set`, and again at the time that `ring` returns (None: no more).

    `ring` looks by itself at what is due by then. Belongs to one event loop.
    """

    __slots__ = ("_at", "_ring", "_timer")

    def __init__(self, ring: Callable[[float], float | None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = float("inf")

    def set(self, at: float) -> None:
        """Ring at this time (in the loop's) too."""
        if at >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._fire)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._at = float("inf")

    def _fire(self) -> None:
        self._timer = None
        self._at = float("inf")
        following = self._ring(asyncio.get_running_loop().time() + _EARLY)
        if following is not None:
            self.set(following)
