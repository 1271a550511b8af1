"""Something that there is only so much of for all workers together: who finds none left waits, first come, first served.

Knows the board. Must not know what is handed out. Nobody is passed over: while one waits, in whichever worker, those who come later wait behind
it, and one who wants more than there ever is gets it when nothing is taken. Workers do not lock each other out: two who ask in the same instant
may both be served, so that a limit may be exceeded by one mail a worker, for as long as that mail takes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress

from milter.adapters.board import Board, Place, Scarce

_LOOK = 0.02  # seconds between two looks at what other workers have given back
_FORGOTTEN = 5.0  # seconds after which one who ought to have given up waiting is no longer waited for: its worker hangs


class Gate:
    """One worker's way to `most` of something. Belongs to one event loop."""

    def __init__(self, board: Board, place: Place, what: Scarce, most: int, *, seconds: float) -> None:
        self._board = board
        self._place = place
        self._what = what
        self._most = most
        self._seconds = seconds
        self._queue: deque[tuple[int, asyncio.Event]] = deque()

    def take_now(self, amount: int, *, own: int = 0) -> bool:
        """Take so much when it is there and nobody waits for it; `own` is what the taker has already."""
        if self._board.waiting(self._what) or not self._fits(amount, own):
            return False
        self._place.take(self._what, amount)
        return True

    async def take(self, amount: int, *, own: int = 0, seconds: float | None = None) -> bool:
        """Take so much, waiting for it a time (the gate's own without `seconds`); whether there was enough."""
        if self.take_now(amount, own=own):
            return True
        until = time.monotonic() + (self._seconds if seconds is None else min(seconds, self._seconds))
        me = (time.monotonic_ns(), asyncio.Event())
        self._queue.append(me)
        self._show()
        try:
            while (left := until - time.monotonic()) > 0:
                is_head = self._queue[0] is me
                if is_head and self._is_first(me[0]) and self._fits(amount, own):
                    self._place.take(self._what, amount)
                    return True
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _LOOK) if is_head else left):
                        await me[1].wait()
                me[1].clear()
            return False
        finally:
            self._queue.remove(me)
            self._show()
            self._wake()

    def give_back(self, amount: int) -> None:
        """So much is free again."""
        self._place.take(self._what, -amount)
        self._wake()

    def _fits(self, amount: int, own: int) -> bool:
        taken = self._board.taken(self._what)
        return taken + amount <= self._most or taken <= own

    def _is_first(self, since: int) -> bool:
        forgotten = time.monotonic_ns() - int((self._seconds + _FORGOTTEN) * 1e9)
        return all(other >= since or other < forgotten for other in self._board.waiting(self._what))

    def _show(self) -> None:
        self._place.wait(self._what, self._queue[0][0] if self._queue else 0)

    def _wake(self) -> None:
        if self._queue:
            self._queue[0][1].set()
