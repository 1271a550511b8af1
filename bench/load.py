"""Sends the mails of the bench over some connections, each as soon as the one before it is answered, and times every one.

Says XFORWARD where it is offered, as Postfix does, so that SPF has a client to judge.

    python -m bench.load PORT CONNECTIONS PER_CONNECTION       prints one JSON object; PER_CONNECTION 0: all over one
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

from bench import mails


class Link:
    """One lean SMTP session; replies are read line by line, commands go out together where that is allowed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._xforward = False
        self._pipelining = False

    @classmethod
    async def open(cls, port: int) -> Link:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        link = cls(reader, writer)
        await link._replies(1)
        writer.write(b"EHLO load.test\r\n")
        lines = (await link._replies(1))[0]
        link._xforward = b"XFORWARD" in lines
        link._pipelining = b"PIPELINING" in lines
        return link

    async def send(self, mail: Wire) -> int:
        commands = [*(mail.xforward if self._xforward else ()), mail.sender, mail.rcpt, b"DATA\r\n"]
        if self._pipelining:
            self._writer.write(b"".join(commands))
            await self._replies(len(commands))
        else:
            for command in commands:
                self._writer.write(command)
                await self._replies(1)
        self._writer.write(mail.content)
        return int((await self._replies(1))[0][:3])

    async def close(self) -> None:
        self._writer.write(b"QUIT\r\n")
        await self._replies(1)
        self._writer.close()

    async def _replies(self, count: int) -> list[bytes]:
        found = []
        for _ in range(count):
            lines = await self._reader.readuntil(b"\r\n")
            last = lines
            while last[3:4] == b"-":
                last = await self._reader.readuntil(b"\r\n")
                lines += last
            found.append(lines)
        return found


class Wire:
    """One mail as octets to write."""

    def __init__(self, mail: mails.BenchMail) -> None:
        self.xforward = (f"XFORWARD NAME={mail.helo} ADDR={mail.client_ip} PROTO=ESMTP HELO={mail.helo} SOURCE=REMOTE\r\n".encode(),)
        self.sender = f"MAIL FROM:<{mail.mail_from}> SIZE={len(mail.raw)} BODY=8BITMIME\r\n".encode()
        self.rcpt = f"RCPT TO:<{mail.rcpt_to}>\r\n".encode()
        self.content = mail.raw.replace(b"\r\n.", b"\r\n..") + b".\r\n"


async def main(port: int, connections: int, per_connection: int) -> None:
    wires = [Wire(mail) for mail in mails.load().mails]
    times: list[float] = []
    codes: Counter[int] = Counter()

    async def work(waiting: Iterator[Wire]) -> None:
        link = await Link.open(port)
        sent = 0
        for wire in waiting:
            if per_connection and sent == per_connection:
                await link.close()
                link, sent = await Link.open(port), 0
            started = time.perf_counter()
            codes[await link.send(wire)] += 1
            times.append(time.perf_counter() - started)
            sent += 1
        await link.close()

    waiting = iter(wires)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    await asyncio.gather(*(work(waiting) for _ in range(connections)))
    seconds = time.perf_counter() - started
    times.sort()
    figures = {"seconds": seconds, "mails": len(times), "codes": {str(code): count for code, count in codes.items()}}
    print(json.dumps({**figures, "p50_ms": 1_000 * times[len(times) // 2], "p99_ms": 1_000 * times[int(len(times) * 0.99)]}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in sys.argv[1:4])))
