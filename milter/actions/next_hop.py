"""SMTP out: the next hop, the connections to it, and the beginning of each transaction.

Knows connecting, reuse, and when a second try is safe. Must not decide anything about a mail. A transaction begins before the mail is
there (at MAIL FROM), see `transaction`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from milter.actions import plain_reply, smtp_client
from milter.actions.smtp_client import Capabilities
from milter.actions.transaction import Deadlines, Recipient, Transaction, batch, missing, trouble
from milter.actions.wire import Wire
from milter.errors import NextHopError
from milter.model.mail import Envelope, Params
from milter.model.reply import Reply, reply

_NOTHING: Mapping[str, str] = {}
_MINIMUM = Capabilities()


@dataclass(frozen=True, slots=True)
class Reuse:
    """How long connections live: `idle` seconds without a mail, at most `mails` mails; at most `connections` wait."""

    idle: float = 10.0
    mails: int = 100
    connections: int = 50


@dataclass(frozen=True, slots=True)
class Delivery:
    """Outcome of `deliver`: one reply a recipient, in order, and the last word on the mail itself.

    `in_doubt`: no answer came after the final dot, so the next hop may have the mail (RFC 1047).
    """

    recipients: tuple[Reply, ...]
    final: Reply
    in_doubt: bool = False


class _Stale(Exception):  # noqa: N818  # no error: the sign for the second try
    """A connection from the pool was no longer good, and nothing of the mail has been taken."""


@dataclass(frozen=True, slots=True)
class _Mail:
    """What begins a transaction."""

    path: bytes
    parameters: tuple[bytes, ...]
    xforward: Mapping[str, str]
    promised: Capabilities
    ahead: Sequence[Recipient]
    until: float


class NextHop:
    """The next hop and the connections to it.

    `capabilities` are those of the last EHLO, the minimum before the first. One instance belongs to one event loop.
    """

    def __init__(self, host: str, port: int, hostname: str, *, deadlines: Deadlines | None = None, reuse: Reuse | None = None) -> None:
        self.host = host
        self.port = port
        self.deadlines = deadlines or Deadlines()
        self.capabilities = _MINIMUM
        self._reuse = reuse or Reuse()
        self._ehlo = f"EHLO {hostname}\r\n".encode("ascii")
        self._idle: list[Wire] = []
        self._wires: set[Wire] = set()

    async def probe(self) -> str:
        """Connect once to learn the capabilities. "" when that went well, else why not; then the last known hold."""
        try:
            self._give_back(await self._connect(self._step_end()))
        except NextHopError as error:
            return error.cause
        return ""

    async def begin(
        self,
        path: bytes,
        parameters: tuple[bytes, ...] = (),
        *,
        xforward: Mapping[str, str] = _NOTHING,
        promised: Capabilities = _MINIMUM,
        ahead: Sequence[Recipient] = (),
    ) -> Transaction | Reply:
        """Send MAIL; a Transaction when the next hop takes it, else its reply, or ours when it gives none.

        `xforward` values are in xtext. `promised` is what our own client was offered: a parameter that was promised but is gone gives 451,
        one that never was 555. `ahead` are recipients that are known already: they go out with MAIL when the next hop can take that (RFC 2920),
        and the first `Transaction.rcpt` has to be for them.
        """
        mail = _Mail(path, parameters, xforward, promised, ahead, self._step_end())
        try:
            if self._idle:
                wire = self._idle.pop()
                wire.is_idle = False
                try:
                    return await self._mail(wire, mail, is_fresh=False)
                except _Stale:
                    pass  # a second try is safe, once
            return await self._mail(await self._connect(mail.until), mail, is_fresh=True)
        except NextHopError as error:
            return trouble(error)

    async def deliver(self, envelope: Envelope, content: bytes, params: Params | None = None) -> Delivery:
        """Send a mail that is complete already, to the recipients that the next hop takes.

        `params` are those of the client that brought it; `rcpt` has one tuple a recipient, in order. Those go with it that the next hop offers;
        SIZE and BODY follow from the content. When the next hop takes no recipient, `final` is its reply to the last of them and nothing is
        sent. ValueError: see `smtp_client.stuffed`.
        """
        if not self._wires:
            await self.probe()
        given = params or Params()
        parameters = smtp_client.for_resending(given.mail, self.capabilities, content)
        is_ascii = envelope.mail_from.isascii() and all(one.isascii() for one in envelope.rcpt_to)
        if not is_ascii and "SMTPUTF8" not in map(smtp_client.parameter_name, parameters):
            parameters = (*parameters, b"SMTPUTF8")
        begun = await self.begin(envelope.mail_from.encode("utf-8", "surrogateescape"), parameters, promised=self.capabilities)
        if isinstance(begun, Reply):
            return Delivery(tuple(begun for _ in envelope.rcpt_to), begun)
        theirs = (smtp_client.for_resending_to(one, self.capabilities) for one in given.rcpt)
        paths = (one.encode("utf-8", "surrogateescape") for one in envelope.rcpt_to)
        replies = tuple(await begun.rcpt(list(zip(paths, chain(theirs, repeat(())), strict=False))))
        if not any(one.is_positive for one in replies):
            begun.drop()
            return Delivery(replies, replies[-1] if replies else reply(554, "5.5.1", "No recipients"))
        final = await begun.data(content)
        return Delivery(replies, final, begun.in_doubt)

    def close(self) -> None:
        """Say QUIT on the connections that wait and cut the others."""
        for wire in self._idle:
            wire.quit()
        for wire in tuple(self._wires):
            wire.abort("closed")

    def _step_end(self) -> float:
        return asyncio.get_running_loop().time() + self.deadlines.step

    async def _connect(self, until: float) -> Wire:
        loop = asyncio.get_running_loop()
        wire = Wire(loop, self._forget)
        try:
            async with asyncio.timeout(self.deadlines.connect):
                await loop.create_connection(lambda: wire, self.host, self.port)
        except TimeoutError:
            raise NextHopError("the next hop did not take the connection in time", enhanced="4.4.1") from None
        except OSError as error:
            raise NextHopError(f"no connection to the next hop ({_reason(error)})", enhanced="4.4.1") from None
        self._wires.add(wire)
        try:
            await self._expect(wire, "the greeting", until)
            wire.write(self._ehlo)
            wire.capabilities = smtp_client.read_capabilities(await self._expect(wire, "EHLO", until))
        except BaseException:
            wire.abort("the session could not be opened")
            raise
        self.capabilities = wire.capabilities
        return wire

    async def _expect(self, wire: Wire, step: str, until: float) -> Reply:
        answer = await wire.reply(min(until, wire.now() + self.deadlines.command), step)
        if not answer.is_positive:
            raise NextHopError(f"the next hop opened no session, it said at {step}: {plain_reply.plain(answer)}", enhanced="4.4.1")
        return answer

    async def _mail(self, wire: Wire, mail: _Mail, *, is_fresh: bool) -> Transaction | Reply:
        parameters = smtp_client.without_hints(mail.parameters, wire.capabilities)
        lacking = smtp_client.unsupported(parameters, wire.capabilities)
        if lacking is not None:
            self._give_back(wire)
            return missing(lacking, mail.promised)
        commands = smtp_client.xforward_commands(mail.xforward, wire.capabilities.xforward)
        commands.append(smtp_client.path_command(b"MAIL FROM", mail.path, parameters))
        ahead = batch(mail.ahead, wire.capabilities, mail.promised) if mail.ahead and wire.capabilities.pipelining else None
        try:
            answer = await self._exchange(wire, commands, ahead.commands if ahead else (), mail.until)
        except NextHopError:
            if is_fresh or wire.is_late:
                raise
            raise _Stale from None
        except BaseException:
            wire.abort("given up at MAIL")
            raise
        if answer.code == 421 and not is_fresh:
            raise _Stale
        if answer.is_positive:
            return Transaction(wire, answer, self.deadlines, mail.promised, self._give_back, ahead)
        if ahead:
            wire.ignore(len(ahead.commands))
        if ahead or len(commands) > 1:
            wire.write_unheeded(b"RSET\r\n")  # else XFORWARD or a recipient would stay in force for the next mail, which may be another client's
        self._give_back(wire)
        return answer

    async def _exchange(self, wire: Wire, commands: Sequence[bytes], ahead: Sequence[bytes], until: float) -> Reply:
        """Send XFORWARD lines, MAIL and what goes ahead; the reply to MAIL. A refused XFORWARD costs only names in the next hop's log."""
        pipelined = wire.capabilities.pipelining
        if pipelined:
            wire.write(b"".join((*commands, *ahead)))
        for number, command in enumerate(commands, 1):
            if not pipelined:
                wire.write(command)
            is_last = number == len(commands)
            answer = await wire.reply(min(until, wire.now() + self.deadlines.command), "MAIL" if is_last else "XFORWARD")
            if answer.code == 421:
                break
        if not (answer.is_positive or answer.is_refusal):
            wire.abort(f"the next hop answered MAIL with {answer.code}")
            raise NextHopError(wire.failure)
        return answer

    def _give_back(self, wire: Wire) -> None:
        if wire.failure:
            return
        if wire.has_reply:
            wire.abort("the next hop spoke unasked")
        elif wire.mails >= self._reuse.mails or len(self._idle) >= self._reuse.connections:
            wire.quit()
        else:
            self._idle.append(wire)
            wire.rest(wire.now() + self._reuse.idle)

    def _forget(self, wire: Wire) -> None:
        self._wires.discard(wire)
        if wire in self._idle:
            self._idle.remove(wire)


def _reason(error: OSError) -> str:
    # asyncio's own text names the address; the system's words are enough for the peer.
    return (os.strerror(error.errno) if error.errno else "") or type(error).__name__
