"""One worker: a forked process with its own event loop that takes, judges and delivers mail until its parent tells it to stop.

Knows the parts of the service and how they are wired. Must not know how the parent runs its workers: it hears `go`, `drain`, `pause` and
`resume` on its channel and says `ready`, log lines and `counts`. When the parent is gone, it finishes the mails under way and ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from milter import app, pipeline
from milter.actions import edits
from milter.adapters import log
from milter.adapters.board import Board, Place
from milter.adapters.dns_cache import CachingResolver
from milter.adapters.sandbox import Pool
from milter.errors import MilterError
from milter.fronts import channel, listen, smtp_proxy, upkeep
from milter.fronts.notices import Notices
from milter.fronts.smtp_contract import NO_HANDLES, MailRecord, Options
from milter.model.mail import Mail, Params
from milter.model.verdict import Decision
from milter.quarantine.store import Store
from milter.settings.model import Settings, Smtp

DRAIN_SECONDS = 60.0
PROBE_SECONDS = 2.0
_LAST_SECONDS = 5.0
_SPARE_HANDLES, _PLENTY = 16, 100_000
_ORDINARY = frozenset(("smtp.max_mails",))  # limits that honest clients reach
_SAME = {field.name for field in dataclasses.fields(Options)} & {field.name for field in dataclasses.fields(Smtp)}


@dataclass(frozen=True, slots=True)
class Seat:
    """What the parent gives a worker: its index, its end of the channel, its listening sockets, its place on the board.

    `paused_until` is on the clock of `time.monotonic`; judging is on when it is over.
    """

    index: int
    end: socket.socket
    sockets: Sequence[socket.socket]
    board: Board
    place: Place
    paused_until: float = 0.0


def run(seat: Seat, loaded: app.Loaded, parts: app.Parts) -> int:
    """Work in this process until told to stop; its exit code. Call it right after the fork."""
    _settle_in(seat)
    outbox = channel.Outbox(seat.end, seat.place.lines)
    logger = log.open_log(outbox)
    runner = asyncio.Runner(loop_factory=_loop_factory())  # never closed: that waits for all tasks, also for one of a library that never ends
    try:
        with closing(app.build_sandbox(loaded.settings, parts)) as pool:
            seat.board.hide()
            pool.start()
            runner.run(_Worker(seat, loaded.settings, parts, pool, outbox, logger).run())
    except (MilterError, OSError) as error:
        outbox.say(channel.encode({"event": "failed", "cause": str(error)}))
        return 3
    except Exception as bug:
        logger.error("bug", place=log.bug_place(bug), meaning="the worker ends")
        return 70  # sysexits.h: internal software error
    finally:
        outbox.finish()
    return 0


def _settle_in(seat: Seat) -> None:
    """Signals are the parent's business, and so are its other files."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = {0, 1, 2, seat.end.fileno(), *(one.fileno() for one in seat.sockets)}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Worker:
    def __init__(self, seat: Seat, settings: Settings, parts: app.Parts, pool: Pool, outbox: channel.Outbox, logger: log.Logger) -> None:
        self._seat = seat
        self._pool = pool
        self._settings = settings
        self._parts = parts
        self._outbox = outbox
        self._logger = logger
        self._paused_until = seat.paused_until
        self._go = asyncio.Event()
        self._stop = asyncio.Event()
        self._intake = channel.Intake(seat.end, self._told)
        self._notices = Notices(self._limited)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._complain)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        self._outbox.attach(loop)
        loop.add_reader(self._seat.end.fileno(), self._on_channel)
        async with app.open_store(self._settings, self._happened) as store, app.open_resolver(self._settings) as resolver:
            kit = app.build_kit(self._settings, self._parts, resolver, lambda mail, bug: self._broke(bug, mail.queue_id), self._pool)
            proxy = self._proxy(kit, store)
            await self._probe(proxy)
            self._say({"event": "ready"})
            await self._serve(proxy, store, resolver)
        loop.remove_reader(self._seat.end.fileno())

    async def _serve(self, proxy: smtp_proxy.SmtpProxy, store: Store, resolver: CachingResolver) -> None:
        beside = upkeep.Upkeep(
            self._say,
            self._logger,
            self._outbox,
            resolver,
            store,
            self._pool,
            self._settings.quarantine,
            self._stop.set,
            is_keeper=self._seat.index == 0,
        )
        counting = asyncio.create_task(beside.run())
        waiting = [asyncio.create_task(event.wait()) for event in (self._go, self._stop)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting[0].cancel()
        listener = await listen.serve(self._seat.sockets, proxy.session) if self._go.is_set() else None
        await waiting[1]
        self._say({"event": "leaving"})
        if listener is not None:
            listener.close()
        for one in self._seat.sockets:
            one.close()  # they are the parent's; ours must not hold the address when it is gone
        await proxy.drain(DRAIN_SECONDS)
        self._notices.finish()
        counting.cancel()
        await asyncio.wait([counting], timeout=_LAST_SECONDS)  # what it asks of the quarantine ends before the quarantine is closed

    async def _probe(self, proxy: smtp_proxy.SmtpProxy) -> None:
        """So that the first EHLO offers what the next hop offers."""
        hop, trouble = proxy.next_hop, "it does not answer"
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                trouble = await hop.probe()
        if trouble and self._seat.index == 0:
            self._logger.warning("next hop", address=f"{hop.host}:{hop.port}", trouble=trouble, meaning="mail gets 451 until it answers")

    # -- the channel --

    def _say(self, message: Mapping[str, object]) -> None:
        self._outbox.say(channel.encode(dict(message)))

    def _on_channel(self) -> None:
        if not self._intake.read():  # the parent is gone
            asyncio.get_running_loop().remove_reader(self._seat.end.fileno())
            self._stop.set()

    def _told(self, line: bytes) -> None:
        match channel.decode(line):
            case {"do": "go"}:
                self._go.set()
            case {"do": "drain"}:
                self._stop.set()
            case {"do": "pause", "until": float(until) | int(until)}:
                self._paused_until = float(until)
            case _:
                pass

    # -- mail --

    def _proxy(self, kit: pipeline.Kit, store: Store) -> smtp_proxy.SmtpProxy:
        settings = self._settings

        async def judge(mail: Mail) -> Decision:
            if self._paused_until > time.monotonic():
                return pipeline.unjudged(mail, kit, "paused")
            return await pipeline.judge(mail, kit)

        async def hold(mail: Mail, decision: Decision, content: bytes, params: Params) -> str:
            return await store.add(mail, decision, top_field(content), params)

        seat = self._seat
        return smtp_proxy.SmtpProxy(
            proxy_options(settings),
            judge,
            hold,
            app.build_next_hop(settings),
            self._journal,
            broke=self._broke,
            limited=self._notices.happened,
            unjudged=lambda mail, why: pipeline.unjudged(mail, kit, why),
            board=seat.board,
            place=seat.place,
        )

    def _limited(self, setting: str, client: str, times: int) -> None:
        if setting == NO_HANDLES:
            meaning = "new connections are cut or hear 421; raise LimitNOFILE of the service, or lower smtp.max_connections"
            self._logger.error("limit", limit=setting, times=times, meaning=meaning)
            return
        write = self._logger.info if setting in _ORDINARY else self._logger.warning
        write("limit", limit=setting, client=client, times=times)

    def _complain(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """What goes wrong in the event loop itself, without its words, which name peers."""
        bug = context.get("exception")
        if isinstance(bug, OSError) and bug.errno in (errno.EMFILE, errno.ENFILE):
            self._notices.happened(NO_HANDLES, "")
        else:
            self._logger.error("bug", place=log.bug_place(bug) if bug else "event loop")

    def _journal(self, record: MailRecord) -> None:
        self._outbox.put(log.line("mail", record.line()))

    def _happened(self, name: str, facts: Mapping[str, object]) -> None:
        (self._logger.error if "do" in facts else self._logger.warning)(name, **facts)

    def _broke(self, bug: BaseException, queue_id: str = "") -> None:
        self._logger.error("bug", **log.facts({"place": log.bug_place(bug), "queue_id": queue_id}))


def connections_with_handles() -> int:
    """How many connections this process has file descriptors for: each may need one to the next hop, and the work on mails takes some."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return _PLENTY
    used = len(os.listdir("/proc/self/fd"))
    return min(max((most - used - max(_SPARE_HANDLES, most // 10)) // 2, 1), _PLENTY)


def proxy_options(settings: Settings) -> Options:
    """What the SMTP proxy is told of the settings."""
    smtp = settings.smtp
    same: dict[str, Any] = {name: getattr(smtp, name) for name in _SAME}  # Any: of all types
    return Options(
        hostname=app.hostname(settings),
        bypass_clients=smtp.bypass.clients,
        bypass_authenticated=smtp.bypass.authenticated,
        log_addresses=settings.log.addresses,
        own_connections=connections_with_handles(),
        large_octets=settings.limits.large_octets,
        **same,
    )


def top_field(content: bytes) -> bytes:
    """Our Received field, which a release puts on top again: behind a mailbox line, where ours stands."""
    start = len(edits.mailbox_line(content))
    end = content.find(b"\r\n", start) + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.find(b"\r\n", end) + 2
    return content[start:end]
