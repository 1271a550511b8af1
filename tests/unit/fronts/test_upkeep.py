"""What a worker does beside mail: counts each second, retention, and no trouble that stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from milter.adapters import log
from milter.adapters.dns_cache import CachingResolver
from milter.adapters.ring import Ring
from milter.adapters.sandbox import Pool
from milter.errors import QuarantineError
from milter.fronts import channel, upkeep
from milter.quarantine import care
from milter.quarantine.store import Store
from milter.settings.model import Quarantine
from tests.helpers.held import Clock, decision, files, mail


@dataclass
class Heard:
    """What the upkeep said to the parent and to the log."""

    said: list[Mapping[str, object]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    given_up: list[bool] = field(default_factory=list)

    def write(self, text: str) -> None:
        """Keep one log line."""
        self.events.append(json.loads(text))

    def flush(self) -> None:
        """Nothing waits."""


class Nobody:
    """Stands behind the cache and is never asked."""

    async def close(self) -> None:
        """Nothing is open."""


@contextlib.asynccontextmanager
async def running(store: Store, *, is_keeper: bool = True, failure: str = "", events: int = 0) -> AsyncIterator[Heard]:
    """The upkeep of a worker with this store, until it has counted twice and logged so many `events`; `failure` is that of its pool of children."""
    pool = Pool({})
    pool.failure = failure
    heard = Heard()
    ours, theirs = channel.pair()
    resolver = CachingResolver(Nobody(), lambda: 0.0)  # type: ignore[arg-type]  # it is never asked
    logger, outbox = log.open_log(heard), channel.Outbox(theirs, Ring(memoryview(bytearray(17))))
    beside = upkeep.Upkeep(
        heard.said.append, logger, outbox, resolver, store, pool, Quarantine(), lambda: heard.given_up.append(True), is_keeper=is_keeper
    )
    task = asyncio.create_task(beside.run())
    try:
        async with asyncio.timeout(10):
            while len(heard.said) < 2 or len(heard.events) < events:
                assert not task.done()
                await asyncio.sleep(0.01)
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])
        ours.close()
        theirs.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between two counts."""
    monkeypatch.setattr(upkeep, "COUNTS_SECONDS", 0.02)


async def test_the_keeper_deletes_what_is_too_old_and_says_so(tmp_path: Path) -> None:
    """Retention runs in the keeper alone, and the log says how many mails went."""
    clock = Clock()
    async with await Store.open(tmp_path / "quarantine", now=clock) as store:
        await store.add(mail(), decision())
        for _ in range(31):  # day by day: a clock that jumps is not believed
            clock.pass_by(days=1)
            async with running(store, is_keeper=False):
                pass
        assert len(files(tmp_path)) == 1
        await care.care(store, Quarantine(keep_days=60), trust_clock=True)
        async with running(store, events=1) as heard:
            pass
    assert [(event["event"], event["by_age"]) for event in heard.events] == [("quarantine care", 1)]
    assert files(tmp_path) == []


async def test_trouble_with_the_quarantine_is_said_and_does_not_stop_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot look after the quarantine still says that it lives."""

    async def broken(*_: object) -> object:
        raise QuarantineError("cannot count: disk I/O error")

    async with await Store.open(tmp_path / "quarantine") as store:
        monkeypatch.setattr(Store, "size", broken)
        monkeypatch.setattr(care, "care", broken)
        async with running(store, events=2) as heard:
            pass
    assert [event["trouble"] for event in heard.events] == ["cannot count: disk I/O error"] * 2
    assert all(event["level"] == "error" for event in heard.events)


async def test_retention_that_takes_long_does_not_stop_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that deletes a hundred thousand mails says meanwhile that it lives: it would be taken for one that hangs, and killed."""
    has_begun = asyncio.Event()

    async def long(*_: object) -> object:
        has_begun.set()
        return await asyncio.Event().wait()

    async with await Store.open(tmp_path / "quarantine") as store:
        monkeypatch.setattr(care, "care", long)
        async with running(store) as heard:
            await has_begun.wait()
            before = len(heard.said)
            await asyncio.sleep(0.1)
            assert len(heard.said) > before


async def test_the_end_waits_for_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to the database takes a moment to be given up; a loop that ended before that would never end."""
    has_begun, ended = asyncio.Event(), []

    async def slow(*_: object) -> object:
        has_begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append(True)

    async with await Store.open(tmp_path / "quarantine") as store:
        monkeypatch.setattr(care, "care", slow)
        async with running(store):
            await has_begun.wait()
        assert ended == [True]


async def test_a_bug_in_retention_is_logged_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text stays out of the log: it may quote a mail."""

    async def broken(*_: object) -> object:
        raise ValueError("jean.dupont@example.org")

    async with await Store.open(tmp_path / "quarantine") as store:
        monkeypatch.setattr(care, "care", broken)
        async with running(store, events=1) as heard:
            pass
    (event,) = heard.events
    assert (event["event"], event["place"].split(" ")[0]) == ("bug", "ValueError")
    assert "jean" not in json.dumps(event)


async def test_the_size_of_the_quarantine_is_counted_by_its_keeper(tmp_path: Path) -> None:
    """Mails and octets, from the first count on; the others leave it out."""
    async with await Store.open(tmp_path / "quarantine") as store:
        await store.add(mail(), decision())
        async with running(store) as heard:
            assert heard.said[0]["quarantine_mails"] == 1
        async with running(store, is_keeper=False) as other:
            assert "quarantine_mails" not in other.said[0]


async def test_a_worker_without_children_gives_up_once(tmp_path: Path) -> None:
    """When no child for large mails can be made any more, the worker ends, so that another takes its place, and says why."""
    async with await Store.open(tmp_path / "quarantine") as store, running(store, failure="the process that makes the children is gone") as heard:
        pass
    assert heard.given_up == [True]
    assert [(event["event"], event["trouble"]) for event in heard.events] == [("sandbox", "the process that makes the children is gone")]
