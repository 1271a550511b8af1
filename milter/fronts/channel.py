"""Between the parent and a worker: one socket, one JSON object a line each way, and a ring for the lines that have time.

Upwards go log lines and what a worker says of itself, downwards what it shall do. Must not know what any line means.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from milter.adapters.ring import Ring

_KEPT = 16_777_216  # octets of lines that wait for a parent that is busy
_PIECE = 262_144

Message = dict[str, Any]  # Any: JSON


def pair() -> tuple[socket.socket, socket.socket]:
    """The parent's end and the worker's, neither blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setblocking(False)
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_048_576)
    return ends


def encode(message: Message) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def decode(line: bytes) -> Message | None:
    """The message of a line, None when it is none."""
    with suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return None


class Outbox:
    """Writes lines without ever waiting: into the ring, where the parent finds them when it looks, else into the socket. What neither takes now
    goes later, and beyond a bound the oldest lines are lost.

    Also a stream for a logger. `lost` counts the lines that are gone.
    """

    def __init__(self, end: socket.socket, ring: Ring) -> None:
        self._end = end
        self._ring = ring
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lost = 0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """What waits is written when this loop finds the socket ready; before, it waits for the next line."""
        self._loop = loop

    def isatty(self) -> bool:
        """Never a terminal."""
        return False

    def flush(self) -> None:
        """Nothing to do: see `write`."""

    def write(self, text: str) -> None:
        """Write text that ends in a line end."""
        self.put(text.encode("utf-8", "backslashreplace"))

    def put(self, line: bytes) -> None:
        """Write a line that has time."""
        if not self._ring.put(line):
            self.say(line)

    def say(self, line: bytes) -> None:
        """Write a line that the parent hears at once; it may overtake others."""
        if not self._waiting:
            try:
                sent = self._end.send(line)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.lost += 1  # nobody listens any more
                return
            if sent == len(line):
                return
            line = line[sent:]
            if self._loop is not None:
                self._loop.add_writer(self._end.fileno(), self._on_ready)
        self._waiting.append(line)
        self._size += len(line)
        while self._size > _KEPT and len(self._waiting) > 1:  # the first may be half sent
            self._size -= len(self._waiting[1])
            del self._waiting[1]
            self.lost += 1

    def _on_ready(self) -> None:
        while self._waiting:
            try:
                sent = self._end.send(self._waiting[0])
            except BlockingIOError:
                return
            except OSError:
                self.lost += len(self._waiting)
                self._waiting.clear()
                break
            self._size -= sent
            if sent < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][sent:]
                return
            self._waiting.popleft()
        self._size = 0
        if self._loop is not None:
            self._loop.remove_writer(self._end.fileno())

    def finish(self) -> None:
        """Write what waits, waiting for it at most a second; for the end of a process."""
        self._end.settimeout(1.0)
        with suppress(OSError):
            self._end.sendall(b"".join(self._waiting))
        self._waiting.clear()


class Intake:
    """Cuts what comes from a socket into lines."""

    def __init__(self, end: socket.socket, take: Callable[[bytes], None]) -> None:
        self._end = end
        self._take = take
        self._rest = b""

    def read(self) -> bool:
        """Take the lines that are there, each with its line end. False at the end of the stream."""
        try:
            octets = self._end.recv(_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            self._take(line + b"\n")
        return bool(octets)

    def read_all(self) -> None:
        """Take everything that a process which is gone has left."""
        while True:
            try:
                octets = self._end.recv(_PIECE, socket.MSG_PEEK)
            except OSError:
                return
            if not octets or not self.read():
                return
