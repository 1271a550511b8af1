"""Asking DNS resolvers over UDP, and over TCP where an answer is too long (RFC 1035 §4.2, RFC 7766).

Knows sockets, retries and time; must not know what is asked for, and keeps nothing (`dns_cache` does). Meant for a
validating resolver of one's own nearby. Network trouble is a status, never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from milter.adapters import dns_wire
from milter.adapters.dns_deadline import Deadline
from milter.auth.resolver import Answer, DnsStatus, Question

_SOCKETS = 4  # to each server: more ports to guess, more receive buffers
_PAUSE = 0.25  # seconds before asking a server again where nobody listens


@dataclass(slots=True)
class Counters:
    """What became of the queries; read by logs and metrics."""

    sent: int = 0
    retried: int = 0
    over_tcp: int = 0
    statuses: dict[str, int] = field(default_factory=dict)


class UdpResolver:
    """Fulfils `milter.auth.resolver.Resolver`. `servers` are (address, port), asked in this order.

    `timeout` is the time in seconds for one attempt, `attempts` how often a question is sent before it is TIMEOUT;
    `concurrency` how many questions are out at once; an answer with more than `max_records` records is MALFORMED.
    Close it in the event loop that used it.
    """

    def __init__(
        self, servers: tuple[tuple[str, int], ...], *, timeout: float = 2.0, attempts: int = 3, concurrency: int = 200, max_records: int = 100
    ) -> None:
        self.counters = Counters()
        self._servers = tuple(_Server(host, port) for host, port in servers)
        self._timeout = timeout
        self._attempts = max(attempts, len(servers))
        self._slots = asyncio.Semaphore(concurrency)
        self._max_records = max_records

    def within(self, seconds: float) -> Deadline:
        """The same resolver with a time limit for all questions together."""
        return Deadline(self, seconds)

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Nothing is kept here, so nothing is asked early."""

    async def query(self, name: str, kind: str) -> Answer:
        """Ask the servers in turn until one answers. A name that cannot exist in the DNS is NXDOMAIN unasked."""
        wire = dns_wire.encode_name(name)
        if wire is None:
            return Answer(DnsStatus.NXDOMAIN)
        async with self._slots:
            answer = await self._ask(wire, kind)
        statuses = self.counters.statuses
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        return answer

    async def close(self) -> None:
        """Close all sockets; questions that are out become TIMEOUT."""
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    async def _ask(self, name: bytes, kind: str) -> Answer:
        answer = Answer(DnsStatus.TIMEOUT)
        for attempt in range(self._attempts):
            server = self._servers[attempt % len(self._servers)]
            self.counters.sent += 1
            self.counters.retried += attempt > 0
            answer = await self._ask_server(server, name, kind)
            if not answer.status.is_temporary:
                return answer
            # SERVFAIL is the resolver's last word: asking it again at once gives the same
            if answer.status is not DnsStatus.TIMEOUT and attempt + 1 >= len(self._servers):
                return answer
        return answer

    async def _ask_server(self, server: _Server, name: bytes, kind: str) -> Answer:
        random = int.from_bytes(os.urandom(2 + len(name)), "big")
        number = random & 0xFFFF
        question = dns_wire.write_question(name, kind, case=random >> 16)
        octets = await server.exchange(number, question, self._timeout)
        if octets is None:
            return Answer(DnsStatus.TIMEOUT)
        if dns_wire.is_truncated(octets):
            self.counters.over_tcp += 1
            octets = await _over_tcp(server, number, question, self._timeout)
            if octets is None:
                return Answer(DnsStatus.TIMEOUT)
        return dns_wire.read_answer(octets, question, kind, max_records=self._max_records)


class _Server:
    """One resolver with its UDP sockets, opened when first needed and used in turn."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._sockets: list[_Socket] = []
        self._next = 0

    async def exchange(self, number: int, question: bytes, seconds: float) -> bytes | None:
        """Send one query and wait for its response; None when none came in time."""
        try:
            socket = await self._socket()
        except OSError:
            await asyncio.sleep(_PAUSE)
            return None
        return await socket.exchange(number, question, seconds)

    def close(self) -> None:
        """Close the sockets."""
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()

    async def _socket(self) -> _Socket:
        self._sockets = [socket for socket in self._sockets if socket.is_open] if self._next % 64 == 0 else self._sockets
        if len(self._sockets) < _SOCKETS:
            loop = asyncio.get_running_loop()
            # connected: the kernel drops datagrams from anybody else
            _, socket = await loop.create_datagram_endpoint(_Socket, remote_addr=(self.host, self.port))
            self._sockets.append(socket)
            return socket
        self._next += 1
        return self._sockets[self._next % len(self._sockets)]


class _Socket(asyncio.DatagramProtocol):
    """One connected UDP socket with the queries that are out on it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, tuple[bytes, asyncio.Future[bytes | None]]] = {}

    @property
    def is_open(self) -> bool:
        """False once the socket was closed."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    async def exchange(self, number: int, question: bytes, seconds: float) -> bytes | None:
        """Send one query and wait for its response."""
        while number in self._waiting:
            number = (number + 1) & 0xFFFF
        future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting[number] = (question, future)
        timer = self._loop.call_later(seconds, _settle, future, None)
        try:
            if self._transport is not None:
                self._transport.sendto(dns_wire.write_query(number, question))
            return await future
        finally:
            timer.cancel()
            del self._waiting[number]

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take a response that answers a query of ours; drop anything else."""
        number = int.from_bytes(data[:2], "big")
        question, future = self._waiting.get(number, (b"", None))
        if future is not None and dns_wire.answers(data, number, question):
            _settle(future, data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: what is out will get no answer. Wait a little, for a resolver that restarts."""
        for _, future in self._waiting.values():
            self._loop.call_later(_PAUSE, _settle, future, None)

    def close(self) -> None:
        """Close the socket; what is out gets no answer."""
        for _, future in self._waiting.values():
            _settle(future, None)
        if self._transport is not None:
            self._transport.close()


def _settle(future: asyncio.Future[bytes | None], result: bytes | None) -> None:
    if not future.done():
        future.set_result(result)


async def _over_tcp(server: _Server, number: int, question: bytes, seconds: float) -> bytes | None:
    """One query over a TCP connection of its own (RFC 7766 §8: two octets of length first)."""
    query = dns_wire.write_query(number, question)
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            octets = await reader.readexactly(length)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1.0)
    return octets if dns_wire.answers(octets, number, question) else None
