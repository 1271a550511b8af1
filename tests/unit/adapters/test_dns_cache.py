"""The cache in front of a resolver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from milter.adapters.dns_cache import CachingResolver
from milter.auth.resolver import Answer, DnsStatus


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.now


class Behind:
    """A resolver that answers what it is told, when it is told."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.gate: asyncio.Event | None = None
        self.closed = False
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, name: str, kind: str, done: Callable[[Answer], None]) -> None:
        """Answer at once, or when the gate is open."""
        self.calls.append(name)
        answer = self.answers.get(name, Answer(DnsStatus.OK, (name.encode(),), ttl=60))
        if self.gate is None:
            done(answer)
        else:
            self.tasks.append(asyncio.create_task(self._later(self.gate, partial(done, answer))))

    async def _later(self, gate: asyncio.Event, tell: Callable[[], None]) -> None:
        await gate.wait()
        tell()

    async def close(self) -> None:
        """Noted; nothing is answered any more."""
        self.closed = True
        for task in self.tasks:
            task.cancel()


def cache(behind: Behind, clock: Clock | None = None, **options: float) -> CachingResolver:
    """A cache with a clock by hand."""
    return CachingResolver(behind, clock or Clock(), **options)  # type: ignore[arg-type]  # options of several types


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (Answer(DnsStatus.OK, (b"x",), ttl=60), 60),
        (Answer(DnsStatus.OK, (b"x",), ttl=0), 5),
        (Answer(DnsStatus.OK, (b"x",), ttl=10_000_000), 86_400),
        (Answer(DnsStatus.NXDOMAIN, ttl=300), 300),
        (Answer(DnsStatus.NODATA, ttl=0), 5),
        (Answer(DnsStatus.NODATA, ttl=1_000_000), 10_800),
        (Answer(DnsStatus.SERVFAIL), 5),
        (Answer(DnsStatus.TIMEOUT), 5),
        (Answer(DnsStatus.REFUSED), 5),
        (Answer(DnsStatus.MALFORMED), 5),
    ],
)
async def test_answers_are_kept_as_long_as_they_may(answer: Answer, kept: float) -> None:
    """Records live by their TTL, absence by its SOA, failures for seconds, each between a floor and a ceiling."""
    behind, clock = Behind(a=answer), Clock()
    resolver = cache(behind, clock)
    assert await resolver.query("a", "TXT") == answer
    clock.now += kept - 0.1
    assert await resolver.query("A", "TXT") == answer
    assert behind.calls == ["a"]
    clock.now += 0.2
    await resolver.query("a", "TXT")
    assert behind.calls == ["a", "a"]
    assert (resolver.counters.hits, resolver.counters.misses, resolver.counters.asked) == (1, 2, {answer.status: 2})


async def test_kinds_are_apart() -> None:
    """Another kind is another question."""
    behind = Behind()
    resolver = cache(behind)
    await resolver.query("a", "TXT")
    await resolver.query("a", "MX")
    assert behind.calls == ["a", "a"]


async def test_equal_questions_are_asked_once() -> None:
    """Who asks what is out already waits for the same answer, and who goes away does not take it along."""
    behind = Behind()
    behind.gate = asyncio.Event()
    resolver = cache(behind)
    waiting = [asyncio.create_task(resolver.query("a", "TXT")) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    behind.gate.set()
    answers = await asyncio.gather(*waiting[1:])
    assert behind.calls == ["a"]
    assert {answer.texts for answer in answers} == {(b"a",)}
    assert (resolver.counters.misses, resolver.counters.joined) == (1, 4)
    assert waiting[0].cancelled()


async def test_prefetched_questions_are_out_at_once() -> None:
    """A hint asks side by side, returns at once, and the question then joins it."""
    behind = Behind()
    behind.gate = asyncio.Event()
    resolver = cache(behind)
    resolver.within(5.0).prefetch([("a", "TXT"), ("b", "TXT"), ("a", "TXT")])
    await asyncio.sleep(0)
    assert behind.calls == ["a", "b"]
    behind.gate.set()
    assert (await resolver.query("a", "TXT")).texts == (b"a",)
    resolver.prefetch([("a", "TXT")])
    assert behind.calls == ["a", "b"]


async def test_an_end_in_time() -> None:
    """After the end a mail gets TIMEOUT for what is not there, and still what the cache holds; the answer is kept for others."""
    behind = Behind()
    resolver = cache(behind)
    await resolver.query("known", "TXT")
    behind.gate = asyncio.Event()
    bounded = resolver.within(0.02)
    assert await bounded.query("late", "TXT") == Answer(DnsStatus.TIMEOUT)
    assert await bounded.within(60.0).query("late", "TXT") == Answer(DnsStatus.TIMEOUT)
    assert (await bounded.query("known", "TXT")).texts == (b"known",)
    assert resolver.counters.late == 2
    behind.gate.set()
    assert (await resolver.query("late", "TXT")).texts == (b"late",)
    assert behind.calls == ["known", "late"]


async def test_size_is_bounded() -> None:
    """Beyond its size the cache forgets what was not used for longest."""
    behind = Behind()
    resolver = cache(behind, size=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        await resolver.query(name, "TXT")
    assert behind.calls == ["a", "b", "c", "b"]
    assert resolver.counters.evicted == 2


async def test_closing() -> None:
    """Closing ends what is out, tells those who wait TIMEOUT, and closes what is behind."""
    behind = Behind()
    behind.gate = asyncio.Event()
    resolver = cache(behind)
    waiting = asyncio.create_task(resolver.query("a", "TXT"))
    await asyncio.sleep(0)
    await resolver.close()
    assert await waiting == Answer(DnsStatus.TIMEOUT)
    assert behind.closed
