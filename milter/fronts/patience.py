"""An end in time for what is awaited on behalf of a mail, with one timer for all mails.

`asyncio.timeout_at` makes and cancels a timer each time, for an end that is hardly ever reached. Must not know what is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from milter.adapters.alarm import Alarm

T = TypeVar("T")


class Patience:
    """Belongs to one event loop. A task waits for one thing at a time."""

    def __init__(self) -> None:
        self._alarm = Alarm(self._ring)
        self._waiting: dict[asyncio.Task[Any], float] = {}  # tasks of any result
        self._late: set[asyncio.Task[Any]] = set()

    async def wait(self, work: Awaitable[T], until: float) -> T:
        """The result of `work`, which is cancelled at `until` (loop time): TimeoutError then. Who cancels us cancels it too."""
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._waiting[task] = until
        self._alarm.set(until)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() <= cancelled_before:
                raise TimeoutError from None
            raise
        finally:
            del self._waiting[task]
            self._late.discard(task)

    def _ring(self, now: float) -> float | None:
        following = None
        for task, until in self._waiting.items():
            if until > now:
                following = until if following is None else min(following, until)
            elif task not in self._late:
                self._late.add(task)
                task.cancel()
        return following
