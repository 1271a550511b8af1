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
from socket import SO_RCVBUF, SOL_SOCKET
from typing import cast

from milter.adapters import dns_wire
from milter.adapters.dns_deadline import Deadline
from milter.auth.resolver import Answer, DnsStatus, Question

_SOCKETS = 4  # to each server: more ports to guess, more receive buffers
_RECEIVE_OCTETS = 1 << 20
_WEIGHTS = (1, 2, 4, 8)  # of the waits between sending a question again
_GRACE = 1.0  # seconds that a server where nobody listens gets, for a restart


@dataclass(slots=True)
class Counters:
    """What became of the queries; read by logs and metrics."""

    sent: int = 0
    repeated: int = 0
    over_tcp: int = 0
    statuses: dict[str, int] = field(default_factory=dict)


class UdpResolver:
    """Fulfils `milter.auth.resolver.Resolver`. `servers` are (address, port), asked in this order.

    `timeout` is the time in seconds for one question, in which it is sent up to four times, more and more rarely, before it is
    TIMEOUT; `concurrency` how many questions are out at once; an answer with more than `max_records` records is MALFORMED.
    Close it in the event loop that used it.
    """

    def __init__(self, servers: tuple[tuple[str, int], ...], *, timeout: float = 5.0, concurrency: int = 200, max_records: int = 100) -> None:
        self.counters = Counters()
        self._servers = [_Server(host, port) for host, port in servers]
        self._timeout = timeout
        self._waits = tuple(weight * timeout / sum(_WEIGHTS) for weight in _WEIGHTS)
        self._closed = False
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
        """Close all sockets; questions that are out become TIMEOUT, and later ones are not asked."""
        self._closed = True
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    async def _ask(self, name: bytes, kind: str) -> Answer:
        """Ask the servers one after the other; the one that answers is asked first the next time."""
        answer = Answer(DnsStatus.TIMEOUT)
        for server, waits in self._plan():
            if self._closed:
                break
            answer = await self._ask_server(server, name, kind, waits)
            if not answer.status.is_temporary:
                if server is not self._servers[0]:
                    self._servers.remove(server)
                    self._servers.insert(0, server)
                break
        return answer

    def _plan(self) -> list[tuple[_Server, tuple[float, ...]]]:
        """Who is asked, and the waits in seconds after each sending; all waits together are the time of one question."""
        servers = list(self._servers)
        if len(servers) == 1:
            return [(servers[0], self._waits)]
        each = self._timeout / len(servers)
        return [(server, (each / 3, each * 2 / 3)) for server in servers]

    async def _ask_server(self, server: _Server, name: bytes, kind: str, waits: tuple[float, ...]) -> Answer:
        random = int.from_bytes(os.urandom(2 + len(name)), "big")
        number = random & 0xFFFF
        question = dns_wire.write_question(name, kind, case=random >> 16)
        octets, sent = await server.exchange(number, question, waits)
        self.counters.sent += sent
        self.counters.repeated += max(0, sent - 1)
        if octets is None:
            return Answer(DnsStatus.TIMEOUT)
        if dns_wire.is_truncated(octets):
            self.counters.over_tcp += 1
            octets = await _over_tcp(server, number, question, sum(waits))
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
        self._opening = asyncio.Lock()

    async def exchange(self, number: int, question: bytes, waits: tuple[float, ...]) -> tuple[bytes | None, int]:
        """Send one query and wait for its response. Gives the response, None when none came in time, and how often it was sent."""
        try:
            socket = await self._socket()
        except OSError:
            await asyncio.sleep(waits[0])
            return None, 0
        return await socket.exchange(number, question, waits)

    def close(self) -> None:
        """Close the sockets."""
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()

    async def _socket(self) -> _Socket:
        self._next += 1
        if len(self._sockets) < _SOCKETS or not self._sockets[self._next % _SOCKETS].is_open:
            async with self._opening:
                await self._open()
        return self._sockets[self._next % _SOCKETS]

    async def _open(self) -> None:
        self._sockets = [socket for socket in self._sockets if socket.is_open]
        while len(self._sockets) < _SOCKETS:
            # connected: the kernel drops datagrams from anybody else
            transport, socket = await asyncio.get_running_loop().create_datagram_endpoint(_Socket, remote_addr=(self.host, self.port))
            with contextlib.suppress(OSError):
                transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, _RECEIVE_OCTETS)
            self._sockets.append(socket)


class _Query:
    """A query that is out: its octets, how long to wait after each sending, and who waits for the response."""

    __slots__ = ("future", "given_up", "octets", "question", "sent", "timer", "waits")

    def __init__(self, question: bytes, octets: bytes, waits: tuple[float, ...], future: asyncio.Future[bytes | None]) -> None:
        self.question = question
        self.octets = octets
        self.waits = waits
        self.future = future
        self.sent = 0
        self.given_up = False
        self.timer: asyncio.TimerHandle | None = None


class _Socket(asyncio.DatagramProtocol):
    """One connected UDP socket with the queries that are out on it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._out: dict[int, _Query] = {}

    @property
    def is_open(self) -> bool:
        """False once the socket was closed."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    async def exchange(self, number: int, question: bytes, waits: tuple[float, ...]) -> tuple[bytes | None, int]:
        """Send one query, again after each wait, and wait for its response."""
        while number in self._out:
            number = (number + 1) & 0xFFFF
        query = _Query(question, dns_wire.write_query(number, question), waits, self._loop.create_future())
        self._out[number] = query
        self._send(query)
        try:
            return await query.future, query.sent
        finally:
            del self._out[number]
            if query.timer is not None:
                query.timer.cancel()

    def _send(self, query: _Query) -> None:
        if query.sent == len(query.waits):
            _settle(query.future, None)
        elif self._transport is not None:
            self._transport.sendto(query.octets)
            query.timer = self._loop.call_later(query.waits[query.sent], self._send, query)
            query.sent += 1

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take a response that answers a query of ours; drop anything else."""
        number = int.from_bytes(data[:2], "big")
        query = self._out.get(number)
        if query is not None and dns_wire.answers(data, number, query.question):
            _settle(query.future, data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there. Wait a little, for a resolver that restarts."""
        for query in self._out.values():
            if not query.given_up:
                query.given_up = True
                self._loop.call_later(min(_GRACE, query.waits[0] * 2), _settle, query.future, None)

    def close(self) -> None:
        """Close the socket; what is out gets no answer."""
        for query in self._out.values():
            _settle(query.future, None)
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
