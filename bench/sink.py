"""A next hop that takes everything as fast as Python can: no stream, no parsing beyond the command word.

python -m bench.sink PORT        prints {"mails": N, "octets": N} when it is told to stop
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

_EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE 104857600\r\n"
_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    mails = 0
    octets = 0

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def _step(self) -> bool:
        if self._in_data:
            end = self._buffer.find(_END)
            if end < 0:
                kept = len(_END) - 1
                Sink.octets += max(0, len(self._buffer) - kept)
                del self._buffer[:-kept]
                return False
            del self._buffer[: end + len(_END)]
            Sink.mails += 1
            Sink.octets += end
            self._in_data = False
            self._transport.write(b"250 2.0.0 Ok\r\n")
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        word = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 2]
        self._command(word)
        return True

    def _command(self, word: bytes) -> None:
        if word == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif word in (b"EHLO", b"HELO"):
            self._transport.write(_EHLO)
        elif word == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 Ok\r\n")


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(Sink, "127.0.0.1", port)
    await stop.wait()
    server.close()
    print(json.dumps({"mails": Sink.mails, "octets": Sink.octets}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
