"""What one SMTP client wants: commands in, replies out, the next hop told as it goes.

RFC 5321, 1870, 2034, 3461, 6152, 6531, Postfix's XFORWARD. Knows the order of commands and what the next hop is told when. Must not judge,
and must not know what is done with a judged mail: `Door.finish` does that.
"""
# ruff: noqa: N802, N815  # aiosmtpd names its commands smtp_VERB

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Protocol

from milter.actions.next_hop import NextHop
from milter.actions.smtp_client import Capabilities
from milter.actions.transaction import Recipient, Transaction, trouble
from milter.adapters.board import Place
from milter.adapters.lane import Lane
from milter.errors import NextHopError
from milter.fronts import hops, large_mail, paths, xforward
from milter.fronts.gate import Gate
from milter.fronts.inbox import Fault
from milter.fronts.large_mail import LargeMail
from milter.fronts.paths import Path
from milter.fronts.room import Room
from milter.fronts.smtp_connection import Gone, House, SmtpConnection
from milter.model.mail import Connection, Envelope, Mail, Params
from milter.model.reply import Reply, reply

_OK = reply(250, "2.0.0", "Ok")
_GO = Reply(354, ("End data with <CR><LF>.<CR><LF>",))
_BAD_SEQUENCE = "5.5.1"
_TOGETHER = 20  # RCPT sent on at once; the client hears of them before the next


class Door(House, Protocol):
    """What a session needs of the proxy that it belongs to."""

    next_hop: NextHop
    lane: Lane
    place: Place
    memory: Gate

    def is_trusted(self, peer: str) -> bool:
        """Whether this address may say who its client is."""
        ...

    def new_id(self) -> str:
        """A queue id that no other mail has."""
        ...

    def given_up(self, mail: Mail, answer: Reply | None, cause: str) -> None:
        """Told of a mail that ends without a judgement; `answer` is None when the client is gone."""
        ...

    async def finish(self, mail: Mail, transaction: Transaction, params: Params, *, protocol: str, peer: str, slot: int, began: float) -> Reply:
        """Judge a mail and do what was decided; the answer for the client."""
        ...


class SmtpSession(SmtpConnection):
    """One client. Its transaction with the next hop stands from MAIL to the answer after the final dot, or until it is reset."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._door = door
        self._offered = Capabilities()
        self._xforward: dict[str, str] = {}
        self._transaction: Transaction | None = None
        self._is_utf8 = False
        self._is_told = False
        self._slot = -1  # the mail's on the board
        self._mails = 0
        self._parameters: tuple[bytes, ...] = ()
        self._recipient_parameters: list[tuple[bytes, ...]] = []
        self._room = Room(door.memory, door.place, door.options)

    def _command(self, verb: bytes) -> Callable[[str | None], Awaitable[None]] | None:
        method = _COMMANDS.get(verb)
        return None if method is None else method.__get__(self)

    @cached_property
    def _is_trusted(self) -> bool:
        return self._door.is_trusted(self.peer)

    def _may_err(self) -> bool:
        return self._is_trusted

    def _is_busy(self) -> bool:
        return self._transaction is not None

    def _reset(self) -> None:
        if self._transaction is not None:
            self._transaction.drop()
            self._transaction = None
        if self._slot >= 0:
            self._door.place.end(self._slot)
            self._slot = -1
        self._room.clear()
        self.envelope = self._create_envelope()
        self._xforward = {}
        self._is_utf8 = False

    async def smtp_HELO(self, hostname: str | None) -> None:
        """RFC 5321 §4.1.1.1."""
        self._greet(hostname, ())

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """RFC 5321 §4.1.1.1: offer what the next hop offers, and what is ours to offer."""
        offered = self._offered = self._door.next_hop.capabilities
        most = self._door.options.max_octets
        keywords = (
            ("PIPELINING", True),
            (f"SIZE {min(offered.size or most, most)}", offered.size is not None),
            ("8BITMIME", offered.eight_bit),
            ("SMTPUTF8", offered.smtputf8),
            ("DSN", offered.dsn),
            ("ENHANCEDSTATUSCODES", offered.enhanced_codes),
            (f"XFORWARD {' '.join(xforward.ATTRIBUTES)}", self._is_trusted),
        )
        self._greet(hostname, tuple(keyword for keyword, is_there in keywords if is_there))

    def _greet(self, hostname: str | None, offers: tuple[str, ...]) -> None:
        assert self.session is not None
        if not hostname:
            self._say(reply(501, "5.5.4", "Syntax: EHLO name, or HELO name"))
            return
        self._reset()
        self.session.host_name = hostname if hostname.isascii() else hostname.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.session.extended_smtp = bool(offers)
        self._say(Reply(250, (self.hostname, *offers)))

    async def smtp_XFORWARD(self, arg: str | None) -> None:
        """Postfix's XFORWARD, from listed peers alone."""
        if not self._is_trusted:
            self._say(reply(550, "5.7.1", "XFORWARD is not for you"))
        elif self._transaction is not None:
            self._say(reply(503, _BAD_SEQUENCE, "XFORWARD inside a mail"))
        else:
            read = xforward.read(arg)
            if isinstance(read, str):
                self._say(reply(501, "5.5.4", f"XFORWARD: {read}"))
            else:
                self._xforward.update(read)
                self._say(_OK)

    async def smtp_MAIL(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.2: the next hop's session begins here, and the reply is its own."""
        assert self.session is not None
        assert self.envelope is not None
        if not self.session.host_name:
            self._say(reply(503, _BAD_SEQUENCE, "EHLO first"))
            return
        if self._transaction is not None:
            self._say(reply(503, _BAD_SEQUENCE, "MAIL inside a mail"))
            return
        self._only_so_many_mails()
        self._is_told = False
        path = self._sender(arg)
        if isinstance(path, Reply):
            if path.cause:
                self._tell(path)
            self._say(path)
            return
        self._is_utf8 = path.parameter("SMTPUTF8") is not None
        read = self._waiting_recipients([])
        begun = await self._door.next_hop.begin(
            path.octets, path.parameter_octets, xforward=self._xforward, promised=self._offered, ahead=_asked(read)
        )
        if isinstance(begun, Reply):
            self._is_utf8 = False
            if begun.cause:
                self._tell(begun)
            self._say(begun)
            for _ in read:
                self._say(_NO_MAIL)
            return
        self._transaction = begun
        self._mails += 1
        self._parameters = path.parameter_octets
        self._recipient_parameters = []
        self.envelope.mail_from = path.address
        self._say(begun.accepted)
        if read:
            await self._recipients(begun, read)

    def _sender(self, arg: str | None) -> Path | Reply:
        path = paths.read("FROM:", arg)
        if isinstance(path, Reply) or not path.parameters:
            return path if isinstance(path, Reply) or path.address.isascii() else _NEEDS_UTF8
        size = path.parameter("SIZE")
        if size is not None and not (size.isascii() and size.isdigit() and len(size) <= 20):
            return reply(501, "5.5.4", "SIZE without a number")
        if size is not None:
            self._room.announced = int(size)
            if self._room.announced > self._door.options.max_octets:
                return _TOO_BIG
        if path.parameter("SMTPUTF8") is None and not path.address.isascii():
            return _NEEDS_UTF8
        return path

    async def smtp_RCPT(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.3: each reply is the next hop's own. Those that wait in the inbox already go to it together (RFC 2920)."""
        assert self.envelope is not None
        if self._transaction is None:
            self._say(_NO_MAIL)
            return
        await self._recipients(self._transaction, self._waiting_recipients([self._recipient(arg, 0)]))

    def _waiting_recipients(self, read: list[Path | Reply]) -> list[Path | Reply]:
        """`read` and those that wait in the inbox already, at most so many as may go to the next hop together."""
        while len(read) < _TOGETHER and (line := self._inbox.line_of(b"RCPT")) is not None:
            read.append(self._recipient(line[5:].strip(b" ").decode("utf-8", "surrogateescape"), len(read)))
        return read

    async def _recipients(self, transaction: Transaction, read: list[Path | Reply]) -> None:
        assert self.envelope is not None
        answers = iter(await transaction.rcpt(_asked(read)))
        for one in read:
            answer = one if isinstance(one, Reply) else next(answers)
            if isinstance(one, Path) and answer.is_positive:
                self.envelope.rcpt_tos.append(one.address)
                self._recipient_parameters.append(one.parameter_octets)
            elif answer.cause:
                self._tell(answer)
            self._say(answer)
        if len(read) == _TOGETHER:
            self._flush()

    def _recipient(self, arg: str | None, before: int) -> Path | Reply:
        """Read one RCPT; `before` counts those of the same packet, taken or not."""
        assert self.envelope is not None
        path = paths.read("TO:", arg)
        if isinstance(path, Reply):
            return path
        if not path.address:
            return reply(501, "5.1.3", "Recipient without an address")
        if not (self._is_utf8 or path.address.isascii()):
            return _NEEDS_UTF8
        if len(self.envelope.rcpt_tos) + before >= self._door.options.max_recipients:
            self._door.limited("smtp.max_recipients", self)
            return reply(452, "4.5.3", "Too many recipients")
        return path

    async def smtp_DATA(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.4: take the mail whole, then let it be judged; the next hop hears nothing of it before."""
        assert self.envelope is not None
        transaction = self._transaction
        if arg is not None:
            self._say(reply(501, "5.5.4", "Syntax: DATA"))
        elif transaction is None:
            self._say(_NO_MAIL)
        elif transaction.failure:
            self._give_up(trouble(NextHopError(transaction.failure)))
        elif not self.envelope.rcpt_tos:
            self._say(reply(554, _BAD_SEQUENCE, "No valid recipients"))
        elif not await self._room.begin():
            self._give_up(_NO_ROOM)
        else:
            self._say(_GO)
            self._slot = self._door.place.begin()
            began = time.perf_counter()
            taken = await self._taken(await self._content())
            if isinstance(taken, Reply):
                self._give_up(taken)
                return
            mail = self._mail(taken.proper, self.envelope.mail_from, received=None if taken.proper is taken.received else taken.received)
            params = Params(self._parameters, tuple(self._recipient_parameters))
            answer = await self._door.finish(mail, transaction, params, protocol=self._protocol(), peer=self.peer, slot=self._slot, began=began)
            self._say(answer)
            self._flush()  # until it is out, the board shows the mail: were we killed, its client would send it again
            self._reset()

    async def _content(self) -> bytes | LargeMail | Fault:
        inbox, options = self._inbox, self._door.options
        inbox.begin_data(options.max_octets, self._large_mail)
        self._received = len(inbox)
        waited = 0.0
        try:
            while (content := await self._door.lane.slice(inbox.data) if inbox.is_large else inbox.data()) is None:
                if not self._room.is_enough(self._received):
                    if not await self._room.grow():
                        inbox.skip()
                    continue  # the end may have come meanwhile
                waited = await self._more_of_mail(waited)
        except (Gone, ConnectionError):
            self._tell(self._ended, "the client left before the end of the mail")
            raise
        finally:
            inbox.abandon()  # does nothing when the mail is there
        if not isinstance(content, Fault):
            self._room.settle(len(content))
        return content

    def _large_mail(self) -> LargeMail:
        return LargeMail(normalise=self._door.options.line_ends == "normalise")

    async def _taken(self, content: bytes | LargeMail | Fault) -> large_mail.Taken | Reply:
        """The mail, or why it cannot be taken as it came. NUL has no other form, so it is refused always."""
        options = self._door.options
        if self._room.is_refused:
            return _NO_ROOM
        if isinstance(content, Fault) or len(content) > options.max_octets:
            return _TOO_BIG
        taken = await large_mail.take(content, self._door.lane, normalise=options.line_ends == "normalise")
        stray = taken.stray
        if stray is None:
            if hops.are_too_many(taken.proper, options.max_received):
                return reply(
                    554, "5.4.6", "Too many hops: the mail goes round in a circle", cause=f"more than {options.max_received} Received fields"
                )
            return taken if taken.is_readable else _BIG_HEADER
        return reply(550, "5.5.2", f"{stray.name} in line {stray.line} of the mail; lines end in <CR><LF>", cause=f"{stray.name} in the mail")

    def _give_up(self, answer: Reply) -> None:
        self._tell(answer)
        self._reset()
        self._say(answer)

    def _tell(self, answer: Reply | None, cause: str = "") -> None:
        """Tell the journal of a mail that will not be judged, once."""
        assert self.envelope is not None
        if not self._is_told:
            self._door.given_up(self._mail(b"", self.envelope.mail_from), answer, answer.cause if answer else cause)
        self._is_told = True

    def _mail(self, content: bytes, sender: str | None, received: bytes | None = None) -> Mail:
        assert self.envelope is not None
        return Mail(content, self._connection(), Envelope(sender or "", tuple(self.envelope.rcpt_tos)), self._door.new_id(), received)

    def _connection(self) -> Connection:
        assert self.session is not None
        helo = self.session.host_name or ""
        if self._is_trusted:
            return xforward.connection(self._xforward, helo=helo)
        return Connection(self.peer or None, "", helo)

    def _protocol(self) -> str:
        assert self.session is not None
        if self._is_utf8:
            return "UTF8SMTP"  # RFC 6531 §3.7.3
        return "ESMTP" if self.session.extended_smtp else "SMTP"

    async def smtp_RSET(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.5."""
        self._only_so_many_mails()
        self._reset()
        self._say(_OK)

    def _only_so_many_mails(self) -> None:
        """RFC 5321 §3.8: 421 may answer any command. Between mails, so that nothing is lost and a client that keeps connections opens another."""
        if self._mails >= self._door.options.max_mails:
            self._door.limited("smtp.max_mails", self)
            self._say(reply(421, "4.7.0", "Enough mails on this connection; please open another one"))
            raise Gone

    async def smtp_NOOP(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.9."""
        self._say(_OK)

    async def smtp_QUIT(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.10."""
        self._say(reply(221, "2.0.0", "Bye"))
        raise Gone

    async def smtp_VRFY(self, arg: str | None) -> None:
        """RFC 5321 §3.5.3: we cannot know."""
        self._say(reply(252, "2.0.0", "Send some mail, then you will see"))

    async def smtp_HELP(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.8."""
        self._say(reply(214, "2.0.0", f"See RFC 5321; commands: {' '.join(verb.decode('ascii') for verb in _COMMANDS)}"))

    async def smtp_EXPN(self, arg: str | None) -> None:
        """Never offered, like STARTTLS."""
        self._say(reply(502, "5.5.1", "Not offered here"))

    smtp_STARTTLS = smtp_EXPN

    async def smtp_AUTH(self, arg: str | None) -> None:
        """RFC 4954 §4: who has a password gives it to the mail server before us. A client that sends it nevertheless is not told that it is wrong."""
        self._say(reply(502, "5.5.1", "AUTH is not offered here; log in at your mail server"))


def _asked(read: list[Path | Reply]) -> list[Recipient]:
    """Of recipients that were read, those that the next hop is asked about."""
    return [(path.octets, path.parameter_octets) for path in read if isinstance(path, Path)]


_BIG_HEADER = reply(552, "5.3.4", "Header section bigger than allowed", cause="header section bigger than allowed")
_TOO_BIG = reply(552, "5.3.4", "Mail bigger than allowed", cause="bigger than allowed")
_NO_ROOM = reply(452, "4.3.1", "No memory for a mail of this size now; please try again later", cause="no memory for mails in flight")
_NO_MAIL = reply(503, _BAD_SEQUENCE, "MAIL first")
_NEEDS_UTF8 = reply(553, "5.6.7", "Address beyond ASCII without SMTPUTF8")
_COMMANDS = {name.removeprefix("smtp_").encode(): method for name, method in vars(SmtpSession).items() if name.startswith("smtp_")}
