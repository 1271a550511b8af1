"""The stage of the demo: a made-up DNS, a small receiving server and the gateway itself, all on loopback and free ports.

The gateway is the real one, started as an operator would start it (`serve --config`). Knows nothing of verdicts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import smtplib
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from milter.adapters.dns_server import DnsServer
from milter.adapters.dns_zone import Zone
from milter.errors import MilterError

START_SECONDS = 20.0


class StageError(MilterError):
    """The gateway of the demo did not start; the text holds what it printed."""


@dataclass
class Receiver:
    """The receiving server: takes every mail and keeps its octets.

    Without slots: aiosmtpd looks at every member of its handler, which Python before 3.11.3 cannot bear of a dataclass with slots.
    """

    arrived: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Keep one mail."""
        assert isinstance(envelope.content, bytes)
        self.arrived.append(envelope.content)
        return "250 2.0.0 Ok"


@dataclass(frozen=True, slots=True)
class Stage:
    """A running stage. `settings` is the gateway's settings file."""

    receiver: Receiver
    gateway_port: int
    settings: Path

    async def send(self, octets: bytes, *, client_ip: str, helo: str, mail_from: str, rcpt_to: str) -> tuple[int, str, bytes | None]:
        """Send one mail through the gateway by SMTP; the reply's code and text, and the octets that arrived (or None).

        The client's address is told by XFORWARD, as a mail server in front of the gateway does.
        """
        before = len(self.receiver.arrived)
        code, text = await asyncio.to_thread(self._speak, octets, client_ip, helo, mail_from, rcpt_to)
        arrived = self.receiver.arrived[before:]
        return code, text, arrived[0] if arrived else None

    def _speak(self, octets: bytes, client_ip: str, helo: str, mail_from: str, rcpt_to: str) -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", self.gateway_port, local_hostname="front.recipient.test", timeout=30) as client:
            client.ehlo()
            client.docmd("XFORWARD", f"ADDR={client_ip} HELO={helo} PROTO=ESMTP")
            for code, text in (client.mail(mail_from), client.rcpt(rcpt_to)):
                if code != 250:
                    return code, text.decode("utf-8", "replace")
            code, text = client.data(octets)
            return code, text.decode("utf-8", "replace")


def free_port() -> int:
    """A TCP port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def stage(folder: Path, zone: Zone, **more: object) -> AsyncIterator[Stage]:
    """Start DNS, receiver and gateway; stop all three at the end. `more` are further settings. Raises StageError."""
    receiver = Receiver()
    dns = DnsServer(zone)
    dns_port = await dns.start()
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(lambda: SMTP(receiver, hostname="mail.recipient.test", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
    sink_port = sink.sockets[0].getsockname()[1]
    gateway_port = free_port()
    settings = folder / "settings.yml"
    values = {
        "hostname": "mx.recipient.test",
        "smtp": {"listen": [f"127.0.0.1:{gateway_port}"], "next_hop": f"127.0.0.1:{sink_port}", "trusted_peers": ["127.0.0.1"]},
        "dns": {"resolvers": [f"127.0.0.1:{dns_port}"]},
        "registry": ["example"],
        "policy": "quarantine",
        "data_dir": str(folder / "data"),
        "metrics": {"listen": "off"},
        **more,
    }
    settings.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "milter", "serve", "--config", str(settings), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    reading = asyncio.create_task(process.stdout.read())
    try:
        await _wait(process, gateway_port, reading)
        yield Stage(receiver, gateway_port, settings)
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
        await reading
        await process.wait()
        sink.close()
        await sink.wait_closed()
        await dns.close()


async def _wait(process: asyncio.subprocess.Process, port: int, output: asyncio.Task[bytes]) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if process.returncode is not None:
            raise StageError("the gateway stopped at once; it said:\n" + (await output).decode("utf-8", "replace"))
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
    raise StageError(f"the gateway did not listen on port {port} within {START_SECONDS:.0f} s")
