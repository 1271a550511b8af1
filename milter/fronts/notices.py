"""One log line for many alike: what a flood of clients sets off is said at once, and then once in a while with its number.

Must not know what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SECONDS = 10.0
Say = Callable[[str, str, int], None]
"""What it is, about whom (the last one), how often since it was said last."""


class Notices:
    """Belongs to one event loop."""

    def __init__(self, say: Say, seconds: float = SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._since: dict[str, tuple[str, int]] = {}

    def happened(self, what: str, whom: str) -> None:
        """Say it now, unless it was said a moment ago. `what` is one of few."""
        if what in self._since:
            self._since[what] = (whom, self._since[what][1] + 1)
        else:
            self._open(what, whom, 1)

    def finish(self) -> None:
        """Say what has not been said yet."""
        waiting, self._since = self._since, {}
        for what, (whom, times) in waiting.items():
            if times:
                self._say(what, whom, times)

    def _open(self, what: str, whom: str, times: int) -> None:
        self._since[what] = ("", 0)
        asyncio.get_running_loop().call_later(self._seconds, self._close, what)
        self._say(what, whom, times)

    def _close(self, what: str) -> None:
        whom, times = self._since.pop(what, ("", 0))
        if times:
            self._open(what, whom, times)
