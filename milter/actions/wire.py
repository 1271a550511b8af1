"""One TCP connection to the next hop: writes octets, hands out replies in order, each awaited under a deadline.

Knows asyncio's transport and time. Must not know which command a reply answers; `transaction` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from milter.actions.smtp_client import BrokenReply, Capabilities, ReplyReader
from milter.errors import NextHopError
from milter.model.reply import Reply

_CHUNK = 262_144
_TOO_SLOW = "the next hop did not read the mail in time"


class Wire(asyncio.Protocol):
    """A connection. `failure` says why it is of no more use, "" while it is; `capabilities` are those of its EHLO.

    `lost` is told once, when the connection is gone. A deadline that passes breaks the connection (`is_late`): an answer that comes later
    belongs to nobody. A reply 421 breaks it too (RFC 5321 §3.8), after it was handed out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Wire], None]) -> None:
        self.capabilities = Capabilities()
        self.mails = 0
        self.failure = ""
        self.is_late = False
        self.is_idle = False
        self._loop = loop
        self._lost = lost
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._unheeded: deque[bool] = deque()  # replies that nobody waits for: whether they have to be positive
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """asyncio: octets came."""
        try:
            replies = self._reader.feed(data)
        except BrokenReply as broken:
            self.abort(f"the next hop sent {broken}")
            return
        for reply in replies:
            if self._unheeded:
                if self._unheeded.popleft() and not reply.is_positive:
                    self.abort(f"the next hop answered {reply.code} to RSET")
                    return
            else:
                self._replies.append(reply)
        if self._waiter is not None:
            self._wake()
        elif self.is_idle and self._replies:
            self.abort("the next hop spoke unasked")

    def eof_received(self) -> bool:
        """asyncio: the next hop will say no more; then neither do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self.failure = self.failure or "the next hop closed the connection"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self._lost(self)

    def pause_writing(self) -> None:
        """asyncio: the peer reads too slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """asyncio: the peer has read."""
        self._paused = False
        self._wake()

    @property
    def has_reply(self) -> bool:
        """True when a reply waits to be taken."""
        return bool(self._replies)

    def now(self) -> float:
        """Loop time, in which all deadlines are given."""
        return self._loop.time()

    def write(self, octets: bytes | memoryview) -> None:
        """Send, or buffer. Nothing happens on a connection that is gone: the next reply says so."""
        if self._transport is not None and not self.failure:
            self._transport.write(octets)

    def write_unheeded(self, octets: bytes) -> None:
        """Send one command whose reply only has to be positive; nobody waits for it."""
        self._unheeded.append(True)
        self.write(octets)

    def ignore(self, replies: int) -> None:
        """Pass over the replies to so many commands that were sent already; what they say does not matter any more."""
        while replies and self._replies:
            self._replies.popleft()
            replies -= 1
        self._unheeded.extend([False] * replies)

    async def write_all(self, octets: bytes, until: float) -> None:
        """Send much, at the pace of the reader. Raises NextHopError when the connection breaks or `until` passes."""
        view = memoryview(octets)
        for start in range(0, len(view), _CHUNK):
            self.write(view[start : start + _CHUNK])
            await self.keep_up(until)

    async def keep_up(self, until: float) -> None:
        """Return when the reader has taken most of what was sent. Raises NextHopError like `write_all`."""
        while self._paused and not self.failure:
            await self._wait(until, _TOO_SLOW)
        if not self.failure and self._loop.time() >= until:
            self.is_late = True
            self.abort(_TOO_SLOW)
        if self.failure:
            raise NextHopError(self.failure)

    async def reply(self, until: float, step: str) -> Reply:
        """The next reply. `step` names what it answers, for the message. Raises NextHopError on trouble or when `until` passes."""
        while not self._replies:
            if self.failure:
                raise NextHopError(self.failure if self.is_late else f"{self.failure} at {step}")
            await self._wait(until, f"the next hop did not answer {step} in time")
        reply = self._replies.popleft()
        if reply.code == 421:
            self.abort("the next hop closed the session (421)")
        return reply

    def rest(self, until: float) -> None:
        """Nothing is going on; leave at `until` unless somebody takes the connection up again."""
        self.is_idle = True
        self._arm(until)

    def quit(self) -> None:
        """End the connection politely."""
        self.write(b"QUIT\r\n")
        self.failure = self.failure or "closed"
        if self._transport is not None:
            self._transport.close()

    def abort(self, failure: str) -> None:
        """End the connection at once; what was not sent yet is not sent any more."""
        self.failure = self.failure or failure
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def _wait(self, until: float, late: str) -> None:
        self._waiter = self._loop.create_future()
        self._arm(until)
        try:
            await self._waiter
        finally:
            self._waiter = None
        if not (self.failure or self._replies) and self._loop.time() >= until:
            self.is_late = True
            self.abort(late)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self, until: float) -> None:
        # One timer that looks at the deadline when it fires: cheaper than one timer a reply.
        self._deadline = until
        if self._timer is None or self._timer.when() > until:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            if self._waiter is not None or self.is_idle:
                self._arm(self._deadline)
        elif self._waiter is not None:
            self._wake()
        elif self.is_idle:
            self.quit()
