"""A next hop that does what a script says: refuses, hangs or closes at any step, and keeps what it was given."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

# What the most careless server takes for the end of data.
_CARELESS_END = re.compile(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)")


@dataclass
class Got:
    """One mail that the next hop has taken: `octets` as they came on the wire, dots and all."""

    sender: str
    recipients: list[str]
    octets: bytes

    @property
    def content(self) -> bytes:
        """The mail without transparency dots."""
        return (b"\r\n" + self.octets).replace(b"\r\n.", b"\r\n")[2:]

    @property
    def mails_for_the_careless(self) -> int:
        """How many mails a server would see that ends data at any kind of line end around a dot, NUL passed over."""
        return len(_CARELESS_END.split(b"\r\n" + self.octets.replace(b"\0", b"")))


@dataclass
class FakeNextHop:
    """Listens on loopback. `script` maps a step to what is done there: a reply (`550 5.1.1 No`, several lines with `\\n`), `hang`, `close`,

    or `slow` (a command's usual reply after 80 ms). Steps: `greeting`, `EHLO`, `XFORWARD`, `MAIL`, `RCPT`, `RCPT <address>`, `DATA`,
    `content`, `dot`, `RSET`; a list gives one answer each time, the last for ever. `after` closes the connection after a step's answer.
    `log` holds what happened, one entry each.
    """

    offers: tuple[str, ...] = ("PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
    script: dict[str, str | list[str]] = field(default_factory=dict)
    after: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    mails: list[Got] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeNextHop]:
        """Listen until the block ends."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.close_all()
            await server.wait_closed()

    def close_all(self) -> None:
        """Cut every connection that stands."""
        for writer in self._writers:
            writer.transport.abort()

    def say_to_all(self, line: str) -> None:
        """Say something unasked on every connection that stands."""
        for writer in self._writers:
            writer.write(line.encode() + b"\r\n")

    @property
    def commands(self) -> list[str]:
        """The log without EHLO and QUIT."""
        return [entry for entry in self.log if not entry.startswith(("EHLO", "QUIT"))]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        with contextlib.suppress(_End, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._talk(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        self._writers.discard(writer)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._do("greeting", "220 nexthop.example ESMTP", writer)
        got = Got("", [], b"")
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "backslashreplace")
            self.log.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                offers = "\n".join(f"250-{offer}" for offer in ("nexthop.example", *self.offers))
                await self._do("EHLO", re.sub(r"250-(?!.*\n)", "250 ", offers), writer)
            elif verb == "MAIL":
                got = Got(line.partition("<")[2].partition(">")[0], [], b"")
                await self._do("MAIL", "250 2.1.0 Sender Ok", writer)
            elif verb == "RCPT":
                recipient = line.partition("<")[2].rpartition(">")[0]
                step = f"RCPT <{recipient}>"
                if (await self._do(step if step in self.script else "RCPT", "250 2.1.5 Recipient Ok", writer)).startswith("2"):
                    got.recipients.append(recipient)
            elif verb == "DATA":
                if (await self._do("DATA", "354 Go ahead", writer)).startswith("354"):
                    await self._take(reader, writer, got)
                    got = Got("", [], b"")
            elif verb == "QUIT":
                await self._do("QUIT", "221 2.0.0 Bye", writer)
                return
            else:
                await self._do(verb, "250 2.0.0 Ok", writer)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        if "content" in self.script:
            await reader.readuntil(b"\n")
            await self._do("content", "", writer)
        octets = bytearray(b"\r\n")
        while not octets.endswith(b"\r\n.\r\n"):
            octets += await reader.readuntil(b".\r\n")
        got.octets = bytes(octets[2:-3])
        self.log.append("(mail)")
        is_taken = self._next("dot", "250 2.0.0 Ok: queued as TEST1").startswith("2")
        if is_taken:
            self.mails.append(got)
        await self._answer("dot", writer)

    def _next(self, step: str, usual: str) -> str:
        said = self.script.get(step, usual)
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        self._said = said
        return said

    async def _do(self, step: str, usual: str, writer: asyncio.StreamWriter) -> str:
        said = self._next(step, usual)
        await self._answer(step, writer)
        return said

    async def _answer(self, step: str, writer: asyncio.StreamWriter) -> None:
        said = self._said
        if said == "hang":
            await asyncio.sleep(3_600)
        if said == "close":
            raise _End
        if said == "slow":
            await asyncio.sleep(0.08)
            said = "250 2.0.0 Ok"
        if said:
            writer.write(said.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n") + b"\r\n")
            await writer.drain()
        if step in self.after:
            raise _End


class _End(Exception):  # noqa: N818  # no error
    """The script says that the connection ends here."""
