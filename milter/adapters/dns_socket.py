"""The sockets to DNS servers: datagrams out, those that answer a question of ours in; a TCP connection for what is too long.

RFC 1035 §4.2, RFC 7766 §8. Knows the system's calls; must not know retries or time. Sockets are the loop's raw ones: a question here costs
two system calls and no task.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Protocol

from milter.adapters import dns_wire

_SOCKETS = 4  # to each server: more ports to guess, more receive buffers
_RECEIVE_OCTETS = 1 << 20
_AT_ONCE = 64  # datagrams read before others have their turn
_LONGEST = 65_535


class Asked(Protocol):
    """A query that is out: its question as it was spelled, and who wants the response."""

    question: bytes

    def answered(self, response: bytes) -> None:
        """Called with a response to this very question."""
        ...

    def unreachable(self) -> None:
        """Called when nobody listens at the server."""
        ...


class Server:
    """One DNS server with its UDP sockets, opened when first needed and used in turn. `host` is an IP address."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._sockets: list[Socket] = []
        self._next = 0

    def socket(self) -> Socket:
        """The socket for the next question. Raises OSError when the system gives none."""
        if len(self._sockets) < _SOCKETS:
            self._sockets.append(Socket(self.host, self.port))
            return self._sockets[-1]
        self._next = (self._next + 1) % _SOCKETS
        return self._sockets[self._next]

    def close(self) -> None:
        """Close the sockets; what is out on them gets no answer."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    async def over_tcp(self, number: int, question: bytes, seconds: float) -> bytes | None:
        """One query over a TCP connection of its own; None when no response comes in time."""
        query = dns_wire.write_query(number, question)
        writer = None
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(self.host, self.port)
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


class Socket:
    """One connected UDP socket (the kernel drops datagrams from anybody else) with the queries that are out on it, by number."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._out: dict[int, Asked] = {}
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_OCTETS)
            self._socket.connect((host, port))
            self._loop.add_reader(self._socket, self._read)
        except BaseException:
            self._socket.close()
            raise

    def add(self, number: int, asked: Asked) -> int:
        """Await responses to a query of this number, or of the next that is free; gives that."""
        while number in self._out:
            number = (number + 1) & 0xFFFF
        self._out[number] = asked
        return number

    def remove(self, number: int) -> None:
        """Await no response to this query any more."""
        self._out.pop(number, None)

    def send(self, octets: bytes) -> None:
        """Send a datagram; one that the system does not take is lost like any other."""
        try:
            self._socket.send(octets)
        except BlockingIOError:
            pass
        except OSError:
            self._refused()

    def close(self) -> None:
        """Close the socket."""
        self._out.clear()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError:
                self._refused()
            else:
                number = int.from_bytes(data[:2], "big")
                asked = self._out.get(number)
                if asked is not None and dns_wire.answers(data, number, asked.question):
                    del self._out[number]
                    asked.answered(data)
            if not self._out:
                return

    def _refused(self) -> None:
        for asked in tuple(self._out.values()):
            asked.unreachable()
