"""The resolver against a real server on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.message
import pytest

from milter.adapters.dns import UdpResolver
from milter.adapters.dns_server import DnsServer
from milter.adapters.dns_zone import Records, Zone
from milter.auth.resolver import Answer, DnsStatus

LONG = "v=DKIM1; k=rsa; p=" + "A" * 3000
ZONE: Records = {
    "a.example": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "MX": ["10 mx.a.example"]},
    "alias.example": {"CNAME": ["a.example"]},
    "long.example": {"TXT": [LONG]},
    "broken.example": "SERVFAIL",
    "closed.example": "REFUSED",
    "silent.example": "TIMEOUT",
    "odd.example": "MALFORMED",
    "1.2.0.192.in-addr.arpa": {"PTR": ["a.example"]},
}


@asynccontextmanager
async def serving(
    zone: Records = ZONE, *, before: tuple[tuple[str, int], ...] = (), seconds: float = 1.0
) -> AsyncIterator[tuple[UdpResolver, DnsServer]]:
    """A server with a zone, and a resolver that asks it after the servers `before`."""
    server = DnsServer(zone)
    port = await server.start()
    resolver = UdpResolver((*before, ("127.0.0.1", port)), timeout=seconds)
    try:
        yield resolver, server
    finally:
        await resolver.close()
        await server.close()


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("a.example", "TXT", Answer(DnsStatus.OK, (b"v=spf1 -all",), (), 300)),
        ("A.Example.", "A", Answer(DnsStatus.OK, (), ("192.0.2.1",), 300)),
        ("a.example", "AAAA", Answer(DnsStatus.OK, (), ("2001:db8::1",), 300)),
        ("a.example", "MX", Answer(DnsStatus.OK, (), ("10 mx.a.example",), 300)),
        ("1.2.0.192.in-addr.arpa", "PTR", Answer(DnsStatus.OK, (), ("a.example",), 300)),
        ("alias.example", "TXT", Answer(DnsStatus.OK, (b"v=spf1 -all",), (), 300)),
        ("a.example", "PTR", Answer(DnsStatus.NODATA, ttl=300)),
        ("example", "TXT", Answer(DnsStatus.NODATA, ttl=300)),
        ("gone.example", "TXT", Answer(DnsStatus.NXDOMAIN, ttl=300)),
        ("long.example", "TXT", Answer(DnsStatus.OK, (LONG.encode(),), (), 300)),
        ("broken.example", "TXT", Answer(DnsStatus.SERVFAIL)),
        ("closed.example", "TXT", Answer(DnsStatus.REFUSED)),
        ("odd.example", "TXT", Answer(DnsStatus.MALFORMED)),
        ("x" * 64 + ".example", "TXT", Answer(DnsStatus.NXDOMAIN)),
        ("a..example", "TXT", Answer(DnsStatus.NXDOMAIN)),
    ],
)
async def test_each_status_is_told_apart(name: str, kind: str, answer: Answer) -> None:
    """Records, absence and each failure come through as what they are, long answers over TCP."""
    async with serving() as (resolver, server):
        assert await resolver.query(name, kind) == answer
        assert server.queries_over_tcp == (name == "long.example")


async def test_silence_is_timeout() -> None:
    """A server that does not answer is asked four times, then the answer is TIMEOUT."""
    async with serving(seconds=0.06) as (resolver, server):
        assert await resolver.query("silent.example", "TXT") == Answer(DnsStatus.TIMEOUT)
        assert (server.queries, resolver.counters.sent, resolver.counters.repeated) == (4, 4, 3)


async def test_a_lost_answer_is_asked_for_again() -> None:
    """A question is sent again soon, and an answer to any of its sendings counts."""
    zone = Zone({"a.example": "TIMEOUT"})
    server = DnsServer(zone)
    resolver = UdpResolver((("127.0.0.1", await server.start()),), timeout=0.6)
    question = asyncio.create_task(resolver.query("a.example", "TXT"))
    await asyncio.sleep(0.02)
    server.zone = Zone(ZONE)
    server.forget()
    assert (await question).texts == (b"v=spf1 -all",)
    await resolver.close()
    await server.close()


async def test_a_server_that_restarts_is_found_again() -> None:
    """Questions that find nobody listening are sent again, and get their answer when the server is back in time."""
    server = DnsServer(ZONE)
    port = await server.start()
    await server.close()
    resolver = UdpResolver((("127.0.0.1", port),), timeout=3.0)
    question = asyncio.create_task(resolver.query("a.example", "TXT"))
    await asyncio.sleep(0.05)
    await server.start(port=port)
    assert (await question).texts == (b"v=spf1 -all",)
    await resolver.close()
    await server.close()


async def test_nobody_there_is_timeout() -> None:
    """A port where nobody listens is TIMEOUT too, and no exception."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    resolver = UdpResolver((("127.0.0.1", port),), timeout=0.05)
    assert await resolver.query("a.example", "TXT") == Answer(DnsStatus.TIMEOUT)
    await resolver.close()


@pytest.mark.parametrize("first", ["broken", "closed", "silent"])
async def test_the_next_server_is_asked(first: str) -> None:
    """When one server fails or is silent the next is asked, and from then on first."""
    failing = DnsServer({"a.example": {"broken": "SERVFAIL", "closed": "REFUSED", "silent": "TIMEOUT"}[first]})
    port = await failing.start()
    async with serving(before=(("127.0.0.1", port),), seconds=0.2) as (resolver, _):
        for _ in range(3):
            assert (await resolver.query("a.example", "TXT")).texts == (b"v=spf1 -all",)
    assert failing.queries == (2 if first == "silent" else 1)
    await failing.close()


async def test_many_questions_at_once() -> None:
    """Hundreds of questions at once get each its own answer."""
    zone: Records = {f"d{n}.example": {"TXT": [f"text {n}"]} for n in range(500)}
    async with serving(zone, seconds=2.0) as (resolver, _):
        answers = await asyncio.gather(*(resolver.query(f"d{n}.example", "TXT") for n in range(500)))
        assert [answer.texts for answer in answers] == [(f"text {n}".encode(),) for n in range(500)]
        assert resolver.counters.statuses == {"ok": 500}


async def test_late_and_forged_answers_are_dropped() -> None:
    """An answer that is not to the very question, in its very spelling, is as good as none."""
    forgeries: list[Callable[[bytes, bytes], bytes]] = [
        lambda query, good: bytes((query[0] ^ 1,)) + good[1:],
        lambda query, good: query,
        lambda query, good: good.replace(b"\x07", b"\x06", 1),
        lambda query, good: good[:12] + query[12:-11].swapcase() + good[len(query) - 11 :],
        lambda query, good: b"",
        lambda query, good: good[:7],
    ]
    real = DnsServer(ZONE)

    class Forger(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            good, _ = real.answer(data, tcp=False)
            assert good is not None
            for forge in forgeries:
                self.transport.sendto(forge(data, good), addr)  # type: ignore[attr-defined]  # asyncio names no class that has it

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Forger, local_addr=("127.0.0.1", 0))
    resolver = UdpResolver((transport.get_extra_info("sockname"),), timeout=0.05)
    assert await resolver.query("a.example", "TXT") == Answer(DnsStatus.TIMEOUT)
    await resolver.close()
    transport.close()


async def test_tcp_trouble_is_timeout() -> None:
    """An answer announced for TCP that never comes there is TIMEOUT."""
    query_seen = asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query_seen.set()
        writer.close()

    async with serving() as (resolver, server):
        assert server._tcp is not None
        server._tcp.close()
        await server._tcp.wait_closed()
        port = resolver._servers[0].port
        broken = await asyncio.start_server(hang_up, "127.0.0.1", port)
        assert await resolver.query("long.example", "TXT") == Answer(DnsStatus.TIMEOUT)
        assert query_seen.is_set()
        broken.close()


async def test_a_time_limit_over_all_questions() -> None:
    """`within` gives one end for all questions of a mail; what misses it is TIMEOUT."""
    async with serving(seconds=5.0) as (resolver, _):
        bounded = resolver.within(0.05)
        start = time.monotonic()
        assert (await bounded.query("a.example", "TXT")).status is DnsStatus.OK
        assert await bounded.query("silent.example", "TXT") == Answer(DnsStatus.TIMEOUT)
        assert await bounded.within(9.0).query("silent.example", "TXT") == Answer(DnsStatus.TIMEOUT)
        assert time.monotonic() - start < 1.0


async def test_closing_ends_what_is_out() -> None:
    """Closing leaves nobody waiting."""
    async with serving(seconds=5.0) as (resolver, _):
        question = asyncio.create_task(resolver.query("silent.example", "TXT"))
        await asyncio.sleep(0.05)
        await resolver.close()
        assert await question == Answer(DnsStatus.TIMEOUT)
        assert await resolver.query("a.example", "TXT") == Answer(DnsStatus.TIMEOUT)


async def test_closing_ends_what_is_out_over_tcp() -> None:
    """Closing leaves nobody waiting for a long answer either, and no connection open."""
    async with serving(seconds=5.0) as (resolver, server):
        octets, _ = server.answer(dns.message.make_query("long.example", "TXT", use_edns=0, payload=1232).to_wire(), tcp=False)
        assert octets is not None
        server.answer = lambda query, *, tcp: (query[:2] + octets[2:12] + query[12:-11], 0.0) if not tcp else (None, 0.0)  # type: ignore[method-assign]  # silent over TCP
        question = asyncio.create_task(resolver.query("long.example", "TXT"))
        await asyncio.sleep(0.1)
        assert resolver.counters.over_tcp == 1
        await resolver.close()
        assert await question == Answer(DnsStatus.TIMEOUT)


async def test_who_goes_away_leaves_the_others_their_answers() -> None:
    """A waiter that is cancelled costs its own answer alone, whether its question is out or still has to wait its turn."""
    server = DnsServer({f"d{n}.example": {"TXT": [f"{n}"]} for n in range(9)}, delay=0.02)
    resolver = UdpResolver((("127.0.0.1", await server.start()),), timeout=2.0, concurrency=2)
    asked = [asyncio.create_task(resolver.query(f"d{n}.example", "TXT")) for n in range(9)]
    await asyncio.sleep(0.005)
    asked[0].cancel()
    asked[5].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    kept = [answer for answer in answers if isinstance(answer, Answer)]
    assert [answer.texts for answer in kept] == [(str(n).encode(),) for n in (1, 2, 3, 4, 6, 7, 8)]
    await resolver.close()
    await server.close()


async def test_the_server_counts_truncates_and_ignores_rubbish() -> None:
    """The embedded server keeps to the asker's size, answers in the asker's spelling, and is silent on rubbish."""
    server = DnsServer(ZONE)
    plain = dns.message.make_query("LONG.Example", "TXT").to_wire()
    wide = dns.message.make_query("LONG.Example", "TXT", use_edns=0, payload=4096).to_wire()
    for query, truncated in ((plain, True), (wide, False)):
        octets, _ = server.answer(query, tcp=False)
        assert octets is not None
        answer = dns.message.from_wire(octets)
        assert bool(answer.flags & dns.flags.TC) is truncated
        assert answer.question[0].name.to_text() == "LONG.Example."
    assert server.answer(b"", tcp=False) == (None, 0.0)
    assert server.answer(b"\x00" * 40, tcp=False)[0] is None
    assert server.answer(b"\xff" * 40, tcp=False)[0] is None
    assert server.queries == 5


async def test_slow_answers() -> None:
    """The embedded server answers as late as it is told, for all names or for one."""
    server = DnsServer(ZONE, delays={"a.example": 0.05})
    resolver = UdpResolver((("127.0.0.1", await server.start()),), timeout=1.0)
    start = time.monotonic()
    await resolver.query("a.example", "TXT")
    assert time.monotonic() - start >= 0.05
    await resolver.close()
    await server.close()
