"""A small SMTP client for tests: sends octets exactly as given, pipelines when it may, and reports every reply.

Knows RFC 5321, RFC 2920 (pipelining) and Postfix's XFORWARD. Must not repair anything: what a test hands in goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply; `text` holds the lines without their codes, joined by newlines. Code 0: the server hung up."""

    code: int
    text: str = ""


HUNG_UP = Reply(0, "connection closed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The replies of one mail. `data` and `final` are None when it did not come to them."""

    mail: Reply
    rcpts: tuple[Reply, ...] = ()
    data: Reply | None = None
    final: Reply | None = None

    @property
    def code(self) -> int:
        """The code that decided: 250 when accepted for at least one recipient, else that of the step that failed."""
        if self.final is not None:
            return self.final.code
        if self.mail.code != 250:
            return self.mail.code
        refused = [reply.code for reply in self.rcpts if reply.code != 250]
        if len(refused) == len(self.rcpts) and refused:
            return refused[0]
        return self.data.code if self.data is not None else 0


def dot_stuffed(raw: bytes) -> bytes:
    """DATA content with its end: dots doubled (RFC 5321 §4.5.2), a last CRLF added when it lacks one."""
    body = raw.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body + (b".\r\n" if body.endswith(b"\r\n") or not body else b"\r\n.\r\n")


class SmtpClient:
    """One SMTP session. Use `async with await SmtpClient.connect(...)`; EHLO is said on entry."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self.banner = HUNG_UP
        self.offers: Mapping[str, str] = {}

    @classmethod
    async def connect(
        cls, port: int, *, host: str = "127.0.0.1", source: str = "127.0.0.1", helo: str = "client.test", seconds: float = 30
    ) -> SmtpClient:
        """Connect from `source` and say EHLO. Raises OSError when nobody listens."""
        reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0), limit=1 << 20)
        client = cls(reader, writer, seconds)
        client.banner = await client.reply()
        if client.banner.code == 220:
            await client.ehlo(helo)
        return client

    async def __aenter__(self) -> SmtpClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close(politely=kind is None)

    async def ehlo(self, name: str) -> Reply:
        """Say EHLO and remember what is offered: keyword in capitals → parameters."""
        reply = await self.command(f"EHLO {name}")
        if reply.code == 250:
            lines = [line.partition(" ") for line in reply.text.split("\n")[1:]]
            self.offers = {keyword.upper(): values for keyword, _, values in lines}
        return reply

    async def reply(self) -> Reply:
        """Read one reply; `HUNG_UP` when the connection ends instead."""
        lines: list[str] = []
        while True:
            try:
                line = await asyncio.wait_for(self._reader.readuntil(b"\n"), self._seconds)
            except (asyncio.IncompleteReadError, ConnectionError):
                return HUNG_UP
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), "\n".join(lines))

    async def write(self, octets: bytes) -> None:
        """Send octets as they are; a connection that is gone shows in the next reply."""
        self._writer.write(octets)
        try:
            await asyncio.wait_for(self._writer.drain(), self._seconds)
        except ConnectionError:
            return

    async def command(self, line: str) -> Reply:
        """Send one command line and read its reply."""
        await self.write(line.encode() + b"\r\n")
        return await self.reply()

    async def xforward(self, **attributes: str) -> Reply:
        """Tell the server about the real client, as a Postfix in front does (`addr="192.0.2.1", helo="mx.example"`)."""
        return await self.command("XFORWARD " + " ".join(f"{name.upper()}={value}" for name, value in attributes.items()))

    async def send(self, mail_from: str, rcpts: Sequence[str], raw: bytes, *, parameters: str = "") -> Outcome:
        """Send one mail. MAIL, RCPT and DATA go in one write when PIPELINING is offered (RFC 2920)."""
        lines = [f"MAIL FROM:<{mail_from}>{parameters}", *(f"RCPT TO:<{rcpt}>" for rcpt in rcpts), "DATA"]
        if "PIPELINING" in self.offers:
            await self.write("".join(line + "\r\n" for line in lines).encode())
            mail = await self.reply()
            answers = [await self.reply() for _ in rcpts]
            data = await self.reply()
        else:
            mail = await self.command(lines[0])
            if mail.code != 250:
                return Outcome(mail)
            answers = [await self.command(line) for line in lines[1:-1]]
            if all(answer.code != 250 for answer in answers):
                return Outcome(mail, tuple(answers))
            data = await self.command(lines[-1])
        if data.code != 354:
            return Outcome(mail, tuple(answers), data)
        refused = all(answer.code != 250 for answer in answers)
        final = await self.finish(b".\r\n" if refused else dot_stuffed(raw))
        return Outcome(mail, tuple(answers), data, None if refused else final)

    async def finish(self, wire: bytes) -> Reply:
        """Send DATA content that is already in wire form and read the final reply."""
        await self.write(wire)
        return await self.reply()

    async def reset(self) -> Reply:
        """RSET."""
        return await self.command("RSET")

    async def close(self, *, politely: bool = True) -> None:
        """QUIT (or just hang up) and close."""
        if politely and not self._reader.at_eof():
            await self.command("QUIT")
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
