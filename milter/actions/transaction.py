"""One mail on its way to the next hop, from a MAIL that it has taken to its answer to the final dot, or to nothing.

RFC 5321 §3.3. Knows the order of commands. Must not know connections to come or past; `next_hop` does. Trouble of the network is a reply
like any other here: 451, its cause in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from milter.actions import smtp_client
from milter.actions.smtp_client import Capabilities
from milter.actions.wire import Wire
from milter.adapters.lane import Lane
from milter.errors import NextHopError
from milter.model.reply import Reply, reply

_ONE_WRITE = 262_144
_SLICE = 131_072
Recipient = tuple[bytes, tuple[bytes, ...]]
"""Path and parameters of a RCPT."""
NO_ANSWER = "no answer after final dot (RFC 1047)"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `command` holds for the greeting and each command, `final` for the mail itself and the answer after its final dot.

    `step` bounds what one command of our own client may cost in all: MAIL (connecting, greeting, EHLO, XFORWARD, MAIL), or RCPT sent
    together; below the 100 s after which Postfix gives up a before-queue filter. The caller keeps judging and `final` together below it by
    the `until` of `Transaction.data`.
    """

    connect: float = 10.0
    command: float = 20.0
    final: float = 80.0
    step: float = 80.0


def trouble(error: NextHopError) -> Reply:
    """What the peer hears when the next hop gave no reply of its own."""
    return reply(451, error.enhanced, f"Not delivered yet: {error.cause}; please try again later", cause=error.cause)


def missing(parameter: str, promised: Capabilities) -> Reply:
    """The answer to a parameter that the next hop does not offer: 451 when it was offered before (it has changed), else 555."""
    if promised.supports(parameter):
        return reply(451, "4.3.3", f"The next hop does not offer {parameter} any more; please try again later", cause=f"{parameter} is gone")
    return reply(555, "5.5.4", f"Parameter not offered here: {parameter}")


@dataclass(frozen=True, slots=True)
class Batch:
    """RCPT commands that may go out together. `refused` has one entry a recipient: our own refusal, or None when it has a command."""

    refused: tuple[Reply | None, ...]
    commands: tuple[bytes, ...]


def batch(recipients: Sequence[Recipient], offered: Capabilities, promised: Capabilities) -> Batch:
    """RCPT for each recipient whose parameters the next hop offers."""
    lacking = [smtp_client.unsupported(parameters, offered) if parameters else None for _, parameters in recipients]
    commands = tuple(smtp_client.path_command(b"RCPT TO", *one) for one, name in zip(recipients, lacking, strict=True) if name is None)
    return Batch(tuple(None if name is None else missing(name, promised) for name in lacking), commands)


@dataclass(frozen=True, slots=True)
class Large:
    """A mail that goes out slice by slice, each in its turn in the lane. `pieces` joined are its content."""

    pieces: tuple[bytes | memoryview, ...]
    lane: Lane

    def slices(self) -> Iterator[bytes]:
        """The content, cut small."""
        for piece in self.pieces:
            for start in range(0, len(piece), _SLICE):
                yield bytes(piece[start : start + _SLICE])


class Transaction:
    """Ends with `data` or `drop`; after either it does nothing more.

    `accepted` is the next hop's reply to MAIL; `ahead` are recipients that were sent with it. `in_doubt` is True when the next
    hop may have taken the mail although it gave no answer.
    """

    def __init__(
        self,
        wire: Wire,
        accepted: Reply,
        deadlines: Deadlines,
        promised: Capabilities,
        give_back: Callable[[Wire], None],
        ahead: Batch | None = None,
    ) -> None:
        self.accepted = accepted
        self.in_doubt = False
        self._wire = wire
        self._deadlines = deadlines
        self._promised = promised
        self._give_back = give_back
        self._ahead = ahead
        self._is_open = True
        wire.mails += 1

    @property
    def failure(self) -> str:
        """Why the transaction cannot go on, or ""."""
        return self._wire.failure if self._is_open else "the transaction is over"

    @property
    def offered(self) -> Capabilities:
        """What the next hop offers on this connection."""
        return self._wire.capabilities

    async def rcpt(self, recipients: Sequence[Recipient]) -> list[Reply]:
        """Send RCPT for each, together when the next hop can take that; one reply each, in order.

        Recipients that were sent with MAIL already must come first and by themselves, as they were sent.
        """
        sent, self._ahead = self._ahead, None
        asked = sent or batch(recipients, self._wire.capabilities, self._promised)
        try:
            answers = iter(await self._all_answers(asked.commands, is_sent=sent is not None))
        except BaseException:
            self._cut("given up at RCPT")
            raise
        return [next(answers) if refused is None else refused for refused in asked.refused]

    async def data(self, content: bytes | Large, *, until: float | None = None) -> Reply:
        """Send the mail; the next hop's last word on it: 2xx only when it has taken it.

        `until` (loop time) shortens the deadline. ValueError: see `smtp_client.stuffed`; nothing was sent then, or no final dot.
        """
        limit = self._wire.now() + self._deadlines.final
        try:
            octets = smtp_client.stuffed(content) if isinstance(content, bytes) else content
            return await self._data(octets, limit if until is None else min(until, limit))
        except NextHopError as error:
            return trouble(error)
        finally:
            self._cut("given up at DATA")  # does nothing when it has ended well

    def drop(self) -> None:
        """End the transaction without a delivery; the connection stays usable."""
        if not self._is_open:
            return
        self._is_open = False
        if not self._wire.failure:
            if self._ahead is not None:
                self._wire.ignore(len(self._ahead.commands))
            self._wire.write_unheeded(b"RSET\r\n")
            self._give_back(self._wire)

    async def _all_answers(self, commands: tuple[bytes, ...], *, is_sent: bool) -> list[Reply]:
        pipelined = is_sent or self._wire.capabilities.pipelining
        if pipelined and not is_sent:
            self._wire.write(b"".join(commands))
        until = self._wire.now() + self._deadlines.step
        answers: list[Reply] = []
        for command in commands:
            if not pipelined:
                self._wire.write(command)
            try:
                answers.append(await self._answer("RCPT", min(until, self._wire.now() + self._deadlines.command)))
            except NextHopError as error:
                answers.append(trouble(error))
        return answers

    async def _data(self, octets: bytes | Large, until: float) -> Reply:
        self._wire.write(b"DATA\r\n")
        answer = await self._wire.reply(min(until, self._wire.now() + self._deadlines.command), "DATA")
        if answer.is_refusal:
            self.drop()
            return answer
        if answer.code != 354:
            raise NextHopError(f"the next hop answered DATA with {answer.code}")
        try:
            answer = await self._content(octets, until)
        except NextHopError as error:
            if self.in_doubt:
                raise NextHopError(f"{NO_ANSWER}: {error.cause}", after_final_dot=True) from None
            raise
        self._is_open = False
        self._give_back(self._wire)
        return answer

    async def _large(self, content: Large, until: float) -> None:
        stuffing, wire = smtp_client.Stuffing(), self._wire

        def send(octets: bytes) -> None:
            wire.write(stuffing.feed(octets))

        for octets in content.slices():
            await content.lane.slice(partial(send, octets))
            await wire.keep_up(until)
        wire.write(stuffing.end())

    async def _content(self, octets: bytes | Large, until: float) -> Reply:
        wire = self._wire
        if isinstance(octets, Large) or len(octets) > _ONE_WRITE:
            try:
                await (self._large(octets, until) if isinstance(octets, Large) else wire.write_all(octets, until))
            except NextHopError:
                if not wire.has_reply:
                    raise
            octets = b""
        if wire.has_reply:  # before the mail was complete: only a refusal makes sense
            early = await self._answer("the mail", until)
            if early.is_positive:
                raise NextHopError("the next hop answered before the end of the mail")
            self._cut("the next hop refused the mail before its end")
            return early
        self.in_doubt = True
        wire.write(octets + b".\r\n")
        answer = await self._answer("the final dot", until)
        self.in_doubt = False
        return answer

    async def _answer(self, step: str, until: float) -> Reply:
        answer = await self._wire.reply(until, step)
        if not (answer.is_positive or answer.is_refusal):
            self._wire.abort(f"the next hop answered {step} with {answer.code}")
            raise NextHopError(self._wire.failure)
        return answer

    def _cut(self, why: str) -> None:
        if self._is_open:
            self._is_open = False
            self._wire.abort(why)
