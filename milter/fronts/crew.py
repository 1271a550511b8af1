"""The workers as the parent sees them: forked, spoken to, waited for, and what a dead one left behind.

Knows processes. Must not know settings or mail. A worker that was killed leaves its log lines in the channel and its mails on the board.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from milter.adapters import log
from milter.adapters.board import Board, Place, Stage, UnderWay
from milter.fronts import channel

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


class State(StrEnum):
    """Where a worker stands."""

    STARTING = "starting"
    READY = "ready"
    SERVING = "serving"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(eq=False, slots=True)
class Worker:
    """One worker. `heard` is when it last said anything, on the clock of `time.monotonic`; `failure` why it could not start."""

    index: int
    pid: int
    end: socket.socket
    place: Place
    started: float
    heard: float
    state: State = State.STARTING
    failure: str = ""
    exit_code: int | None = None
    intake: channel.Intake | None = field(default=None, repr=False)

    def tell(self, message: channel.Message) -> None:
        """Send it a message; one that is gone does not hear it."""
        try:
            self.end.send(channel.encode(message))
        except OSError:
            return

    def kill(self) -> None:
        """End it at once; the mails that it has under way are the clients' again."""
        if self.state is not State.GONE:
            os.kill(self.pid, signal.SIGKILL)


def fork(index: int, board: Board, work: Callable[[socket.socket, Place], int]) -> Worker | None:
    """Start a worker that does `work` with its end of the channel and its place on the board; None when there is no place.

    Raises OSError when the system lets no process start.
    """
    place = board.take()
    if place is None:
        return None
    ours, theirs = channel.pair()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # none may reach the child while it still has our handlers
    try:
        pid = os.fork()
        if pid == 0:
            _become(work, theirs, place)
    except OSError:
        ours.close()
        board.give_back(place)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
    now = time.monotonic()
    return Worker(index, pid, ours, place, started=now, heard=now)


def _become(work: Callable[[socket.socket, Place], int], end: socket.socket, place: Place) -> None:
    """The child: never returns."""
    code = 70  # sysexits.h: internal software error
    try:
        code = work(end, place)
    except BaseException as bug:  # its text may quote a mail; its place does not
        os.write(2, channel.encode({"event": "bug", "level": "error", "place": log.bug_place(bug)}))
    finally:
        os._exit(code)


def buried(worker: Worker, board: Board, take: Callable[[bytes], None]) -> list[UnderWay]:
    """Take in all that a dead worker has left: its lines first, then the mails that it had under way."""
    take(worker.place.lines.take())
    if worker.intake is not None:
        worker.intake.read_all()
    left = list(worker.place.mails())
    board.give_back(worker.place)
    worker.end.close()
    worker.state = State.GONE
    return left


def reap(workers: Sequence[Worker]) -> list[Worker]:
    """Those that have ended; `exit_code` is set, negative for a signal."""
    ended = []
    for worker in workers:
        try:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = worker.pid, 0
        if pid:
            worker.exit_code = os.waitstatus_to_exitcode(status)
            ended.append(worker)
    return ended


FATES = {
    Stage.ANSWERING: "the worker died before its answer was surely sent; the client may send the mail again (RFC 1047)",
    Stage.RECEIVING: "the worker died while it received the mail",
    Stage.JUDGING: "the worker died while it judged the mail",
    Stage.DELIVERING: "the worker died before the next hop's answer was passed on; the mail may be delivered twice (RFC 1047)",
    Stage.STORING: "the worker died while it stored the mail; the mail may be in the quarantine, and come again",
}
