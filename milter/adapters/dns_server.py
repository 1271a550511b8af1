"""A small DNS server for loopback: the demo, the bench and tests ask it in place of the world.

Answers from a made-up zone (`dns_zone`), fails as planned (SERVFAIL, REFUSED, silence, rubbish), answers late, and sends
too long answers over TCP. Answers are made once by dnspython and then only given the number of the query. No real names.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from socket import SO_RCVBUF, SOL_SOCKET
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from milter.adapters.dns_zone import Found, Records, Value, Zone
from milter.auth.resolver import DnsStatus

_PLAIN_OCTETS = 512
_TCP_OCTETS = 65_535
_CACHED = 100_000
_IDLE_SECONDS = 10.0
_RECEIVE_OCTETS = 4 << 20
_RCODES = {
    DnsStatus.OK: dns.rcode.NOERROR,
    DnsStatus.NODATA: dns.rcode.NOERROR,
    DnsStatus.NXDOMAIN: dns.rcode.NXDOMAIN,
    DnsStatus.SERVFAIL: dns.rcode.SERVFAIL,
    DnsStatus.REFUSED: dns.rcode.REFUSED,
}


class DnsServer:
    """Serves a zone over UDP and TCP on one port. `delay` is in seconds, for all names; `delays` for single names.

    `queries` counts what was asked. The zone may be changed while serving: call `forget` then.
    """

    def __init__(self, records: Records | Zone, *, ttl: int = 300, delay: float = 0.0, delays: Mapping[str, float] | None = None) -> None:
        self.zone = records if isinstance(records, Zone) else Zone(records)
        self.delay = delay
        self.delays = {name.rstrip(".").lower(): seconds for name, seconds in (delays or {}).items()}
        self.queries = 0
        self.queries_over_tcp = 0
        self._ttl = ttl
        self._made: dict[tuple[bytes, bool], tuple[bytes | None, float]] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and return the port, the same for UDP and TCP. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        for attempt in range(20):
            self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
            bound: int = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(host, bound))
                self._udp.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, _RECEIVE_OCTETS)
            except OSError:
                self._tcp.close()
                if port or attempt == 19:
                    raise
            else:
                return bound
        raise OSError("no free port")

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._udp is not None:
            self._udp.close()
        for writer in list(self._connections):
            writer.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()
        await asyncio.sleep(0)

    def forget(self) -> None:
        """Drop all answers that were made, after a change of the zone."""
        self._made.clear()

    def answer(self, query: bytes, *, tcp: bool) -> tuple[bytes | None, float]:
        """The response to a query and how many seconds to wait with it; None for silence."""
        self.queries += 1
        self.queries_over_tcp += tcp
        end = query.find(0, 12) + 5
        if not 12 < end <= len(query):
            return None, 0.0
        # the case of the name is the asker's own and comes back as it was sent
        key = (query[2:12] + query[12:end].lower() + query[end:], tcp)
        made = self._made.get(key)
        if made is None:
            made = self._make(query, tcp=tcp)
            if len(self._made) < _CACHED:
                self._made[key] = made
        octets, delay = made
        return (query[:2] + octets[2:12] + query[12:end] + octets[end:] if octets is not None else None), delay

    def _make(self, query: bytes, *, tcp: bool) -> tuple[bytes | None, float]:
        """A response whose number and question are to be replaced by those of the query."""
        try:
            message = dns.message.from_wire(query)
            question = message.question[0]
        except (dns.exception.DNSException, IndexError):
            return None, 0.0
        name = question.name.to_text(omit_final_dot=True).lower()
        found = self.zone.find(name, dns.rdatatype.to_text(question.rdtype))
        delay = self.delays.get(name, self.delay)
        if found.status is DnsStatus.TIMEOUT:
            return None, delay
        response = dns.message.make_response(message, recursion_available=True)
        if found.status is DnsStatus.MALFORMED:
            return _rubbish(response), delay
        response.set_rcode(_RCODES[found.status])
        self._fill(response, question, found)
        limit = _TCP_OCTETS if tcp else max(_PLAIN_OCTETS, message.payload)
        return response.to_wire(max_size=_TCP_OCTETS) if _fits(response, limit) else _truncated(message), delay

    def _fill(self, response: dns.message.Message, question: dns.rrset.RRset, found: Found) -> None:
        """Records in the answer, the owner written as it was asked; for absence an SOA that says how long it holds."""
        owner = question.name
        for _, target in found.aliases:
            response.answer.append(dns.rrset.from_text(owner, self._ttl, "IN", "CNAME", target + "."))
            owner = dns.name.from_text(target)
        if found.values:
            rdatas = [_rdata(question.rdtype, value) for value in found.values]
            response.answer.append(dns.rrset.from_rdata_list(owner, self._ttl, rdatas))
        elif found.status.is_void:
            soa = f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {self._ttl}"
            response.authority.append(dns.rrset.from_text(dns.name.root, self._ttl, "IN", "SOA", soa))

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            async with asyncio.timeout(None) as idle:
                while True:
                    idle.reschedule(asyncio.get_running_loop().time() + _IDLE_SECONDS)
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    octets, delay = self.answer(await reader.readexactly(length), tcp=True)
                    if delay:
                        await asyncio.sleep(delay)
                    if octets is not None:
                        writer.write(struct.pack("!H", len(octets)) + octets)
                        await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Udp(asyncio.DatagramProtocol):
    """The UDP half of a server."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        octets, delay = self._server.answer(data, tcp=False)
        if octets is None or self._transport is None:
            return
        if delay:
            asyncio.get_running_loop().call_later(delay, self._send, octets, addr)
        else:
            self._transport.sendto(octets, addr)

    def _send(self, octets: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(octets, addr)


def _rdata(kind: dns.rdatatype.RdataType, value: Value) -> dns.rdata.Rdata:
    if kind == dns.rdatatype.TXT:
        octets = value if isinstance(value, bytes) else value.encode()
        strings = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
        wire = b"".join(bytes((len(string),)) + string for string in strings)
        return dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire))
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if kind in (dns.rdatatype.MX, dns.rdatatype.PTR, dns.rdatatype.CNAME) and not text.endswith("."):
        text += "."
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text)


def _fits(response: dns.message.Message, limit: int) -> bool:
    try:
        return len(response.to_wire(max_size=limit)) <= limit
    except dns.exception.TooBig:
        return False


def _truncated(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.TC
    return response.to_wire()


def _rubbish(response: dns.message.Message) -> bytes:
    """A header that promises one answer, and behind the question a name that never ends."""
    wire = response.to_wire()
    end = wire.index(b"\x00", 12) + 5
    return wire[:4] + b"\x00\x01\x00\x01\x00\x00\x00\x00" + wire[12:end] + b"\xff"
