"""A cache in front of a resolver: each question is out at most once, and each answer is kept as long as it may be.

Knows TTLs (RFC 2181 §8), absence (RFC 2308 §5) and failures (RFC 2308 §7); must not know sockets. Its size is bounded:
what was not used for longest goes first. One event loop only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from milter.adapters.alarm import Alarm
from milter.auth.resolver import Answer, DnsStatus, Question

_SIZE = 50_000
_MIN_TTL, _MAX_TTL = 5.0, 86_400.0
_MAX_ABSENT = 10_800.0  # RFC 2308 §5: one to three hours work well
_FAILURE = 5.0  # RFC 2308 §7: not longer than five minutes; short, for trouble that passes
_NEVER = float("inf")
_TIMEOUT = Answer(DnsStatus.TIMEOUT)


class Asker(Protocol):
    """What stands behind the cache."""

    def ask(self, name: str, kind: str, done: Callable[[Answer], None]) -> None:
        """Ask the DNS without waiting: `done` is called once with the answer, maybe at once; not after `close`."""
        ...

    async def close(self) -> None:
        """Let go of all sockets."""
        ...


@dataclass(slots=True)
class CacheCounters:
    """Read by logs and metrics. `misses` are questions sent on (prefetched ones too), `asked` counts their statuses;

    `joined` are those who waited for a question that was out already, `late` those who went away without the answer.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    late: int = 0
    evicted: int = 0
    asked: dict[str, int] = field(default_factory=dict)


class CachingResolver:
    """Fulfils `milter.auth.resolver.Resolver`. `clock` gives seconds that never go back.

    `size` is the number of answers that are kept; times are seconds. Answers are shared values: never changed.
    """

    def __init__(
        self,
        resolver: Asker,
        clock: Callable[[], float],
        *,
        size: int = _SIZE,
        min_ttl: float = _MIN_TTL,
        max_ttl: float = _MAX_TTL,
        max_absent: float = _MAX_ABSENT,
        failure: float = _FAILURE,
    ) -> None:
        self.counters = CacheCounters()
        self._resolver = resolver
        self._clock = clock
        self._size = size
        self._min_ttl, self._max_ttl, self._max_absent, self._failure = min_ttl, max_ttl, max_absent, failure
        self._kept: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()
        self._out: dict[Question, _InFlight] = {}
        self._alarm = Alarm(self._ring)

    def within(self, seconds: float) -> BoundedResolver:
        """The cache for the work of one mail: what is not answered `seconds` from now is TIMEOUT for it, and kept all the same."""
        return BoundedResolver(self, asyncio.get_running_loop().time() + seconds)

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Ask what is not known yet. Returns at once."""
        for name, kind in questions:
            question = (name.lower(), kind)
            if self._find(question) is None and question not in self._out:
                self._send(question)

    async def query(self, name: str, kind: str) -> Answer:
        """Answer from the cache, else ask; several who ask the same wait for one query."""
        answer = self.look_up(name, kind, _NEVER)
        return answer if isinstance(answer, Answer) else await answer

    def look_up(self, name: str, kind: str, end: float) -> Answer | asyncio.Future[Answer]:
        """The answer when it is known, else the wait for it: the caller's own, which ends with TIMEOUT at `end` (in the event loop's time)."""
        question = (name.lower(), kind)
        answer = self._find(question)
        if answer is not None:
            self.counters.hits += 1
            return answer
        flight = self._out.get(question)
        if flight is not None:
            self.counters.joined += 1
        else:
            flight = self._send(question)
            if flight.answer is not None:
                return flight.answer
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        flight.waiting.append((end, future))
        self._alarm.set(end)
        return future

    async def close(self) -> None:
        """Close the resolver. Whoever still waits gets TIMEOUT."""
        self._alarm.stop()
        for flight in self._out.values():
            flight.settle(_TIMEOUT)
        self._out.clear()
        await self._resolver.close()

    def _find(self, question: Question) -> Answer | None:
        kept = self._kept.get(question)
        if kept is None:
            return None
        if kept[0] <= self._clock():
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return kept[1]

    def _send(self, question: Question) -> _InFlight:
        self.counters.misses += 1
        flight = self._out[question] = _InFlight()
        self._resolver.ask(*question, partial(self._answered, question))
        return flight

    def _answered(self, question: Question, answer: Answer) -> None:
        flight = self._out.pop(question, None)
        if flight is not None:
            self._keep(question, answer)
            flight.settle(answer)

    def _keep(self, question: Question, answer: Answer) -> None:
        asked = self.counters.asked
        asked[answer.status] = asked.get(answer.status, 0) + 1
        if answer.status is DnsStatus.OK:
            seconds = min(max(answer.ttl, self._min_ttl), self._max_ttl)
        elif answer.status.is_void:
            seconds = min(max(answer.ttl, self._min_ttl), self._max_absent)
        else:
            seconds = self._failure
        self._kept[question] = (self._clock() + seconds, answer)
        self._kept.move_to_end(question)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
            self.counters.evicted += 1

    def _ring(self, now: float) -> float | None:
        following = _NEVER
        for flight in self._out.values():
            for end, future in flight.waiting:
                if end > now:
                    following = min(following, end)
                elif not future.done():
                    self.counters.late += 1
                    future.set_result(_TIMEOUT)
            flight.waiting = [one for one in flight.waiting if not one[1].done()]
        return following


class _InFlight:
    """A question that is out, and everybody who waits for it, each until a time. Who goes away does not take the query along."""

    __slots__ = ("answer", "waiting")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.waiting: list[tuple[float, asyncio.Future[Answer]]] = []

    def settle(self, answer: Answer) -> None:
        """Tell all who still wait."""
        self.answer = answer
        for _, future in self.waiting:
            if not future.done():
                future.set_result(answer)


class BoundedResolver:
    """The cache with an end in time, for the work of one mail. What the cache holds is answered even after the end."""

    __slots__ = ("_cache", "_end")

    def __init__(self, cache: CachingResolver, end: float) -> None:
        self._cache = cache
        self._end = end

    def within(self, seconds: float) -> BoundedResolver:
        """The nearer of both ends counts."""
        return BoundedResolver(self._cache, min(self._end, asyncio.get_running_loop().time() + seconds))

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Passed on."""
        self._cache.prefetch(questions)

    async def query(self, name: str, kind: str) -> Answer:
        """Ask, but wait no longer than until the end."""
        answer = self._cache.look_up(name, kind, self._end)
        return answer if isinstance(answer, Answer) else await answer
