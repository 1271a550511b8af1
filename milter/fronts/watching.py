"""What watches us from outside: `/metrics`, `/healthz` and `/readyz` over HTTP/1.1 (RFC 9110, 9112), for GET and HEAD.

Runs in the parent's event loop, without threads. Knows HTTP; must not know what the texts say. Has no passwords, so it belongs on loopback or
behind a proxy; nothing it says is personal. Every client is a stranger: header size, time, connections and requests on one have limits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import cast

import h11

from milter.fronts import listen
from milter.settings.addresses import HostPort

MAX_CONNECTIONS = 16
MAX_HEADER = 8_192  # octets of a request's line and fields
MAX_BODY = 65_536  # octets that a request may bring along; none is read
MAX_REQUESTS = 100  # on one connection
SECONDS = 10.0  # for a request to come and its answer to be taken
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well: `problem` is one sentence for an operator, "" when there is none."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pages:
    """What is shown: the metrics' text, whether the service lives (else it is to be restarted), and whether it takes mail.

    A page that raises becomes 500; `broke` is told.
    """

    metrics: Callable[[], bytes]
    health: Callable[[], Health]
    ready: Callable[[], Health]
    broke: Callable[[BaseException], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    kind: str
    body: bytes
    more: tuple[tuple[str, str], ...] = ()


class Watching:
    """An open HTTP port; `address` is where it listens in fact."""

    def __init__(self, pages: Pages, *, seconds: float = SECONDS) -> None:
        self.pages = pages
        self.seconds = seconds
        self.connections: set[_Connection] = set()
        self._listener: listen.Listener | None = None

    @property
    def address(self) -> HostPort:
        """Where it listens."""
        assert self._listener is not None
        return self._listener.addresses[0]

    async def listen(self, address: HostPort) -> None:
        """Take connections. Raises ListenError."""
        self._listener = await listen.open_all([address], lambda: _Connection(self))

    def close(self) -> None:
        """Take no connection any more and cut those that stand."""
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self.connections):
            connection.abort()

    def answer(self, method: bytes, target: bytes) -> _Answer:
        """The answer to one request. Never raises."""
        page = target.partition(b"?")[0]
        if page not in (b"/metrics", b"/healthz", b"/readyz"):
            return _said(404, "there are /metrics, /healthz and /readyz")
        if method not in (b"GET", b"HEAD"):
            return _said(405, "only GET and HEAD", (("Allow", "GET, HEAD"),))
        try:
            if page == b"/metrics":
                return _Answer(200, METRICS_TYPE, self.pages.metrics())
            problem = (self.pages.health() if page == b"/healthz" else self.pages.ready()).problem
        except Exception as bug:
            with suppress(Exception):
                self.pages.broke(bug)
            return _said(500, "error on our side")
        return _said(503, problem) if problem else _Answer(200, _JSON, b'{"status": "ok"}\n')


async def serve(address: HostPort, pages: Pages, *, seconds: float = SECONDS) -> Watching:
    """Show the pages at this address. Raises ListenError."""
    watching = Watching(pages, seconds=seconds)
    await watching.listen(address)
    return watching


def _said(status: int, reason: str, more: tuple[tuple[str, str], ...] = ()) -> _Answer:
    text = json.dumps({"status": "error" if status != 503 else "unready", "reason": " ".join(reason.split())}, ensure_ascii=False)
    return _Answer(status, _JSON, text.encode("utf-8", "replace") + b"\n", more)


class _Connection(asyncio.Protocol):
    """One client. Requests are answered one a turn of the event loop, so that a hundred in one packet hold nobody up."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request: h11.Request | None = None
        self._served = 0
        self._body = 0
        self._is_slow = False

    # -- called by asyncio --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._watching.connections.add(self)
        self._wait()
        if len(self._watching.connections) > MAX_CONNECTIONS:
            self._transport.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        with suppress(RuntimeError, h11.RemoteProtocolError):  # what came behind a broken request
            self._http.receive_data(data)
        self._go_on()

    def eof_received(self) -> bool:
        """The client sends no more; what it has asked is answered."""
        with suppress(RuntimeError, h11.RemoteProtocolError):  # what came behind a broken request
            self._http.receive_data(b"")
        self._go_on()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._transport = None
        self._watching.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """The client does not read: nothing more is answered before it does."""
        self._is_slow = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_slow = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._go_on()

    # -- the conversation --

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        """The client has so many seconds from now on, whatever it sends."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._watching.seconds, self.abort)

    def _go_on(self) -> None:
        """Read what is there, up to one request."""
        if self._transport is None or self._transport.is_closing() or self._is_slow:
            return
        try:
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        except Exception as bug:  # nothing of a stranger's request may reach the event loop
            with suppress(Exception):
                self._watching.pages.broke(bug)
            self.abort()

    def _read(self) -> None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request = event
                self._body = 0
            elif isinstance(event, h11.Data):
                self._body += len(event.data)
                if self._body > MAX_BODY:
                    self._refuse(413)
                    return
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                self._send(self._watching.answer(self._request.method, self._request.target))
                return
            elif event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._refuse(417)  # RFC 9110 §10.1.1: no body is wanted
                return
            else:  # PAUSED behind an answer, or closed
                if isinstance(event, h11.ConnectionClosed):
                    self._close()
                return

    def _send(self, answer: _Answer, *, last: bool = False) -> None:
        if self._transport is None:
            return
        self._served += 1
        fields = [
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("Date", formatdate(usegmt=True)),
            *answer.more,
        ]
        if last or self._served >= MAX_REQUESTS:
            fields.append(("Connection", "close"))
        octets = self._http.send(h11.Response(status_code=answer.status, headers=fields)) or b""
        if self._request is None or self._request.method != b"HEAD":
            octets += self._http.send(h11.Data(data=answer.body)) or b""
        octets += self._http.send(h11.EndOfMessage()) or b""
        self._wait()
        self._transport.write(octets)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._request = None
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._close()

    def _refuse(self, status: int) -> None:
        """Answer what is no proper request, where that is still possible, and close."""
        with suppress(h11.LocalProtocolError):
            self._send(_said(status, "not understood"), last=True)
        self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
