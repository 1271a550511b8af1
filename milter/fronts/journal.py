"""The log of the whole service, in the parent: every line of every worker and its own goes through here, to stderr and to whoever counts.

Must not know what becomes of a mail; it knows events by name. A stderr that takes no more (full disk, closed pipe, a reader who stands still) loses
lines and nothing else.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TextIO

from milter.adapters import log
from milter.fronts import channel

_KEPT_ERRORS = 20
_TOGETHER = 32_768  # octets
_PATIENCE = 1_000  # milliseconds, once: then lines are lost until stderr takes some again
_SILENT = frozenset(("counts", "ready", "failed", "leaving"))  # what a worker tells the parent alone

Event = Mapping[str, Any]  # Any: JSON


class Journal:
    """Writes log lines to `stream` (stderr) and hands each event to the `readers`. Also the stream of the parent's own logger."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._show = log.terminal_renderer() if self._stream.isatty() else None
        self.readers: list[Callable[[Event], None]] = []
        self.errors: deque[Event] = deque(maxlen=_KEPT_ERRORS)
        self.logger = log.open_log(self)
        self._out = _Out(self._stream)
        self._lost = 0

    def isatty(self) -> bool:
        """Lines come as JSON; `take` shows them as the terminal wants."""
        return False

    def flush(self) -> None:
        """Nothing waits."""

    def write(self, text: str) -> None:
        """A line of the parent's own logger."""
        self.take(text.encode("utf-8", "backslashreplace"))

    def take(self, line: bytes, event: Event | None = None) -> None:
        """One line with its line end; `event` is what it says, when that is known already."""
        event = event if event is not None else channel.decode(line)
        if event is None:
            return
        name = event.get("event")
        if name not in _SILENT:
            self._print(line, event)
        self._read(event)

    def take_all(self, lines: bytes) -> None:
        """Many log lines at once."""
        if not lines:
            return
        if self._show is not None:
            for line in lines.splitlines(keepends=True):
                self.take(line)
            return
        for start, end in _groups(lines):
            self._put(lines[start:end])
        for line in lines.splitlines():
            event = channel.decode(line)
            if event is not None:
                self._read(event)

    def _read(self, event: Event) -> None:
        if event.get("level") in ("warning", "error"):
            self.errors.append(event)
        for read in self.readers:
            read(event)

    def _print(self, line: bytes, event: Event) -> None:
        if self._show is not None:
            line = (self._show(event) + "\n").encode("utf-8", "backslashreplace")
        self._put(line)

    def _put(self, lines: bytes) -> None:
        if not self._out.put(lines):
            self._lost += lines.count(b"\n")
            for read in self.readers:
                read({"event": "counts", "pid": os.getpid(), "lost": self._lost})


def _groups(lines: bytes) -> Iterator[tuple[int, int]]:
    """Whole lines together, as many as go into `_TOGETHER` octets: what is lost at once stays little."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + _TOGETHER) + 1 or lines.find(b"\n", start) + 1 or len(lines)
        yield start, end
        start = end


class _Out:
    """Puts whole lines into a stream without standing still when its reader does. Of a line that went half the rest goes before the next one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = b""
        self._is_stuck = False

    def put(self, line: bytes) -> bool:
        """Whether the line is written, or begun."""
        with suppress(OSError, ValueError):
            self._write()
        if self._rest:
            return False
        self._rest = line
        with suppress(OSError, ValueError):
            self._write()
        if len(self._rest) < len(line):
            return True
        self._rest = b""
        return False

    def _write(self) -> None:
        handle = self._stream.fileno()
        while self._rest:
            waiting = select.poll()
            waiting.register(handle, select.POLLOUT)
            if not waiting.poll(0 if self._is_stuck else _PATIENCE):
                self._is_stuck = True
                return
            # pipe(7): a pipe that is ready takes so much without a wait.
            self._rest = self._rest[os.write(handle, self._rest[: select.PIPE_BUF]) :]
            self._is_stuck = False
