"""The pages for monitoring, as curl, Prometheus and strangers ask for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from milter.errors import ListenError
from milter.fronts import watching
from milter.fronts.watching import Health, Pages, Watching
from milter.settings.addresses import HostPort


@dataclass
class Stand:
    """A running port and what its pages say."""

    port: int = 0
    metrics: bytes = b"# TYPE x counter\nx_total 1.0\n"
    health: str = ""
    ready: str = ""
    broken: list[BaseException] = field(default_factory=list)
    watching: Watching | None = None

    async def ask(self, octets: bytes) -> bytes:
        """Send octets and the end of the stream; everything that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return said

    async def get(self, path: str, method: str = "GET", version: str = "1.1") -> tuple[int, dict[str, str], bytes]:
        """One request; status, header fields by lower-case name, body."""
        said = await self.ask(f"{method} {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = said.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in fields)}, body


@contextlib.asynccontextmanager
async def stand(seconds: float = 5) -> AsyncIterator[Stand]:
    """A port on loopback."""
    built = Stand()
    pages = Pages(lambda: built.metrics, lambda: Health(built.health), lambda: Health(built.ready), built.broken.append)
    built.watching = await watching.serve(HostPort("127.0.0.1", 0), pages, seconds=seconds)
    built.port = built.watching.address.port
    try:
        yield built
    finally:
        built.watching.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_metrics_are_shown(version: str) -> None:
    """GET gives the text with Prometheus's type, HEAD the same without the text."""
    async with stand() as built:
        status, fields, body = await built.get("/metrics", version=version)
        assert (status, fields["content-type"], body) == (200, watching.METRICS_TYPE, built.metrics)
        status, fields, body = await built.get("/metrics?x=1", "HEAD", version)
        assert (status, fields["content-length"], body) == (200, str(len(built.metrics)), b"")


async def test_health_and_readiness_are_apart() -> None:
    """A service that lives but takes no mail is healthy and not ready, and says why on one line."""
    async with stand() as built:
        assert (await built.get("/healthz"))[::2] == (200, b'{"status": "ok"}\n')
        built.ready = "no worker serves:\nsee the log"
        assert (await built.get("/healthz"))[0] == 200
        status, fields, body = await built.get("/readyz")
        assert (status, fields["content-type"]) == (503, "application/json")
        assert json.loads(body) == {"status": "unready", "reason": "no worker serves: see the log"}
        assert body.count(b"\n") == 1
        built.health = "the parent is stuck"
        assert (await built.get("/healthz"))[0] == 503


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/../metrics", "GET", 404),
        ("*", "OPTIONS", 404),
        ("/metrics", "POST", 405),
        ("/readyz", "DELETE", 405),
        ("/healthz", "OPTIONS", 405),
    ],
)
async def test_anything_else_is_refused(path: str, method: str, expected: int) -> None:
    """There are three pages, and two methods for them."""
    async with stand() as built:
        status, fields, _ = await built.get(path, method)
        assert status == expected
        assert (fields.get("allow") == "GET, HEAD") == (expected == 405)


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b""),
        (b"EHLO client.example\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000, b"431"),
        (b"GET /" + b"y" * 20_000, b"431"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"z" * 90_000, b"413"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"417"),
        (random.Random(7).randbytes(5_000) + b"\r\n\r\n", b""),
        (b"\r\n" * 10_000, b""),
        (b"", b""),
    ],
)
async def test_garbage_is_refused_and_harms_nobody(octets: bytes, status: bytes) -> None:
    """Whatever a stranger sends, the answer is an error or the end of the connection, and the next client is served."""
    async with stand() as built:
        said = b""
        with contextlib.suppress(ConnectionError):  # cut while it was still sending
            said = await built.ask(octets)
        assert said == b"" or (said[:9] == b"HTTP/1.1 " and said[9:12] != b"200")
        if status and said:
            assert said[9:12] == status
        assert (await built.get("/healthz"))[0] == 200
        assert built.broken == []


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent together get their answers in the same order, up to a hundred on one connection."""
    async with stand() as built:
        said = await built.ask(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\nHEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
        said = await built.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        assert said.count(b"HTTP/1.1 200") == watching.MAX_REQUESTS


async def test_a_slow_client_is_cut() -> None:
    """A client has so long for its request, however it drips it."""
    async with stand(seconds=0.2) as built:
        reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(ConnectionError):
            for octet in b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert loop.time() - began < 3
        writer.close()


async def test_a_client_that_does_not_read_is_cut() -> None:
    """Answers that nobody takes do not pile up."""
    async with stand(seconds=0.3) as built:
        built.metrics = b"x" * 1_000_000
        _, writer = await asyncio.open_connection("127.0.0.1", built.port, limit=1)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
                await writer.drain()
        assert built.watching is not None
        for _ in range(200):
            if not built.watching.connections:
                break
            await asyncio.sleep(0.02)
        assert not built.watching.connections
        writer.close()


async def test_too_many_connections_are_turned_away() -> None:
    """Beyond the limit a client hears 503; when others leave there is room again."""
    async with stand() as built:
        idle = [await asyncio.open_connection("127.0.0.1", built.port) for _ in range(watching.MAX_CONNECTIONS)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", built.port)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 503")
        writer.close()
        for _, one in idle:
            one.close()
        await asyncio.sleep(0.05)
        assert (await built.get("/healthz"))[0] == 200


async def test_a_page_that_breaks_is_our_error() -> None:
    """A bug in a page is 500, is told, and the loop goes on."""
    async with stand() as built:
        assert built.watching is not None

        def breaks() -> bytes:
            raise ZeroDivisionError

        built.watching.pages = Pages(breaks, lambda: Health(), lambda: Health(), built.broken.append)
        status, _, body = await built.get("/metrics")
        assert (status, json.loads(body)["reason"]) == (500, "error on our side")
        assert [type(bug) for bug in built.broken] == [ZeroDivisionError]
        assert (await built.get("/healthz"))[0] == 200


async def test_a_port_that_is_taken_is_said() -> None:
    """Whoever starts it twice reads which address, and what to do."""
    async with stand() as built:
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{built.port}: another program"):
            await watching.serve(HostPort("127.0.0.1", built.port), Pages(bytes, Health, Health))
