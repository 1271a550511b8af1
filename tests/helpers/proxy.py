"""The real SMTP proxy on loopback, with a judge of the test's and a scripted next hop, and a client that speaks octets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

from milter.actions.next_hop import NextHop, Reuse
from milter.actions.transaction import Deadlines
from milter.fronts import listen
from milter.fronts.smtp_contract import MailRecord, Options
from milter.fronts.smtp_proxy import SmtpProxy
from milter.model.edit import Edit
from milter.model.mail import Mail, Params
from milter.model.verdict import Action, Decision, Verdict, VerdictKind
from milter.settings.addresses import HostPort
from tests.helpers.next_hop import FakeNextHop

SHORT = Deadlines(connect=0.25, command=0.25, final=0.25)


def decision(action: Action = Action.PASS, edits: tuple[Edit, ...] = ()) -> Decision:
    """A decision without evidence."""
    return Decision(action, action, Verdict(VerdictKind.NONE), edits=edits)


@dataclass
class Stand:
    """A running proxy and what it did. `decide` may be replaced, also by something that waits or raises."""

    next_hop: FakeNextHop
    proxy: SmtpProxy
    port: int
    decide: Callable[[Mail], Awaitable[Decision]]
    judged: list[Mail] = field(default_factory=list)
    held: list[tuple[Mail, Decision, bytes]] = field(default_factory=list)
    records: list[MailRecord] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)
    hold_error: Exception | None = None
    params: list[Params] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client that has read the greeting."""
        client = await Client.connect(self.port)
        try:
            yield client
        finally:
            await client.close()

    async def send(self, content: bytes, *, recipients: tuple[str, ...] = ("bob@b.example",)) -> str:
        """One mail on a connection of its own; the last reply. Stops at the first step that fails for the mail as a whole."""
        async with self.client() as client:
            await client.say("EHLO client.example")
            said = await client.say("MAIL FROM:<alice@a.example>")
            if not said.startswith("250"):
                return said
            for recipient in recipients:
                said = await client.say(f"RCPT TO:<{recipient}>")
            said = await client.say("DATA")
            return await client.say_octets(content + b"\r\n.\r\n") if said.startswith("354") else said


@dataclass
class Client:
    """An SMTP client that sends exactly what it is told."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: str = ""

    @classmethod
    async def connect(cls, port: int) -> Client:
        """Connect and read the greeting."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client.greeting = await client.reply()
        return client

    async def say(self, line: str) -> str:
        """Send one line; the reply to it."""
        return await self.say_octets(line.encode() + b"\r\n")

    async def say_octets(self, octets: bytes) -> str:
        """Send octets; the next reply."""
        self.writer.write(octets)
        return await self.reply()

    async def reply(self) -> str:
        """The next reply, lines separated by LF; "" when the server has closed."""
        lines: list[str] = []
        while not lines or re.match(r"\d\d\d-", lines[-1]):
            try:
                line = await asyncio.wait_for(self.reader.readline(), 10)
            except ConnectionError:
                line = b""
            if not line:
                break
            lines.append(line.decode("utf-8", "surrogateescape").removesuffix("\r\n"))
        return "\n".join(lines)

    async def close(self) -> None:
        """Leave without QUIT."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def vanish(self) -> None:
        """Leave with a reset (RST), no goodbye."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def stand(
    next_hop: FakeNextHop | None = None,
    options: Options | None = None,
    *,
    deadlines: Deadlines | None = None,
    reuse: Reuse | None = None,
    is_up: bool = True,
    probe: bool = True,
) -> AsyncIterator[Stand]:
    """A proxy that passes every mail to the next hop, which is `is_up` or refuses connections."""
    next_hop = next_hop or FakeNextHop()
    async with contextlib.AsyncExitStack() as stack:
        if is_up:
            await stack.enter_async_context(next_hop.running())
        else:
            next_hop.port = await _closed_port()
        hop = NextHop("127.0.0.1", next_hop.port, "gw.example", deadlines=deadlines or Deadlines(5, 5, 5), reuse=reuse)
        built = _build(next_hop, hop, options or Options("gw.example"))
        if probe:
            await hop.probe()
        listener = await listen.open_all([HostPort("127.0.0.1", 0)], built.proxy.session)
        built.port = listener.addresses[0].port
        try:
            yield built
        finally:
            listener.close()
            await built.proxy.drain(5)
            await asyncio.sleep(0)


def _build(next_hop: FakeNextHop, hop: NextHop, options: Options) -> Stand:
    async def passes(mail: Mail) -> Decision:
        return decision()

    async def judge(mail: Mail) -> Decision:
        built.judged.append(mail)
        return await built.decide(mail)

    async def hold(mail: Mail, decided: Decision, content: bytes, params: Params) -> str:
        if built.hold_error is not None:
            raise built.hold_error
        built.held.append((mail, decided, content))
        built.params.append(params)
        return "Q1"

    proxy = SmtpProxy(
        replace(options),
        judge,
        hold,
        hop,
        lambda record: built.records.append(record),
        broke=lambda bug: built.bugs.append(bug),
        limited=lambda setting, client: built.limits.append(f"{setting} {client}"),
        unjudged=lambda mail, why: replace(decision(), unscanned=why),
        new_id=lambda: "ID1",
    )
    built = Stand(next_hop, proxy, 0, passes)
    return built


async def _closed_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


def decides(action: Action, edits: tuple[Edit, ...] = ()) -> Callable[[Mail], Awaitable[Decision]]:
    """A judge that always says the same."""

    async def judge(mail: Mail) -> Decision:
        return decision(action, edits)

    return judge


def without_trace(content: bytes) -> bytes:
    """A mail without the first field (our Received)."""
    end = re.match(rb"Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", content)
    assert end is not None, content[:200]
    return content[end.end() :]
