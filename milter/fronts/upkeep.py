"""What a worker does beside mail: it says each second that it lives and what it has counted, and one of them looks after the quarantine.

Must not know mail. Nothing that goes wrong here may stop a worker: it is said and tried again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from milter.adapters import log
from milter.adapters.dns_cache import CachingResolver
from milter.adapters.sandbox import Pool
from milter.errors import MilterError
from milter.fronts.channel import Outbox
from milter.quarantine import care
from milter.quarantine.store import Store
from milter.settings.model import Quarantine

COUNTS_SECONDS = 1.0
SIZE_SECONDS = 10.0
CARE_SECONDS = 300.0

T = TypeVar("T")
Say = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The parts that are counted. `is_keeper`: this worker looks after the quarantine, the others do not. `give_up` ends this worker."""

    say: Say
    logger: log.Logger
    outbox: Outbox
    resolver: CachingResolver
    store: Store
    pool: Pool
    settings: Quarantine
    give_up: Callable[[], None]
    is_keeper: bool

    async def run(self) -> None:
        """Go on until cancelled; what is under way in the quarantine then ends first. Counting waits for nothing: a worker that says nothing for a
        minute is taken for one that hangs."""
        size: dict[str, int] = await self._size() if self.is_keeper else {}
        beside = (self._measure(size), self._look_after()) if self.is_keeper else ()
        async with asyncio.TaskGroup() as group:  # `gather` would end with the first of them, and the others lose their loop in mid-work
            for work in (self._tell(size), *beside):
                group.create_task(work)

    async def _measure(self, size: dict[str, int]) -> None:
        while True:
            await asyncio.sleep(SIZE_SECONDS)
            size.update(await self._size())

    async def _look_after(self) -> None:
        while True:
            await self._care()
            await asyncio.sleep(CARE_SECONDS)

    async def _tell(self, size: Mapping[str, int]) -> None:
        has_given_up = False
        while True:
            if self.pool.failure and not has_given_up:
                has_given_up = True
                self.logger.error("sandbox", trouble=self.pool.failure, meaning="this worker finishes its mails and ends; another takes its place")
                self.give_up()
            self._count(size)
            await asyncio.sleep(COUNTS_SECONDS)

    def _count(self, size: Mapping[str, int]) -> None:
        counters = self.resolver.counters
        self.say(
            {
                "event": "counts",
                "pid": os.getpid(),
                "dns": {"hits": counters.hits, "misses": counters.misses, "asked": counters.asked},
                "lost": self.outbox.lost,
                "children_killed": self.pool.killed,
                **size,
            }
        )

    async def _size(self) -> dict[str, int]:
        size = await self._guarded(self.store.size())
        return {} if size is None else {"quarantine_mails": size[0], "quarantine_octets": size[1]}

    async def _guarded(self, work: Awaitable[T]) -> T | None:
        """The result; None when it did not work out, which is said."""
        try:
            return await work
        except MilterError as error:
            self.logger.error("quarantine", trouble=str(error))
        except Exception as bug:  # its text may quote a mail
            self.logger.error("bug", place=log.bug_place(bug))
        return None

    async def _care(self) -> None:
        report = await self._guarded(care.care(self.store, self.settings))
        if report is None:
            return
        if report.clock_in_doubt:
            self.logger.warning("quarantine", trouble="the clock is far ahead of the last run", meaning="nothing is deleted until it is proven")
        elif report.mails or report.files:
            self.logger.info("quarantine care", by_age=report.by_age, by_number=report.by_number, by_size=report.by_size, files=report.files)
