"""A time limit over all DNS questions of one mail, for a resolver that knows none itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from milter.auth.resolver import Answer, DnsStatus, Question, Resolver


class Deadline:
    """Fulfils `milter.auth.resolver.Resolver`: what is not answered in time is TIMEOUT."""

    def __init__(self, resolver: Resolver, seconds: float) -> None:
        self._resolver = resolver
        self._end = asyncio.get_running_loop().time() + seconds

    def within(self, seconds: float) -> Deadline:
        """The nearer of both ends counts."""
        return Deadline(self, seconds)

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Passed on."""
        self._resolver.prefetch(questions)

    async def query(self, name: str, kind: str) -> Answer:
        """Ask, but wait no longer than until the end."""
        try:
            async with asyncio.timeout_at(self._end):
                return await self._resolver.query(name, kind)
        except TimeoutError:
            return Answer(DnsStatus.TIMEOUT)
