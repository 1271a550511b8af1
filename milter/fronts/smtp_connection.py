"""The connection of one SMTP client: octets into command lines, answers out, time. The subclass of aiosmtpd's SMTP.

RFC 5321 §4.5.3.2 (timeouts), 2920 (PIPELINING). Must not know what a command means: `smtp_session` does.

Of aiosmtpd stay the names of the commands, session and envelope, and the wiring to asyncio. Replaced are its reader (one line at a time,
bare LF taken, lines over 1,001 octets refused), its timer (not reset in DATA nor while a mail is handled), its answer to a client that goes
away (cancels the delivery), its answer to our bugs (500), and its look through all members at each connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from aiosmtpd import smtp as aiosmtpd

from milter.fronts.inbox import Fault, Inbox
from milter.fronts.smtp_contract import Options
from milter.model.reply import Reply, reply

_PENDING = 65_536  # command octets that may wait; beyond it the client must
_SILENT = reply(421, "4.4.2", "Silent for too long", cause="the client was silent for too long")
_SLOW = reply(421, "4.4.2", "Too slow; please try again later", cause="the client sent too slowly")
# BDAT: the octets of a chunk would follow and be taken for commands; the others are HTTP, sent here by a browser.
_HANG_UP = frozenset((b"BDAT", b"CONNECT", b"GET", b"POST"))


class Gone(Exception):  # noqa: N818  # no error: the client has left, or must
    """Nothing more is read from this client."""


class House(Protocol):
    """What a connection needs of the server that it belongs to."""

    options: Options
    base_attributes: dict[str, Any]  # whatever aiosmtpd sets on its instances
    is_stopping: bool

    def opened(self, connection: SmtpConnection) -> None:
        """Told of a new connection."""
        ...

    def closed(self, connection: SmtpConnection) -> None:
        """Told when it is gone."""
        ...

    def refusal(self, connection: SmtpConnection) -> Reply | None:
        """What a new client hears that is one too many."""
        ...

    def limited(self, setting: str, connection: SmtpConnection) -> None:
        """Told of a client that has reached a limit."""
        ...

    def broke(self, error: BaseException) -> None:
        """Told of our own bugs."""
        ...


def base_attributes() -> dict[str, Any]:  # aiosmtpd's own, of any kind
    """The attributes that aiosmtpd gives each instance, made once: it looks through all members of class and handler for them."""
    loop = asyncio.get_running_loop()
    stock = aiosmtpd.SMTP(object(), hostname="unused", enable_SMTPUTF8=True, loop=loop)
    bare = asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), lambda *_: None, loop)
    return {name: value for name, value in vars(stock).items() if name not in vars(bare)}


def _plain_address(address: str) -> str:
    """An IPv4 address as itself, also where a socket for both kinds shows it inside IPv6 (RFC 4291 §2.5.5.2)."""
    if not address.startswith("::ffff:"):
        return address
    mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped
    return str(mapped) if mapped else address


class SmtpConnection(aiosmtpd.SMTP):
    """Lives until the client says QUIT, goes away, is silent too long, or the server stops. Abstract: `_command` and `_end`."""

    def __init__(self, house: House) -> None:
        loop = asyncio.get_running_loop()
        no_reader: Any = None  # octets go to the inbox; asyncio's protocol works without a reader
        asyncio.StreamReaderProtocol.__init__(self, no_reader, self._cb_client_connected, loop)
        self.__dict__.update(house.base_attributes)
        self.loop = loop
        self.hostname = house.options.hostname
        self.command_size_limits = {}  # aiosmtpd shares one dict among all connections
        self.peer = ""
        self._house = house
        self._inbox: Inbox[Any] = Inbox()  # Any: a session says what it makes of large mails
        self._client: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._expires: float | None = None
        self._too_late = _SILENT
        self._ended: Reply | None = None  # what we said when we ended it
        self._is_over = False
        self._is_slow = False
        self._errors = 0
        self._received = 0  # octets of the mail that comes

    def _command(self, verb: bytes) -> Callable[[str | None], Awaitable[None]] | None:
        """What serves this verb (upper case)."""
        raise NotImplementedError

    def _is_busy(self) -> bool:
        """Whether a mail is under way."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Forget the mail that is under way, without a delivery."""
        raise NotImplementedError

    # -- called by asyncio --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._client = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        self.peer = _plain_address(str(peer[0])) if peer else ""
        self._house.opened(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        self._inbox.feed(data)
        self._received += len(data)
        if self._waiter is not None:
            self._wake()
        if len(self._inbox) > _PENDING and self._client is not None:
            self._client.pause_reading()  # also when somebody waits: uvloop would read on, 8 MB at a time, before he has his turn

    def eof_received(self) -> bool:
        """The client sends no more; it may still read, and what has begun goes on."""
        self._is_over = True
        self._wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; what has begun goes on."""
        self._is_over = True
        self._client = None
        self._wake()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None
        # What leads back to us: without these cycles all goes at once, and not when the collector comes by.
        self._is_slow = False
        self._client_connected_cb = None
        self._writer = None  # type: ignore[assignment]  # of a connection that is gone; only a slow one's is used
        self._house.closed(self)

    def pause_writing(self) -> None:
        """The client does not read what we say."""
        self._is_slow = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_slow = False
        super().resume_writing()

    # -- called by the server --

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What serves this client."""
        return self._handler_coroutine

    def stop(self) -> None:
        """End when no mail is under way; `is_stopping` is set."""
        if not self._is_busy():
            self._wake()

    def cancel(self) -> None:
        """End at once, without a delivery that has not happened yet."""
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        if self._client is not None:
            self._client.abort()

    # -- reading, writing, waiting --

    def _say(self, answer: Reply) -> None:
        self._out.append(answer.octets)
        if answer.code >= 500 and not self._may_err():
            self._errors += 1

    def _may_err(self) -> bool:
        """Whether a refusal is no error of this client: it passes on what others want."""
        return False

    async def push(self, status: str | bytes) -> None:
        """Say one line."""
        self._out.append((status.encode("ascii", "replace") if isinstance(status, str) else status) + b"\r\n")

    def _flush(self) -> None:
        if self._out:
            if self._client is not None and not self._client.is_closing():
                self._client.write(b"".join(self._out))
            self._out.clear()

    async def _more(self, until: float, too_late: Reply = _SILENT) -> None:
        """Send all answers (RFC 2920 §3.2: together), then wait until the client has said more. Raises Gone when it will not.

        At `until` (loop time) it hears `too_late`.
        """
        self._flush()
        self._expires, self._too_late = until, too_late
        if self._is_slow:
            await self._writer.drain()
        if self._house.is_stopping and not self._is_busy():
            self._say(reply(421, "4.3.2", "Service is stopping; please try again later"))
            raise Gone
        if self._is_over or self._client is None:
            raise Gone
        self._waiter = self.loop.create_future()
        try:
            self._client.resume_reading()
            await self._waiter
        finally:
            self._waiter = None
        self._expires = None

    async def _more_of_mail(self, waited: float) -> float:
        """Wait for more of a mail; the seconds that its client has let us wait for it in all. `waited` are those before."""
        options = self._house.options
        now = self.loop.time()
        slow = options.grace_seconds + self._received / options.min_octets_per_second - waited
        if slow < options.idle_seconds:
            await self._more(now + slow, _SLOW)
        else:
            await self._more(now + options.idle_seconds)
        return waited + self.loop.time() - now

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _reset_timeout(self, duration: float | None = None) -> None:
        # One timer that looks at the time when it fires; none runs out while a mail is handled.
        options = self._house.options
        longest = min(options.idle_seconds, options.grace_seconds)
        self._timeout_handle = self.loop.call_later(longest if duration is None else min(duration, longest), self._timeout_cb)

    def _timeout_cb(self) -> None:
        left = None if self._expires is None else self._expires - self.loop.time()
        if left is None or left > 0:
            self._reset_timeout(left)
        elif self._client is not None:
            self._is_over = True
            if self._ended is not None or self._client.get_write_buffer_size():
                self._client.abort()  # it does not even read
            else:
                self._reset_timeout()
            self._ended = self._ended or self._too_late
            self._house.limited("smtp.min_octets_per_second" if self._too_late is _SLOW else "smtp.idle_seconds", self)
            self._say(self._too_late)
            self._wake()

    # -- the conversation --

    async def _handle_client(self) -> None:
        try:
            refusal = self._house.refusal(self)
            if refusal is not None:
                self._say(refusal)
                return
            self._say(Reply(220, (f"{self.hostname} ESMTP insurer-milter",)))
            until = 0.0  # when the command that we wait for must be there whole
            while True:
                line = self._inbox.line()
                if line is None:
                    until = until or self.loop.time() + self._house.options.idle_seconds
                    await self._more(until)
                else:
                    until = 0.0
                    await self._obey(line)
        except (Gone, ConnectionError):
            pass
        finally:
            self._reset()
            self._flush()
            if self._client is not None:
                self._ended, self._too_late = self._ended or _SILENT, _SILENT
                self._expires = self.loop.time() + self._house.options.grace_seconds  # for reading what we said
                self._client.close()

    async def _obey(self, line: bytes | Fault) -> None:
        if self._errors >= self._house.options.max_errors:
            self._house.limited("smtp.max_errors", self)
            self._say(reply(421, "4.7.0", "Too many errors"))
            raise Gone
        if isinstance(line, Fault):
            self._say(reply(500, "5.5.2", f"Not understood: {line}"))
            if line is Fault.BARE_LF:
                raise Gone
            return
        verb, _, argument = line.partition(b" ")
        serve = self._command(verb.upper())
        if serve is None or b"\0" in line or b"\r" in line:
            self._unknown(verb.upper())
            return
        argument = argument.strip(b" ")
        try:
            await serve(argument.decode("utf-8", "surrogateescape") if argument else None)
        except (Gone, ConnectionError):
            raise
        except Exception as error:
            await self.push(await self.handle_exception(error))
            if self._inbox.is_in_mail:
                raise Gone from None

    async def handle_exception(self, error: Exception) -> str:
        """Our own bug: the client tries again later, and the mail that was under way is not delivered."""
        self._reset()
        self._house.broke(error)
        return "451 4.3.0 Error on our side; please try again later"

    def _unknown(self, verb: bytes) -> None:
        if verb in _HANG_UP:
            self._say(reply(502, "5.5.1", "Not offered here; closing the connection"))
            raise Gone
        self._errors += self._may_err()  # this one is its own, whoever it is
        self._say(reply(500, "5.5.2", "Unknown command"))
