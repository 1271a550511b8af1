"""SMTP smuggling at length: 10,000 random mixtures inside DATA in each mode, and what a strict and a careless next hop read of what we send."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import pytest

from milter.fronts.smtp_contract import Options
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import Client, Stand, stand
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
MAILS = 10_000  # in each mode
CLIENTS = 4
STRICT = re.compile(rb"\r\n\.\r\n"), re.compile(rb"\r\n")
CARELESS = re.compile(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)"), re.compile(rb"\r\n|\r|\n")
END = b"\r\n.\r\n"

COMMANDS = (
    b"MAIL FROM:<evil@a.example>",
    b"RCPT TO:<victim@b.example>",
    b"DATA",
    b"RSET",
    b"QUIT",
    b"EHLO evil.example",
    b"XFORWARD ADDR=192.0.2.66",
    b"BDAT 5 LAST",
    b"Subject: second",
)
ATTACK = b"MAIL FROM:<evil@a.example>%sRCPT TO:<victim@b.example>%sDATA%sSubject: second%s%ssecond%s.%sQUIT%s"
ENDS = (b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\n", b"\r\0\n", b"\0\r\n", b"\r\n\0")
WITHOUT_NUL = ENDS[:6]
TEXT = (b".", b".", b"..", b" ", b"\t", b"x", b"text", b"\xc3\xa9", b"\x0b", b"\x0c", b"\x85", b"\xe2\x80\xa8")


@dataclass
class Tapped(FakeNextHop):
    """Takes everything as a strict server does, and keeps all octets that came on each connection."""

    streams: list[bytearray] = field(default_factory=list)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = bytearray()
        self.streams.append(stream)
        feed = reader.feed_data

        def feed_data(data: bytes) -> None:
            stream.extend(data)
            feed(data)

        reader.feed_data = feed_data  # type: ignore[method-assign, assignment]  # the tap
        await super()._accept(reader, writer)


@dataclass(frozen=True, slots=True)
class Read:
    """One mail that a reader of a stream takes for complete."""

    sender: bytes
    recipients: tuple[bytes, ...]
    octets: bytes


def read(stream: bytes, end: re.Pattern[bytes], line_end: re.Pattern[bytes]) -> Iterator[Read]:
    """The mails of a connection for a server that ends data at `end` and commands at `line_end`. It accepts every command that it knows."""
    sender, place = b"", 0
    recipients: list[bytes] = []
    while (found := line_end.search(stream, place)) is not None:
        line, place = stream[place : found.start()], found.end()
        verb = line[:4].upper()
        if verb == b"MAIL":
            sender, recipients = path(line), []
        elif verb == b"RCPT":
            recipients.append(path(line))
        elif verb in (b"RSET", b"EHLO"):
            sender, recipients = b"", []
        elif verb == b"DATA" and recipients:
            # The line end of DATA itself may begin the end of data.
            last = end.search(stream, found.start())
            if last is None:
                return
            yield Read(sender, tuple(recipients), stream[place : last.start()])
            sender, recipients, place = b"", [], last.end()


def path(line: bytes) -> bytes:
    """What stands between the brackets."""
    return line.partition(b"<")[2].partition(b">")[0]


def mixture(random: Random) -> bytes:
    """Octets for DATA with a true end at their end and nowhere before it (behind that one, commands would be the client's own)."""
    ends = random.choice([ENDS, WITHOUT_NUL, WITHOUT_NUL, (b"\r\n",)])
    pieces = []
    for _ in range(random.randrange(1, 25)):
        kind = random.random()
        if kind < 0.4:
            pieces.append(random.choice(ends))
        elif kind < 0.75:
            pieces.append(random.choice(TEXT))
        elif kind < 0.95:
            pieces.append(random.choice(COMMANDS) + random.choice(ends))
        else:
            end = random.choice(ends)
            pieces.append(end + b"." + random.choice(ends) + ATTACK.replace(b"%s", end))
    octets = b"\r\n" + b"".join(pieces) + END
    while (place := octets.find(END)) != len(octets) - len(END):
        octets = octets[: place + 2] + b"x" + octets[place + 2 :]
    return octets[2:]


def chunks(octets: bytes, random: Random) -> list[bytes]:
    """The octets in pieces of random sizes, often cut inside a line end."""
    cuts = sorted(random.randrange(1, len(octets)) for _ in range(random.choice([0, 1, 3, 12])))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True) if start < end]


def as_received(octets: bytes) -> bytes:
    """The mail that a strict reader makes of DATA."""
    return (b"\r\n" + octets[: -len(END) + 2]).replace(b"\r\n.", b"\r\n")[2:] if octets != END[2:] else b""


def as_normalised(content: bytes) -> bytes:
    """A second writing of what `line_ends: normalise` says: LF becomes a line end, a lone CR a blank."""
    return re.sub(rb"\r\n|\r|\n", lambda found: b" " if found[0] == b"\r" else b"\r\n", content)


async def attack(built: Stand, numbers: range, contents: dict[int, bytes], heard: dict[int, str]) -> None:
    """Send mails over one connection. VRFY, whose code nothing else has, shows that no octet of a mail was taken for a command."""
    async with built.client() as client:
        await client.say("EHLO client.example")
        for number in numbers:
            random = Random(SEED + number)
            contents[number] = mixture(random)
            for line in (f"MAIL FROM:<a{number}@a.example>", f"RCPT TO:<m{number}@b.example>"):
                assert (await client.say(line)).startswith("250 ")
            assert (await client.say("DATA")).startswith("354 ")
            heard[number] = await in_chunks(client, chunks(contents[number], random))
            assert (await client.say("VRFY x")).startswith("252 "), (number, contents[number])


async def in_chunks(client: Client, pieces: list[bytes]) -> str:
    """Write each piece by itself; the reply behind the last."""
    for piece in pieces:
        client.writer.write(piece)
        await client.writer.drain()
        for _ in range(3):
            await asyncio.sleep(0)
    return await client.reply()


@pytest.mark.parametrize("mode", ["reject", "normalise"])
async def test_never_a_second_mail(mode: Literal["reject", "normalise"], report: Report) -> None:
    """10,000 mixtures a mode: one answer each; what got 250 is one mail for every kind of reader, what was refused is none."""
    next_hop = Tapped()
    contents: dict[int, bytes] = {}
    heard: dict[int, str] = {}
    async with stand(next_hop, Options("gw.example", line_ends=mode, max_mails=MAILS)) as built:
        share = MAILS // CLIENTS
        await asyncio.gather(*(attack(built, range(share * n, share * (n + 1)), contents, heard) for n in range(CLIENTS)))
        assert not built.bugs
    taken = {number for number, said in heard.items() if said.startswith("250 ")}
    assert len(heard) == MAILS
    assert all(said.startswith("550 5.5.2 ") for number, said in heard.items() if number not in taken)
    for readers in (STRICT, CARELESS):
        found = [one for stream in next_hop.streams for one in read(bytes(stream).replace(b"\0", b""), *readers)]
        assert sorted(one.recipients for one in found) == sorted((f"m{number}@b.example".encode(),) for number in taken)
        assert all(one.sender[1:] == one.recipients[0][1:].replace(b"@b", b"@a") for one in found)
    for mail in next_hop.mails:
        number = int(mail.recipients[0].partition("@")[0][1:])
        content = as_received(contents[number])
        assert b"\0" not in content
        assert mail.content.endswith(b"\r\n" + as_normalised(content) if mode == "normalise" else b"\r\n" + content), number
    dirty = {n for n, octets in contents.items() if as_normalised(as_received(octets)) != as_received(octets) or b"\0" in octets}
    assert taken == {n for n, octets in contents.items() if (b"\0" not in octets if mode == "normalise" else n not in dirty)}
    count = Counter({"mixtures": MAILS, "with bare CR, LF or NUL": len(dirty), "taken": len(taken), "refused": MAILS - len(taken)})
    count["mails for a strict reader"] = count["mails for a careless reader"] = len(taken)
    count["connections to the next hop"] = next_hop.connections
    assert min(count["taken"], count["refused"]) >= MAILS // 10
    report(count)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\n.\n"])
def test_the_careless_reader_is_careless(end: bytes) -> None:
    """Each sequence makes two mails of one for the careless reader and not for the strict one (else the counts would prove nothing)."""
    hidden = b"MAIL FROM:<e>\r\nRCPT TO:<v>\r\nDATA\r\nsecond"
    stream = b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nfirst" + end + hidden + END + b"QUIT\r\n"
    assert [one.recipients for one in read(stream, *STRICT)] == [(b"b",)]
    assert [one.recipients for one in read(stream, *CARELESS)] == [(b"b",), (b"v",)]
