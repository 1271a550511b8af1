"""One worker: a forked process with its own event loop that takes, judges and delivers mail until its parent tells it to stop.

Knows the parts of the service and how they are wired. Must not know how the parent runs its workers: it hears `go`, `drain`, `pause` and
`resume` on its channel and says `ready`, log lines and `counts`. When the parent is gone, it finishes the mails under way and ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from milter import app, pipeline
from milter.adapters import log
from milter.adapters.board import Board, Place
from milter.adapters.dns_cache import CachingResolver
from milter.errors import MilterError
from milter.fronts import channel, listen, smtp_proxy, upkeep
from milter.fronts.smtp_contract import MailRecord, Options
from milter.model.mail import Mail
from milter.model.verdict import Decision
from milter.quarantine.store import Store
from milter.settings.model import Settings

DRAIN_SECONDS = 60.0
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seat:
    """What the parent gives a worker: its index, its end of the channel, its listening sockets, its place on the board.

    `paused_until` (seconds since 1970) is 0 when judging is on.
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
    outbox = channel.Outbox(seat.end)
    logger = log.open_log(outbox)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_Worker(seat, loaded.settings, parts, outbox, logger).run())
    except (MilterError, OSError) as error:
        outbox.put(channel.encode({"event": "failed", "cause": str(error)}))
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
    def __init__(self, seat: Seat, settings: Settings, parts: app.Parts, outbox: channel.Outbox, logger: log.Logger) -> None:
        self._seat = seat
        self._settings = settings
        self._parts = parts
        self._outbox = outbox
        self._logger = logger
        self._paused_until = seat.paused_until
        self._go = asyncio.Event()
        self._stop = asyncio.Event()
        self._intake = channel.Intake(seat.end, self._told)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        self._outbox.attach(loop)
        loop.add_reader(self._seat.end.fileno(), self._on_channel)
        async with app.open_store(self._settings, self._happened) as store, app.open_resolver(self._settings) as resolver:
            kit = app.build_kit(self._settings, self._parts, resolver, lambda mail, bug: self._broke(bug, mail.queue_id))
            proxy = self._proxy(kit, store)
            await self._probe(proxy)
            self._say({"event": "ready"})
            await self._serve(proxy, store, resolver)
        loop.remove_reader(self._seat.end.fileno())

    async def _serve(self, proxy: smtp_proxy.SmtpProxy, store: Store, resolver: CachingResolver) -> None:
        beside = upkeep.Upkeep(
            self._say, self._logger, self._outbox, resolver, store, None, self._settings.quarantine, is_keeper=self._seat.index == 0
        )
        counting = asyncio.create_task(beside.run())
        waiting = [asyncio.create_task(event.wait()) for event in (self._go, self._stop)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting[0].cancel()
        listener = await listen.serve(self._seat.sockets, proxy.session) if self._go.is_set() else None
        await waiting[1]
        if listener is not None:
            listener.close()
        for one in self._seat.sockets:
            one.close()  # they are the parent's; ours must not hold the address when it is gone
        await proxy.drain(DRAIN_SECONDS)
        counting.cancel()

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
        self._outbox.put(channel.encode(dict(message)))

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
            if self._paused_until > time.time():
                return pipeline.unjudged(mail, kit, "paused")
            return await pipeline.judge(mail, kit)

        async def hold(mail: Mail, decision: Decision, content: bytes) -> str:
            return await store.add(mail, decision, top_field(content))

        options = Options(
            hostname=app.hostname(settings),
            trusted_peers=settings.smtp.trusted_peers,
            line_ends=settings.smtp.line_ends,
            max_octets=settings.smtp.max_octets,
            max_recipients=settings.smtp.max_recipients,
            max_connections=settings.smtp.max_connections,
            idle_seconds=settings.smtp.idle_seconds,
            log_addresses=settings.log.addresses,
        )
        seat = self._seat
        return smtp_proxy.SmtpProxy(
            options, judge, hold, app.build_next_hop(settings), self._journal, broke=self._broke, board=seat.board, place=seat.place
        )

    def _journal(self, record: MailRecord) -> None:
        self._outbox.put(log.line("mail", record.line()))

    def _happened(self, name: str, facts: Mapping[str, object]) -> None:
        (self._logger.error if "do" in facts else self._logger.warning)(name, **facts)

    def _broke(self, bug: BaseException, queue_id: str = "") -> None:
        self._logger.error("bug", **log.facts({"place": log.bug_place(bug), "queue_id": queue_id}))


def top_field(content: bytes) -> bytes:
    """Our Received field, which a release puts on top again."""
    end = content.find(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.find(b"\r\n", end) + 2
    return content[:end]
