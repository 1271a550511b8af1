"""A next hop that fails as told: at one step of the session it answers with an error, stays silent, or hangs up.

Counts what it accepted, so that a test can tell a lost answer from a lost mail.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

Step = Literal["connect", "ehlo", "mail", "rcpt", "data", "dot"]
STEPS: tuple[Step, ...] = ("connect", "ehlo", "mail", "rcpt", "data", "dot")

_GOOD = {"connect": "220 hop.test ESMTP", "ehlo": "250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 20000000", "data": "354 go on"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong and where. `rcpt` means the second recipient of a mail, the others are accepted.

    "late": at the final dot the mail is accepted, then the connection is closed without the answer (RFC 1047).
    """

    step: Step
    how: Literal["temporary", "permanent", "hang", "close", "late"]

    @property
    def reply(self) -> str:
        """The error that is answered, in words that no other program uses."""
        return f"{'4' if self.how == 'temporary' else '5'}51 {'4' if self.how == 'temporary' else '5'}.7.9 faulty at {self.step}"


@dataclass(slots=True)
class FaultyHop:
    """A listening next hop; set `fault` at any time. `accepted` holds the recipients of each mail taken for good."""

    port: int
    fault: Fault | None = None
    accepted: list[tuple[str, ...]] = field(default_factory=list)
    sessions: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def begin(self, fault: Fault | None) -> None:
        """Start a new case: forget what was accepted, drop every open connection."""
        self.fault = fault
        self.accepted.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        self.sessions += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._answer(writer, "connect", _GOOD["connect"]):
            return
        rcpts: list[str] = []
        while line := await reader.readline():
            verb = line[:4].upper().decode("ascii", "replace")
            going = True
            if verb in ("EHLO", "HELO"):
                going = await self._answer(writer, "ehlo", _GOOD["ehlo"] if verb == "EHLO" else "250 hop.test")
            elif verb == "MAIL":
                rcpts, tried = [], 0
                going = await self._answer(writer, "mail", "250 2.1.0 ok")
            elif verb == "RCPT":
                tried += 1
                failing = tried == 2 and self._at("rcpt")
                going = await self._answer(writer, "rcpt" if tried == 2 else None, "250 2.1.5 ok")
                if not failing:
                    rcpts.append(line.split(b"<", 1)[1].split(b">", 1)[0].decode("ascii", "replace"))
            elif verb == "DATA":
                going = await self._answer(writer, "data", _GOOD["data"] if rcpts else "554 5.5.1 no recipient")
                if going and not self._at("data") and rcpts:
                    await reader.readuntil(b"\r\n.\r\n")
                    if not self._at("dot") or (self.fault is not None and self.fault.how == "late"):
                        self.accepted.append(tuple(rcpts))
                    going = await self._answer(writer, "dot", "250 2.0.0 taken")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n" if verb in ("RSET", "NOOP") else b"502 5.5.2 unknown\r\n")
            if not going:
                return

    def _at(self, step: Step) -> bool:
        return self.fault is not None and self.fault.step == step

    async def _answer(self, writer: asyncio.StreamWriter, step: Step | None, good: str) -> bool:
        """Answer one step, well or as the fault says. False: the connection is over."""
        fault = self.fault if self.fault is not None and self.fault.step == step else None
        if fault is None:
            writer.write(good.encode() + b"\r\n")
        elif fault.how in ("temporary", "permanent"):
            writer.write(fault.reply.encode() + b"\r\n")
        elif fault.how == "hang":
            await asyncio.sleep(3_600)
        else:
            return False
        await writer.drain()
        return not (fault is not None and step == "connect")


@contextlib.asynccontextmanager
async def faulty_hop(port: int) -> AsyncIterator[FaultyHop]:
    """A `FaultyHop` on 127.0.0.1 that listens as long as the block."""
    hop = FaultyHop(port)
    server = await asyncio.start_server(hop.session, "127.0.0.1", port, limit=1 << 24)
    try:
        yield hop
    finally:
        server.close()
        hop.begin(None)
        await asyncio.sleep(0)
