"""The service's log when who reads it stands still, reads again, or is gone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from milter.adapters.metrics import Metrics
from milter.fronts import journal
from milter.fronts.journal import Journal


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Journal, int]]:
    """A journal that writes into a pipe, and the pipe's other end."""
    monkeypatch.setattr(journal, "_PATIENCE", 50)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield Journal(stream), reading
    os.close(reading)


def test_a_reader_who_stands_still_costs_lines_and_no_time(piped: tuple[Journal, int]) -> None:
    """Lines that it does not take are counted; what it reads later are whole lines, the latest among them."""
    log, reading = piped
    metrics = Metrics()
    log.readers.append(metrics.observe)
    began = time.monotonic()
    for number in range(400):
        log.take(json.dumps({"event": "x", "number": number, "text": "y" * 1_000}).encode() + b"\n")
    assert time.monotonic() - began < 2
    lost = metrics.count("log_lines_lost_total")
    assert lost > 300
    text = os.read(reading, 1_000_000)
    log.take(b'{"event": "last"}\n')
    lines = [json.loads(line) for line in (text + os.read(reading, 1_000_000)).splitlines()]
    assert len(lines) == 401 - lost
    assert lines[-1] == {"event": "last"}


def test_a_line_longer_than_the_pipe_is_finished_before_the_next(piped: tuple[Journal, int]) -> None:
    """No line is torn."""
    log, reading = piped
    log.take(json.dumps({"event": "long", "text": "y" * 100_000}).encode() + b"\n")
    text = os.read(reading, 1_000_000)
    log.take(b'{"event": "next"}\n')
    lines = [json.loads(line) for line in (text + os.read(reading, 1_000_000)).splitlines()]
    assert [line["event"] for line in lines] == ["long", "next"]


def test_a_reader_who_is_gone_stops_nothing() -> None:
    """Who counts the events hears them all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    heard: list[object] = []
    with os.fdopen(writing, "w") as stream:
        log = Journal(stream)
        log.readers.append(heard.append)
        log.take(b'{"event": "x"}\n')
    assert {"event": "x"} in heard
