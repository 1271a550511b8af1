"""A name server for the zone of the bench, in its own process: answers are made once, each question costs one look-up.

python -m bench.dns PORT         prints {"questions": N, "kinds": {...}} when it is told to stop
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import cast

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from bench import mails

_TTL = (300).to_bytes(4, "big")
_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"  # EDNS, 1,232 octets
_CLASS_IN = b"\0\1"
_POINTER = b"\xc0\x0c"  # the owner name: that of the question


def _wire_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def _record(kind: str, value: str) -> bytes:
    text = value if kind != "TXT" else " ".join(f'"{value[start : start + 255]}"' for start in range(0, len(value), 255))
    number = dns.rdatatype.from_text(kind)
    data = dns.rdata.from_text(dns.rdataclass.IN, number, text if kind != "MX" else f"{text}.").to_wire()
    assert data is not None
    return _POINTER + int(number).to_bytes(2, "big") + _CLASS_IN + _TTL + len(data).to_bytes(2, "big") + data


_SOA = _POINTER + b"\0\6" + _CLASS_IN + _TTL + (22).to_bytes(2, "big") + b"\0\0" + b"".join(n.to_bytes(4, "big") for n in (1, 3600, 600, 86400, 300))


class Server(asyncio.DatagramProtocol):
    def __init__(self, zone: mails.Zone) -> None:
        self.kinds: Counter[str] = Counter()
        self._answers: dict[bytes, tuple[bytes, bytes]] = {}
        self._names: set[bytes] = set()
        for key, values in zone.items():
            name, _, kind = key.partition(" ")
            wire = _wire_name(name)
            question = wire + int(dns.rdatatype.from_text(kind)).to_bytes(2, "big") + _CLASS_IN
            self._answers[question] = (len(values).to_bytes(2, "big") + b"\0\0", b"".join(_record(kind, value) for value in values))
            # Every name above one with records exists too (RFC 8020).
            while len(wire) > 1:
                self._names.add(wire)
                wire = wire[wire[0] + 1 :]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: until Python 3.12 the transport of the selector loop is none by its class.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = 12
        while data[end]:
            end += 1 + data[end]
        question = data[12 : end + 5]
        folded = question[:-4].lower() + question[-4:]
        self.kinds[dns.rdatatype.to_text(dns.rdatatype.RdataType.make(int.from_bytes(question[-4:-2], "big")))] += 1
        found = self._answers.get(folded)
        code = 0 if found is not None or folded[:-4] in self._names else 3
        counts, records = found if found is not None else (b"\0\0\0\1", _SOA)
        extra, more = (_OPT, b"\0\1") if data[11] else (b"", b"\0\0")
        self._transport.sendto(data[:2] + bytes((0x85, 0x80 | code)) + b"\0\1" + counts + more + question + records + extra, addr)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = Server(mails.load().zone)
    await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
    print("ready", flush=True)
    await stop.wait()
    print(json.dumps({"questions": server.kinds.total(), "kinds": dict(server.kinds)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
