"""Marked personal data goes through a whole service on every road that we know of, and none of it comes out where it must not.

Where it must not: log and standard error, /metrics and its sisters, what `status` and the control socket say. Roads: mails in all spellings, odd
and broken ones, commands that are none, refusals of a next hop that quotes what it was told, a quarantine that cannot store, our own bugs, killed
workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemons import gateway as gateways
from tests.daemons.gateway import Gateway, flat_dns, serving
from tests.daemons.stand import free_ports
from tests.helpers import canaries
from tests.helpers.smtp_client import HUNG_UP, Reply, SmtpClient

pytestmark = [pytest.mark.daemons]

# Loaded by Python before anything else: a judge that breaks at a marked mail, with all of the mail in the exception's text.
BREAKING = """
import milter.mime.message as module
build = module.parse
def break_at_marks(raw, *rest, **more):
    if b"X-Break: us" in bytes(raw):
        raise ValueError(bytes(raw).decode("utf-8", "replace"))
    return build(raw, *rest, **more)
module.parse = break_at_marks
"""
SENDER, RECIPIENT = canaries.SENDER.text, canaries.RECIPIENT.text
MARKED = " ".join(canary.text for canary in canaries.ALL)
FRAUD = (
    f"From: Mutuelle Lavande <{SENDER}>\r\nTo: {RECIPIENT}\r\nSubject: Remboursement {canaries.SUBJECT.text}\r\n{{more}}\r\n"
    "Un remboursement est en attente. Confirmez vos coordonnées bancaires sous 48 heures : https://clients-info.test/confirmation\r\n"
    f"{MARKED}\r\nMutuelle Lavande\r\n"
)


class QuotingHop:
    """A next hop that refuses mail after mail at another step, and quotes in each reply what it was told."""

    def __init__(self) -> None:
        self.port = 0
        self.said = bytearray()
        self._mails = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._session, "127.0.0.1", 0, limit=1 << 24)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self._say(writer, b"220 hop.test ESMTP")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"MAIL":
                    self._mails += 1
                step = (b"MAIL", b"RCPT", b"DATA", b".", b"close", b"")[self._mails % 6]
                if verb == b"EHLO":
                    self._say(writer, b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 100000000")
                elif verb == b"QUIT":
                    break
                elif verb == step:
                    self._say(writer, b"%d50 %d.1.1 %s: unknown here, said %s" % (*((4, 5)[self._mails % 2],) * 2, line.strip()[5:], MARKED.encode()))
                elif verb == b"DATA":
                    self._say(writer, b"354 go on")
                    octets = await reader.readuntil(b"\r\n.\r\n")
                    if step == b"close":
                        break
                    first = octets.partition(b"\r\n\r\n")[2].partition(b"\r\n")[0]
                    self._say(writer, b"%s %s: %s" % (b"550 5.7.1" if step == b"." else b"250 2.0.0 Ok", RECIPIENT.encode(), first[:400]))
                else:
                    self._say(writer, b"250 2.1.5 Ok " + line.strip())
        writer.transport.abort()

    def _say(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        self.said += line + b"\r\n"
        writer.write(line + b"\r\n")


async def conversation(port: int, *pieces: bytes, helo: str = "client.test") -> bytes:
    """Say the pieces one by one, whatever is answered, then leave without a word; all that was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with contextlib.suppress(ConnectionError):
        for piece in (b"EHLO " + helo.encode() + b"\r\n", *pieces):
            writer.write(piece)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.15):
                    heard += await reader.read(65_536)
        writer.transport.abort()
    return heard


async def send(port: int, raw: bytes, sender: str = SENDER, recipients: tuple[str, ...] = (RECIPIENT,)) -> Reply:
    """One mail with XFORWARD that is marked too; the last reply."""
    async with await SmtpClient.connect(port, helo=canaries.NAME.text.replace(" ", ".")) as client:
        await client.xforward(addr="192.0.2.7", name="unknown", helo=RECIPIENT)
        outcome = await client.send(sender, recipients, raw, parameters=" BODY=8BITMIME SMTPUTF8")
        return outcome.final or outcome.data or outcome.mail


ODD: tuple[tuple[bytes, ...], ...] = (
    (f"MAIL FROM:{SENDER}\r\n".encode(), f"MAIL FROM:<{SENDER}\r\n".encode(), f"MAIL FROM:<@a.test,@b.test:{SENDER}>\r\n".encode()),
    (f"MAIL FROM:<{SENDER}> SIZE={canaries.NIR.text}\r\n".encode(), f"MAIL FROM:<{SENDER}> ENVID={SENDER}\r\n".encode()),
    (
        b"MAIL FROM:<>\r\n",
        f'RCPT TO:<"{canaries.NAME.text}"@{RECIPIENT}>\r\n'.encode(),
        f"RCPT TO:<{RECIPIENT}> ORCPT=rfc822;{RECIPIENT}\r\n".encode(),
    ),
    (f"{RECIPIENT}\r\n".encode(), f"VRFY {RECIPIENT}\r\n".encode(), f"EXPN {RECIPIENT}\r\n".encode(), f"AUTH PLAIN {SENDER}\r\n".encode()),
    (f"XFORWARD ADDR={SENDER} HELO={MARKED}\r\n".encode(), f"XFORWARD {RECIPIENT}\r\n".encode()),
    (MARKED.encode() + b" " * 70_000 + b"\r\n",),
    (MARKED.encode() + b"\n", MARKED.encode() + b"\0\r\n"),
    (f"GET /{SENDER}?{MARKED} HTTP/1.1\r\n".encode(),),
    (f"MAIL FROM:<{SENDER}>\r\n".encode(), f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n", MARKED.encode() + b"\n.\n"),
    (f"MAIL FROM:<{SENDER}>\r\n".encode(), f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n", MARKED.encode() + b"\0\r\n.\r\n"),
    (f"MAIL FROM:<{SENDER}>\r\n".encode(), f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n", (MARKED + "\r\n").encode() * 9_000 + b".\r\n"),
    *((f"MAIL FROM:<{SENDER}>\r\n".encode(), f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n", FRAUD[:end].encode()) for end in (40, 300)),
)


def http(gateway: Gateway, request: bytes) -> bytes:
    """What the metrics' port answers to any octets."""
    host, _, port = gateway.settings["metrics"]["listen"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(OSError):
            while piece := link.recv(65_536):
                heard += piece
        return heard


def control(gateway: Gateway, request: bytes) -> bytes:
    """What the control socket answers to any octets."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(5)
        link.connect(str(gateway.data / "control.sock"))
        link.sendall(request + b"\n")
        return link.makefile("rb").readline()


async def walk_all_roads(gateway: Gateway, hop: QuotingHop) -> bytes:
    """Send everything; what SMTP clients heard."""
    heard = b""
    for sender, recipients, raw in canaries.mails():
        heard += (await send(gateway.port, raw, sender, recipients)).text.encode()
    for pieces in ODD:
        heard += await conversation(gateway.port, *pieces)
    heard += await conversation(gateway.port, b"NOOP\r\n", helo=SENDER)
    for _ in range(6):
        await send(gateway.port, FRAUD.format(more="").encode())
        await send(gateway.port, FRAUD.format(more="X-Break: us\r\n").encode())
    # The quarantine has no room any more.
    gateway.settings["quarantine"] = {"min_free_octets": 10**12}
    gateway.write_settings(gateway.settings)
    answer = await asyncio.to_thread(lambda: gateway.ask(do="reload"))
    assert answer["ok"], answer
    for _ in range(6):
        await send(gateway.port, FRAUD.format(more="").encode())
    # A worker dies in the middle of a mail.
    link = await SmtpClient.connect(gateway.port)
    for line in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA", MARKED):
        await link.write(line.encode() + b"\r\n")
    await asyncio.sleep(0.2)
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    assert HUNG_UP in [await link.reply() for _ in range(4)]
    await link.close(politely=False)
    await asyncio.to_thread(gateway.wait_until_ready)
    assert b"canari" in bytes(hop.said)
    return heard


@pytest.mark.skipif(not gateways.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_no_personal_data_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[str]) -> None:
    """After all roads no mark is in log, metrics, status and answers, in any spelling; the clients' own replies show that the search finds it."""
    (tmp_path / "breaking").mkdir()
    (tmp_path / "breaking" / "sitecustomize.py").write_text(BREAKING)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'breaking'}{os.pathsep}{before}".rstrip(os.pathsep))
    hop, port = QuotingHop(), free_ports(1)[0]
    with flat_dns() as dns:
        async with hop.running():
            more = {"policy": "quarantine", "registry": ["example"], "smtp": {"max_octets": 1_000_000}}
            gate = serving(tmp_path / "gate", port, next_hop=hop.port, dns=dns.port, **more)  # type: ignore[arg-type]  # settings of any kind
            gateway = await asyncio.to_thread(gate.__enter__)
            try:
                heard = await walk_all_roads(gateway, hop)
                shown = await asyncio.to_thread(lambda: shown_by(gateway))
            finally:
                await asyncio.to_thread(gate.__exit__, None, None, None)
    shown["log and standard error"] = gateway.log.read_bytes()
    assert not {name: found for name, octets in shown.items() if (found := canaries.find(octets))}
    # The search finds what is there, and every road was walked.
    assert canaries.find(heard[:20_000])
    events = gateway.events()
    mails = [event for event in events if event["event"] == "mail"]
    assert {"bug", "worker died", "reload"} <= {event["event"] for event in events}
    assert {"pass", "quarantine"} <= {mail.get("action") for mail in mails}
    assert {0, 250, 451, 550, 552} <= {mail.get("code", 0) for mail in mails}
    assert any("cannot store" in mail.get("cause", "") for mail in mails)
    figures.append(f"privacy: {len(mails)} mails, {len(events)} log lines, {sum(map(len, shown.values()))} octets searched, 0 marks")


def shown_by(gateway: Gateway) -> dict[str, bytes]:
    """Everything that a service shows beside its log."""
    marked = json.dumps({"do": MARKED, "why": SENDER}).encode()
    shown = {
        f"control {number}": control(gateway, line) for number, line in enumerate((marked, MARKED.encode(), b'{"do":"pause","seconds":"' + marked))
    }
    for path in ("metrics", "healthz", "readyz", f"{SENDER}?{canaries.NIR.text.replace(' ', '')}"):
        shown[f"http {path[:8]}"] = http(gateway, f"GET /{path} HTTP/1.1\r\nHost: {SENDER}\r\n\r\n".encode())
    shown["http nonsense"] = http(gateway, MARKED.encode() + b"\r\n\r\n")
    shown["status --json"] = gateway.command("status", "--json").encode()
    shown["status"] = gateway.command("status").encode()
    assert all(shown.values())
    return shown
