"""The parent without processes: what it does when the system lets no process start, or when it breaks itself."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import pytest

from milter import app
from milter.adapters.board import Place
from milter.fronts import channel, crew, notify, parent
from milter.fronts.crew import Worker
from milter.fronts.journal import Journal
from milter.fronts.parent import InForce, Parent
from milter.settings.model import Settings


class Heard(Journal):
    """A log that is kept."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.kept: list[dict[str, Any]] = []

    def take(self, line: bytes, event: Any = None) -> None:  # as in Journal
        """Keep one line."""
        self.kept.append(json.loads(line))


@pytest.fixture
def made() -> tuple[Parent, Heard]:
    """A parent of one worker, and its log."""
    heard = Heard()
    settings = Settings(registry=("example",))
    parts = app.load_parts(settings)
    return Parent(None, InForce(app.Loaded(settings), parts), [[]], heard), heard


async def test_a_worker_that_cannot_be_replaced_is_tried_again_with_pauses(made: tuple[Parent, Heard], monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the dead one had lived: a parent that tried without a pause would fill the log and a processor."""
    one, heard = made

    def fork(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(crew, "fork", fork)
    ours, theirs = channel.pair()
    dead = Worker(0, 1, ours, Place(0, one.board.places[0]._octets, 1), started=time.monotonic() - 3_600, heard=0.0)
    task = asyncio.create_task(one._replace(dead))
    await asyncio.sleep(0.5)
    task.cancel()
    ours.close()
    theirs.close()
    assert 2 <= len(heard.kept) <= 4
    assert {line["trouble"] for line in heard.kept} == {"cannot start a worker: Resource temporarily unavailable"}


async def test_a_crew_that_cannot_be_whole_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second worker of a new crew cannot start, the first one is ended."""
    settings = Settings(registry=("example",))
    heard = Heard()
    two = Parent(None, InForce(app.Loaded(settings), app.load_parts(settings)), [[], []], heard)
    killed: list[int] = []
    ends: list[Any] = []

    def fork(index: int, *_: object) -> Worker:
        if index:
            raise OSError(11, "Resource temporarily unavailable")
        ends.extend(channel.pair())
        return Worker(index, 1, ends[0], two.board.places[0], started=0.0, heard=0.0)

    monkeypatch.setattr(crew, "fork", fork)
    monkeypatch.setattr(Worker, "kill", lambda one: killed.append(one.index))
    outcome = await two.reload()
    for end in ends:
        asyncio.get_running_loop().remove_reader(end.fileno())
        end.close()
    assert outcome.problems == ("cannot start a worker: Resource temporarily unavailable",)
    assert killed == [0]


async def test_a_service_that_stops_says_that_it_lives(made: tuple[Parent, Heard], monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager's watchdog must not kill it while workers finish their last mails."""
    one, _ = made
    told: list[str] = []
    monkeypatch.setattr(parent, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(notify, "tell", told.append)

    async def ended(*_: object) -> bool:
        await asyncio.sleep(0.1)
        return True

    monkeypatch.setattr(one, "_take_over", ended)
    monkeypatch.setattr(one, "_until", ended)
    one.stop()
    await one.run()
    assert "WATCHDOG=1" in told[told.index("STOPPING=1") :]


async def test_our_own_bug_refuses_a_reload_and_ends_nothing(made: tuple[Parent, Heard], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said where it is, without its words, and the sets before stay."""
    one, heard = made

    def broken(*_: object) -> None:
        raise KeyError("jeanne.martin@example.org")

    monkeypatch.setattr(app, "load_parts", broken)
    outcome = await one.reload()
    assert outcome.problems[0].startswith("error on our side: KeyError at ")
    assert [line["event"] for line in heard.kept] == ["bug", "reload"]
    assert "jeanne" not in json.dumps(heard.kept)
