"""The parent process: it starts the workers, watches them, puts new ones in the place of dead and of outdated ones, and never handles mail.

Reload: everything is read and checked anew, a second crew of workers is started with it, and only when each of them is ready does it take over and
the first one finish its mails. So all workers change or none. Listening sockets are the parent's: they stay open over every change, and a
connection that waits in one is taken by whoever comes next.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from milter import app
from milter.adapters import log, memory
from milter.adapters.board import Board, Place, Stage, UnderWay
from milter.adapters.metrics import Metrics
from milter.errors import FileError, MilterError, ServiceError
from milter.fronts import channel, crew, listen, notify, worker
from milter.fronts.crew import State, Worker
from milter.fronts.journal import Journal
from milter.fronts.watch import Watch
from milter.settings.model import Settings
from milter.text import domains

READY_SECONDS = 30.0
SILENT_SECONDS = 60.0  # a worker that says nothing for so long hangs
WATCH_SECONDS = 2.0
COLLECT_SECONDS = 0.1
_FIRST_BACK_OFF, _LONGEST_BACK_OFF, _WELL = 0.1, 10.0, 60.0
_SPARE = 8  # places on the board beside those of two crews
AT_START_ALONE = ("smtp.listen", "smtp.max_connections", "workers", "data_dir", "metrics.listen")


@dataclass(slots=True)
class Reload:
    """How the last reload went; `problems` is empty when it went well, `kept` names settings that need a restart."""

    at: float
    problems: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class InForce:
    """What the workers work with."""

    loaded: app.Loaded
    parts: app.Parts
    since: float = field(default_factory=time.time)


class Parent:
    """One service. `sockets` are those of each worker. Construct it, then `await run()` once."""

    def __init__(self, config: str | None, in_force: InForce, sockets: Sequence[Sequence[socket.socket]], journal: Journal) -> None:
        settings = in_force.loaded.settings
        self.in_force = in_force
        self.journal = journal
        self.started = time.time()
        self._paused_until = 0.0  # on the clock of `time.monotonic`, which all processes share and nobody sets
        self.last_reload: Reload | None = None
        self.board = Board(2 * len(sockets) + _SPARE, settings.smtp.max_connections)
        self.workers: list[Worker] = []
        self.addresses = tuple(dict.fromkeys(listen.address(one) for own in sockets for one in own))
        self.metrics = Metrics([one.id for one in in_force.parts.registry.organisations])
        self.watch = Watch(settings.smtp.next_hop, settings.dns.resolvers)
        journal.readers += [self.watch.read, self.metrics.observe]
        self.is_stopping = False
        self._config = config
        self._sockets = sockets
        self._back_off: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._changing = asyncio.Lock()  # workers are put in the place of others: by one at a time
        self._is_reload_wanted = False
        self._watched = in_force.loaded
        self._signature = app.signature(self._watched)

    # -- the life of the service --

    async def run(self, on_start: Callable[[], None] = lambda: None) -> None:
        """Serve until told to stop. Raises ServiceError when no worker can start."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_by("SIGHUP")))
        try:
            self._spawn(self._keep_collecting())
            async with self._changing:
                await self._take_over(self.in_force)
            self.collect()  # what the workers said while they started comes first
            on_start()
            notify.tell("READY=1")
            self._spawn(self._watch_files())
            self._spawn(self._watch_workers())
            await self._stop.wait()
        finally:
            self.is_stopping = True
            for task in tuple(self._tasks):
                task.cancel()
            self._spawn(self._keep_collecting())
            self._spawn(self._watch_workers())  # the last mails may take longer than the service manager waits for a sign of life
            await self._end()

    def stop(self) -> None:
        """Finish the mails under way, then end."""
        self._stop.set()

    async def _end(self) -> None:
        notify.tell("STOPPING=1")
        mails = self.board.mails()
        if self.workers:
            self.journal.logger.info("stopping", connections=self.board.connections, mails=len(mails))
        for one in self.workers:
            self._drain(one)
        await self._until(lambda: not self.workers, worker.DRAIN_SECONDS + 5)
        for one in tuple(self.workers):
            one.kill()
        await self._until(lambda: not self.workers, 5)
        self.journal.logger.info("stopped")

    async def drained(self) -> None:
        """Wait until no worker is left."""
        await self._until(lambda: not self.workers, worker.DRAIN_SECONDS + 10)

    # -- workers --

    @property
    def serving(self) -> list[Worker]:
        """The workers that take mail."""
        return [one for one in self.workers if one.state is State.SERVING]

    def _start(self, index: int, in_force: InForce) -> Worker:
        if self.is_stopping:
            raise ServiceError("the service is stopping")

        def work(end: socket.socket, place: Place) -> int:
            seat = worker.Seat(index, end, self._sockets[index], self.board, place, self._paused_until)
            return worker.run(seat, in_force.loaded, in_force.parts)

        try:
            made = crew.fork(index, self.board, work)
        except OSError as error:
            raise ServiceError(f"cannot start a worker: {error.strerror}") from error
        if made is None:
            raise ServiceError("the workers of earlier reloads have not finished their mails yet; try again in a minute")
        made.intake = channel.Intake(made.end, partial(self._heard, made))
        self.workers.append(made)
        asyncio.get_running_loop().add_reader(made.end.fileno(), partial(self._on_channel, made))
        return made

    def _on_channel(self, one: Worker) -> None:
        assert one.intake is not None
        if not one.intake.read():
            asyncio.get_running_loop().remove_reader(one.end.fileno())

    def _heard(self, one: Worker, line: bytes) -> None:
        one.heard = time.monotonic()
        event = channel.decode(line)
        if event is None:
            return
        if event.get("event") == "ready" and one.state is State.STARTING:
            one.state = State.READY
            self._notice()
        elif event.get("event") == "leaving" and one.state is State.SERVING and not self.is_stopping:
            one.state = State.DRAINING  # it takes no new connection; those that come must not wait until its last mail is done
            self._spawn(self._replace(one))
        elif event.get("event") == "failed":
            one.failure = str(event.get("cause"))
        self.journal.take(line, event)

    def collect(self) -> None:
        """Take the log lines in that workers have left in their rings."""
        for one in self.workers:
            self.journal.take_all(one.place.lines.take())

    async def _keep_collecting(self) -> None:
        while True:
            self.collect()
            await asyncio.sleep(COLLECT_SECONDS)

    def _drain(self, one: Worker) -> None:
        one.state = State.DRAINING
        one.tell({"do": "drain"})

    async def _take_over(self, in_force: InForce) -> None:
        """Start a crew with these sets and, when all of it is ready, let it take over. ServiceError when one cannot start: nothing changed then."""
        old = list(self.workers)
        memory.settle()  # what is loaded is shared by the forked: the collector must not write to it
        new: list[Worker] = []
        try:
            for index in range(len(self._sockets)):
                new.append(self._start(index, in_force))
            await self._until(lambda: all(one.state is State.READY for one in new) or any(one.state is State.GONE for one in new), READY_SECONDS)
            late = [one for one in new if one.state is not State.READY]
            if late:
                raise ServiceError(next((one.failure for one in late if one.failure), "") or "a worker did not become ready")
        except BaseException:
            for one in new:
                one.failure = one.failure or "given up"  # its death is ours
                one.kill()
            raise
        for one in old:
            self._drain(one)
        for one in new:
            self._let_go(one)
        self.in_force = in_force
        self.metrics.set_insurers([one.id for one in in_force.parts.registry.organisations])
        self.watch.about(in_force.loaded.settings.smtp.next_hop, in_force.loaded.settings.dns.resolvers)

    def _let_go(self, one: Worker) -> None:
        one.state = State.SERVING
        one.tell({"do": "go"})
        one.tell({"do": "pause", "until": self._paused_until})

    def _on_child(self) -> None:
        for one in crew.reap(self.workers):
            was = one.state
            asyncio.get_running_loop().remove_reader(one.end.fileno())
            left = crew.buried(one, self.board, self.journal.take_all)
            self.workers.remove(one)
            if one.exit_code != 0 and (was is State.SERVING or not one.failure):
                facts = log.facts({"pid": one.pid, "exit_code": one.exit_code, "mails": len(left), "trouble": one.failure})
                self.journal.logger.error("worker died", **facts)
            for mail in left:
                self._say_fate(mail)
            if was is State.SERVING and not self.is_stopping:
                self._spawn(self._replace(one))
        self._notice()

    def _say_fate(self, mail: UnderWay) -> None:
        """What becomes of a mail that a dead worker had under way; one that was being answered is in the log already."""
        name = "answer lost" if mail.stage is Stage.ANSWERING else "mail"
        in_doubt = mail.stage in (Stage.DELIVERING, Stage.STORING, Stage.ANSWERING)
        self.journal.logger.warning(name, queue_id=mail.queue_id, code=0, cause=crew.FATES[mail.stage], in_doubt=in_doubt)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:  # any coroutine without a result
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, dead: Worker) -> None:
        """Another worker for the sockets of one that is gone or leaves, later each time that it was young. Not beside a reload: which may have done
        it, or have failed."""
        index = dead.index
        if time.monotonic() - dead.started > _WELL:
            self._back_off.pop(index, None)
        while True:
            wait = self._back_off.get(index, 0.0)
            self._back_off[index] = min(max(_FIRST_BACK_OFF, wait * 2), _LONGEST_BACK_OFF)
            await asyncio.sleep(wait)
            async with self._changing:
                if any(one.index == index and one.state is State.SERVING for one in self.workers) or await self._has_replaced(dead):
                    return

    async def _has_replaced(self, dead: Worker) -> bool:
        try:
            one = self._start(dead.index, self.in_force)
        except ServiceError as error:
            self.journal.logger.error("worker", trouble=str(error))
            return False
        await self._until(lambda: one.state is not State.STARTING, READY_SECONDS)
        if one.state is not State.READY:
            self.journal.logger.error("worker", trouble=one.failure or "it did not become ready", pid=one.pid)
            one.kill()
            return False
        self._let_go(one)
        self.journal.logger.info("worker started", pid=one.pid, instead_of=dead.pid)
        return True

    def _notice(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until workers have changed so that something is so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so():
                    await self._changed.wait()
        return is_so()

    async def _watch_workers(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for one in self.workers:
                if one.state is not State.STARTING and now - one.heard > SILENT_SECONDS:
                    self.journal.logger.error("worker hangs", pid=one.pid, seconds=round(now - one.heard))
                    one.kill()
            if self.serving or self.is_stopping:
                notify.tell("WATCHDOG=1")

    # -- what an operator may ask for --

    async def reload(self) -> Reload:
        """Read everything anew and let new workers take over; on any problem nothing changes and the problems come back."""
        async with self._changing:
            self._is_reload_wanted = False
            notify.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            outcome = Reload(time.time())
            try:
                outcome.kept = await self._reload()
            except FileError as wrong:
                outcome.problems = tuple(str(problem) for problem in wrong.problems)
            except (MilterError, OSError) as wrong:
                outcome.problems = (str(wrong),)
            except Exception as bug:  # whoever watches files or waits for an answer must go on
                outcome.problems = (f"error on our side: {log.bug_place(bug)}",)
                self.journal.logger.error("bug", place=log.bug_place(bug))
            self.last_reload = outcome
            notify.tell("READY=1")
        if outcome.problems:
            self.journal.logger.error("reload", result="refused", problems=outcome.problems, meaning="the sets before stay in force")
        else:
            self.journal.logger.info("reload", result="done", sets=self.in_force.parts.sets, kept=outcome.kept)
        return outcome

    async def _reload(self) -> tuple[str, ...]:
        self._watch_for(self._watched)
        loaded = app.load_settings(self._config)
        settings, kept = only_live(loaded.settings, self.in_force.loaded.settings)
        loaded, suffixes = app.Loaded(settings, loaded.file), domains.current_list()
        self._watch_for(loaded)  # before they are read: what changes meanwhile is read again; and also when they are refused, so that mending helps
        try:
            await self._take_over(InForce(loaded, app.load_parts(settings)))
        except BaseException:
            domains.put_back(suffixes)  # workers that replace dead ones go on with what is in force
            raise
        return kept

    def _watch_for(self, loaded: app.Loaded) -> None:
        self._watched, self._signature = loaded, app.signature(loaded)

    async def _reload_by(self, why: str) -> None:
        if self._is_reload_wanted:
            return  # one that has not begun yet will read what is there now
        self._is_reload_wanted = True
        self.journal.logger.info("reloading", why=why)
        await self.reload()

    async def _watch_files(self) -> None:
        """Reload when a file has changed and then stayed the same for one look: editors and package managers write in steps."""
        seen = self._signature
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = app.signature(self._watched)
            if now == seen and now != self._signature:
                await self._reload_by("a file has changed")
                now = self._signature
            seen = now

    @property
    def pause_left(self) -> float:
        """Seconds for which mail still passes unjudged, 0 when it is judged."""
        return max(0.0, self._paused_until - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Pass all mail unjudged for a time; 0 seconds: judge again."""
        self._paused_until = time.monotonic() + seconds if seconds > 0 else 0.0
        for one in self.workers:
            one.tell({"do": "pause", "until": self._paused_until})
        if seconds > 0:
            self.journal.logger.warning("pause", seconds=seconds, meaning="all mail passes unjudged, marked `unscanned`")
            asyncio.get_running_loop().call_later(seconds, self._pause_over, self._paused_until)
        else:
            self.journal.logger.warning("resume", meaning="mail is judged again")

    def _pause_over(self, until: float) -> None:
        if self._paused_until == until:  # else it was ended, or prolonged
            self._paused_until = 0.0
            self.journal.logger.warning("resume", meaning="the pause is over, mail is judged again")


def only_live(wanted: Settings, running: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The wanted settings with those kept that only a start can change, and the names of these where they differ."""
    kept = []
    for key in AT_START_ALONE:
        block, _, name = key.rpartition(".")
        new, old = (getattr(getattr(one, block) if block else one, name) for one in (wanted, running))
        if new != old:
            kept.append(key)
            inner = dataclasses.replace(getattr(wanted, block), **{name: old}) if block else old
            wanted = dataclasses.replace(wanted, **{block or name: inner})
    return wanted, tuple(kept)
