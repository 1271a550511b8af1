"""Asking DNS resolvers over UDP, and over TCP where an answer is too long (RFC 1035 §4.2, RFC 7766).

Knows retries and time; must not know what is asked for, and keeps nothing (`dns_cache` does). Meant for a validating resolver of one's own
nearby. Network trouble is a status, never an exception. A question is a record in a table here, no task: one timer looks after all.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from milter.adapters import dns_wire
from milter.adapters.alarm import Alarm
from milter.adapters.dns_deadline import Deadline
from milter.adapters.dns_socket import Server, Socket
from milter.auth.resolver import Answer, DnsStatus, Question

_WEIGHTS = (1, 2, 4, 8)  # of the waits between sending a question again
_GRACE = 1.0  # seconds that a server where nobody listens gets, for a restart
_NEVER = float("inf")
_TIMEOUT = Answer(DnsStatus.TIMEOUT)
Done = Callable[[Answer], None]


@dataclass(slots=True)
class Counters:
    """What became of the queries; read by logs and metrics."""

    sent: int = 0
    repeated: int = 0
    over_tcp: int = 0
    statuses: dict[str, int] = field(default_factory=dict)


class UdpResolver:
    """Fulfils `milter.auth.resolver.Resolver`. `servers` are (IP address, port), asked in this order.

    `timeout` is the time in seconds for one question, in which it is sent up to four times, more and more rarely, before it is
    TIMEOUT; `concurrency` how many questions are out at once; an answer with more than `max_records` records is MALFORMED.
    Close it in the event loop that used it.
    """

    def __init__(self, servers: tuple[tuple[str, int], ...], *, timeout: float = 5.0, concurrency: int = 200, max_records: int = 100) -> None:
        self.counters = Counters()
        self.max_records = max_records
        self.alarm = Alarm(self._ring)
        self._servers = [Server(host, port) for host, port in servers]
        self._waits = _waits(timeout, len(servers))
        self._closed = False
        self._concurrency = concurrency
        self._out: set[_Query] = set()
        self._queue: deque[_Query] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def within(self, seconds: float) -> Deadline:
        """The same resolver with a time limit for all questions together."""
        return Deadline(self, seconds)

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Nothing is kept here, so nothing is asked early."""

    async def query(self, name: str, kind: str) -> Answer:
        """Ask the servers in turn until one answers. A name that cannot exist in the DNS is NXDOMAIN unasked."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ask(name, kind, lambda answer: None if future.done() else future.set_result(answer))
        return await future

    def ask(self, name: str, kind: str, done: Done) -> None:
        """The same without waiting: `done` is called once with the answer, maybe before this returns."""
        wire = dns_wire.encode_name(name)
        if wire is None:
            done(Answer(DnsStatus.NXDOMAIN))
        elif self._closed:
            self._tell(done, _TIMEOUT)
        else:
            query = _Query(self, wire, kind, done, self._servers.copy(), self._waits)
            if len(self._out) < self._concurrency:
                self._out.add(query)
                query.ask_next()
            else:
                self._queue.append(query)

    async def close(self) -> None:
        """Close all sockets; questions that are out become TIMEOUT, and later ones are not asked."""
        self._closed = True
        self.alarm.stop()
        for query in (*self._out, *self._queue):
            query.stop()
            self._tell(query.done, _TIMEOUT)
        self._out.clear()
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()

    def prefer(self, server: Server) -> None:
        """The server that answers is asked first the next time."""
        if server is not self._servers[0]:
            self._servers.remove(server)
            self._servers.insert(0, server)

    def keep(self, task: asyncio.Task[None]) -> None:
        """End this task with the resolver."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def settle(self, query: _Query, answer: Answer) -> None:
        """A question has its answer; the next that waits may be asked."""
        self._out.discard(query)
        self._tell(query.done, answer)
        while self._queue and len(self._out) < self._concurrency:
            following = self._queue.popleft()
            self._out.add(following)
            following.ask_next()

    def _tell(self, done: Done, answer: Answer) -> None:
        statuses = self.counters.statuses
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        done(answer)

    def _ring(self, now: float) -> float | None:
        for query in [query for query in self._out if query.due <= now]:
            query.ring(now)
        return min((query.due for query in self._out), default=None)


def _waits(timeout: float, servers: int) -> tuple[float, ...]:
    """The waits in seconds after each sending to one server; the waits for all servers together are the time of one question."""
    if servers == 1:
        return tuple(weight * timeout / sum(_WEIGHTS) for weight in _WEIGHTS)
    each = timeout / max(1, servers)
    return (each / 3, each * 2 / 3)


class _Query:
    """One question on its way through the servers. `due` is the loop's time at which something has to happen unless an answer comes."""

    __slots__ = (
        "_gives_up",
        "_kind",
        "_name",
        "_number",
        "_octets",
        "_resolver",
        "_sent",
        "_server",
        "_servers",
        "_socket",
        "_waits",
        "done",
        "due",
        "question",
    )

    def __init__(self, resolver: UdpResolver, name: bytes, kind: str, done: Done, servers: list[Server], waits: tuple[float, ...]) -> None:
        self.done = done
        self.due = _NEVER
        self.question = b""
        self._resolver = resolver
        self._name = name
        self._kind = kind
        self._servers = servers[::-1]
        self._waits = waits
        self._socket: Socket | None = None

    def ask_next(self, last: Answer = _TIMEOUT) -> None:
        """Ask the next server; `last` is the answer when there is none."""
        if not self._servers:
            self._resolver.settle(self, last)
            return
        self._server = self._servers.pop()
        random = int.from_bytes(os.urandom(2 + len(self._name)), "big")
        self.question = dns_wire.write_question(self._name, self._kind, case=random >> 16)
        self._sent = 0
        self._gives_up = _NEVER
        try:
            self._socket = self._server.socket()
        except OSError:  # maybe the system has a socket later, for another question
            self._wait(len(self._waits), self._waits[0])
            return
        self._number = self._socket.add(random & 0xFFFF, self)
        self._octets = dns_wire.write_query(self._number, self.question)
        self._send()

    def ring(self, now: float) -> None:
        """Time is up for something."""
        if now >= self._gives_up or self._sent == len(self._waits):
            self.stop()
            self.ask_next()
        else:
            self._send()

    def stop(self) -> None:
        """Take no answer any more from the server that was asked."""
        self.due = _NEVER
        if self._socket is not None:
            self._socket.remove(self._number)
            self._socket = None

    def answered(self, response: bytes) -> None:
        """Called by the socket."""
        self.due = _NEVER
        self._socket = None
        if dns_wire.is_truncated(response):
            self._resolver.counters.over_tcp += 1
            self._resolver.keep(asyncio.get_running_loop().create_task(self._over_tcp()))
        else:
            self._take(dns_wire.read_answer(response, self.question, self._kind, max_records=self._resolver.max_records))

    def unreachable(self) -> None:
        """Called by the socket. Wait a little, for a resolver that restarts."""
        if self._gives_up == _NEVER:
            self._gives_up = asyncio.get_running_loop().time() + min(_GRACE, self._waits[0] * 2)
            self.due = min(self.due, self._gives_up)
            self._resolver.alarm.set(self.due)

    def _send(self) -> None:
        assert self._socket is not None
        counters = self._resolver.counters
        counters.sent += 1
        counters.repeated += self._sent > 0
        self._wait(self._sent + 1, self._waits[self._sent])
        self._socket.send(self._octets)

    def _wait(self, sent: int, seconds: float) -> None:
        self._sent = sent
        self.due = min(asyncio.get_running_loop().time() + seconds, self._gives_up)
        self._resolver.alarm.set(self.due)

    def _take(self, answer: Answer) -> None:
        if answer.status.is_temporary:
            self.ask_next(answer)
        else:
            self._resolver.prefer(self._server)
            self._resolver.settle(self, answer)

    async def _over_tcp(self) -> None:
        octets = await self._server.over_tcp(self._number, self.question, sum(self._waits))
        if octets is None:
            self._take(_TIMEOUT)
        else:
            self._take(dns_wire.read_answer(octets, self.question, self._kind, max_records=self._resolver.max_records))
