"""What a worker says about limits and about its event loop, and what it tells the proxy of the settings."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from milter import app
from milter.adapters import log
from milter.adapters.board import Board
from milter.adapters.sandbox import Pool
from milter.fronts import channel, worker
from milter.fronts.smtp_contract import Options
from milter.settings.model import Bypass, Settings, Smtp


@pytest.fixture
def built() -> Iterator[tuple[worker._Worker, io.StringIO]]:
    """A worker that does not run, and its log."""
    ours, theirs = socket.socketpair()
    stream, board = io.StringIO(), Board(1, 1)
    seat = worker.Seat(0, theirs, (), board, board.places[0])
    parts: Any = None  # nothing is judged
    yield worker._Worker(seat, Settings(), parts, Pool({}), channel.Outbox(theirs, board.places[0].lines), log.open_log(stream)), stream
    ours.close()
    theirs.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The log without the times."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{key: value for key, value in line.items() if key != "timestamp"} for line in found]


@pytest.mark.parametrize(("setting", "level"), [("smtp.max_errors", "warning"), ("smtp.max_mails", "info")])
async def test_a_limit_is_a_line(built: tuple[worker._Worker, io.StringIO], setting: str, level: str) -> None:
    """It names the setting and the client; what honest clients reach is no warning."""
    one, stream = built
    one._notices.happened(setting, "192.0.2.1")
    assert lines(stream) == [{"event": "limit", "level": level, "limit": setting, "client": "192.0.2.1", "times": 1}]


async def test_an_accept_that_fails_is_one_line(built: tuple[worker._Worker, io.StringIO]) -> None:
    """Out of file descriptors: the line says what to do, and a thousand of them are not a thousand lines."""
    one, stream = built
    for _ in range(1_000):
        one._complain(asyncio.get_running_loop(), {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "x")})
    [line] = lines(stream)
    assert (line["event"], line["level"], line["limit"], line["times"]) == ("limit", "error", "file descriptors", 1)
    assert line["meaning"] == "new connections are cut or hear 421; raise LimitNOFILE of the service, or lower smtp.max_connections"


async def test_the_event_loop_says_no_personal_data(built: tuple[worker._Worker, io.StringIO]) -> None:
    """Whatever breaks in the loop is a bug with its place; neither its text nor who was connected is in the log."""
    one, stream = built
    try:
        raise ValueError("jeanne.martin@example.org 2 84 05 75 115 482 41")
    except ValueError as bug:
        one._complain(asyncio.get_running_loop(), {"message": "for jeanne", "exception": bug, "peername": "jeanne"})
    one._complain(asyncio.get_running_loop(), {"message": "for jeanne"})
    said = lines(stream)
    assert [line["event"] for line in said] == ["bug", "bug"]
    assert said[0]["place"].startswith("ValueError at ")
    assert said[1]["place"] == "event loop"
    assert "jeanne" not in stream.getvalue()
    assert "2 84" not in stream.getvalue()


def test_every_limit_reaches_the_proxy() -> None:
    """Each setting of `smtp` that the proxy knows is handed on, the bypass as well; nothing is let through by default."""
    smtp = Smtp(
        max_errors=7, memory_octets=9_999_999, grace_seconds=3.0, max_client_connections=4, bypass=Bypass(("192.0.2.0/24",), authenticated=True)
    )
    options = worker.proxy_options(Settings(hostname="mx.example", smtp=smtp))
    assert (options.max_errors, options.memory_octets, options.grace_seconds, options.max_client_connections) == (7, 9_999_999, 3.0, 4)
    assert (options.bypass_clients, options.bypass_authenticated, options.hostname) == (("192.0.2.0/24",), True, "mx.example")
    default, usual = worker.proxy_options(Settings(hostname="mx.example")), Options("mx.example")
    assert {name for name in Options.__slots__ if getattr(default, name) != getattr(usual, name)} <= {"own_connections"}
    assert app.hostname(Settings(hostname="mx.example")) == "mx.example"


@pytest.mark.parametrize(("most", "expected"), [(1_024, (400, 460)), (64, (1, 24)), (resource.RLIM_INFINITY, (100_000, 100_000))])
def test_connections_that_there_are_file_descriptors_for(monkeypatch: pytest.MonkeyPatch, most: int, expected: tuple[int, int]) -> None:
    """Two for each, and some to spare; at least one connection is taken."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (most, most))
    assert expected[0] <= worker.connections_with_handles() <= expected[1]
