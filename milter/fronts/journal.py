"""The log of the whole service, in the parent: every line of every worker and its own goes through here, to stderr and to whoever counts.

Must not know what becomes of a mail; it knows events by name. A stderr that takes no more (full disk, closed pipe) loses lines and nothing else.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from milter.adapters import log
from milter.fronts import channel

_KEPT_ERRORS = 20
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
        if event.get("level") in ("warning", "error"):
            self.errors.append(event)
        for read in self.readers:
            read(event)

    def _print(self, line: bytes, event: Event) -> None:
        if self._show is not None:
            line = (self._show(event) + "\n").encode("utf-8", "backslashreplace")
        with suppress(OSError, ValueError):
            view = memoryview(line)
            while view:
                view = view[os.write(self._stream.fileno(), view) :]
