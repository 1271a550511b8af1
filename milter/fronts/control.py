"""The control socket: a Unix socket of the parent, for its owner alone, one JSON object each way.

Knows what may be asked and how it is answered. `ask` is the other side, for the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from milter import app
from milter.adapters.board import Place, Stage
from milter.errors import ServiceError
from milter.fronts import channel
from milter.fronts.crew import Worker
from milter.fronts.parent import InForce, Parent, Reload
from milter.settings.model import Settings

NAME = "control.sock"
_LINE = 65_536
_ASK_SECONDS = 10.0
LONGEST_PAUSE = 86_400.0

Answer = dict[str, Any]  # Any: JSON


def path(settings: Settings) -> Path:
    """Where the control socket lies."""
    return Path(settings.data_dir) / NAME


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold `data_dir` for one service. Raises ServiceError when another one has it."""
    file = Path(settings.data_dir) / "serve.lock"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServiceError(f"cannot use data_dir {settings.data_dir}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServiceError(f"another insurer-milter serves with data_dir {settings.data_dir}; give each one a data_dir of its own") from None
        yield
    finally:
        os.close(handle)


@contextlib.asynccontextmanager
async def open_control(parent: Parent) -> AsyncIterator[None]:
    """Listen on the control socket while the service runs. Raises ServiceError."""
    place = path(parent.in_force.loaded.settings)
    place.unlink(missing_ok=True)  # `alone` holds the folder: whoever left it is gone
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(lambda reader, writer: _converse(parent, reader, writer), str(place), limit=_LINE)
    except OSError as error:
        raise ServiceError(f"cannot open the control socket {place}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        place.unlink(missing_ok=True)


async def _converse(parent: Parent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(_ASK_SECONDS):
            line = await reader.readline()
        answer = await _answer(parent, channel.decode(line) or {})
        writer.write(channel.encode(answer))
        await writer.drain()
    writer.close()


async def _answer(parent: Parent, request: channel.Message) -> Answer:
    match request:
        case {"do": "status"}:
            return status(parent)
        case {"do": "reload"}:
            outcome = await parent.reload()
            return {"ok": not outcome.problems, **_reload(outcome)}
        case {"do": "pause", "seconds": float(seconds) | int(seconds)} if 0 < seconds <= LONGEST_PAUSE:
            parent.pause(seconds)
            return {"ok": True, "paused_until": _paused_until(parent)}
        case {"do": "resume"}:
            parent.pause(0)
            return {"ok": True}
        case {"do": "drain"}:
            mails = len(parent.board.mails())
            parent.stop()
            await parent.drained()
            return {"ok": True, "mails": mails}
    return {"ok": False, "problems": ["not understood"]}


def status(parent: Parent) -> Answer:
    """Everything an operator asks first."""
    parent.collect()
    now = time.time()
    return {
        "ok": True,
        "version": metadata.version("insurer-milter"),
        "pid": os.getpid(),
        "state": _state(parent),
        "paused_until": _paused_until(parent),
        "started": _time(parent.started),
        "uptime_seconds": round(now - parent.started, 1),
        "workers": [_worker(one) for one in parent.workers],
        **_in_force(parent.in_force),
        "mails_in_flight": len(parent.board.mails()),
        "last_reload": _reload(parent.last_reload) if parent.last_reload else None,
        "last_errors": [dict(event) for event in parent.journal.errors],
        **parent.watch.summary(),
    }


def _in_force(in_force: InForce) -> Answer:
    loaded, parts = in_force.loaded, in_force.parts
    return {
        "sets": {one.kind: {"files": one.files, "hash": one.digest, "date": one.dated.isoformat("T", "seconds")} for one in parts.sources},
        "sets_since": _time(in_force.since),
        "settings": loaded.file,
        "policy": {"name": loaded.settings.policy or app.DEFAULT_POLICY, "mode": parts.policy.mode},
        "insurers": len(parts.registry.organisations),
        "rules": len(parts.ruleset.rules),
    }


def _worker(one: Worker) -> Answer:
    up = round(time.monotonic() - one.started, 1)
    return {"pid": one.pid, "index": one.index, "state": one.state.value, "uptime_seconds": up, **_under_way(one.place)}


def _state(parent: Parent) -> str:
    if parent.is_stopping:
        return "draining"
    return "paused" if parent.pause_left else "running"


def _paused_until(parent: Parent) -> str | None:
    return _time(time.time() + parent.pause_left) if parent.pause_left else None


def _under_way(place: Place) -> Answer:
    stages = [mail.stage for mail in place.mails()]
    return {
        "connections": place.connections,
        "octets": place.octets,
        "mails": {stage.name.lower(): stages.count(stage) for stage in Stage if stage is not Stage.FREE},
    }


def _reload(outcome: Reload) -> Answer:
    return {"at": _time(outcome.at), "problems": list(outcome.problems), "needs_restart": list(outcome.kept)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "seconds")


def ask(settings: Settings, request: channel.Message, *, seconds: float = 120.0) -> Answer:
    """Ask the running service. Raises ServiceError when there is none, or when it does not answer."""
    place = path(settings)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(seconds)
        try:
            link.connect(str(place))
            link.sendall(channel.encode(request))
            with link.makefile("rb") as stream:
                line = stream.readline()
        except (FileNotFoundError, ConnectionRefusedError):
            raise ServiceError(f"no insurer-milter serves with data_dir {settings.data_dir}; start it with `insurer-milter serve`") from None
        except PermissionError:
            raise ServiceError(f"{place}: only its owner may speak to the service; use its account (`sudo -u`) or root") from None
        except TimeoutError:
            raise ServiceError(f"the service did not answer within {seconds:.0f} s") from None
        except OSError as error:
            raise ServiceError(f"cannot speak to the service at {place}: {error.strerror or error}") from error
    try:
        answer = json.loads(line)
    except ValueError:
        raise ServiceError("the service ended without an answer") from None
    return dict(answer)
