"""kill -9 at chosen moments: a service under traffic is held in one phase of its mails, then a worker of it or all of it is killed.

What holds it: a client that stops inside DATA, a name server that keeps its answers back, a next hop that keeps its final reply back, a lock on the
quarantine's database. The clients are like mail servers: a mail is tried again until it gets 250.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.daemons.gateway import FlatDns, Gateway, flat_dns, serving
from tests.daemons.stand import free_ports
from tests.helpers.smtp_client import HUNG_UP, Reply, SmtpClient, dot_stuffed
from tests.soak import ledger
from tests.soak.ledger import Attempt, Copy, Ledger

PHASES = ("receiving", "judging", "delivering", "storing")
FATES = {
    "receiving": "the worker died while it received",
    "judging": "the worker died while it judged",
    "delivering": "the worker died before the next hop's answer",
    "storing": "the worker died while it stored",
}
CLIENTS = 8
_SECONDS = 20.0  # in which the service must reach any state


class PatientHop:
    """A next hop that takes everything, and holds its final replies back while `is_held`: some before it has taken the mail, some behind."""

    def __init__(self, random: Random) -> None:
        self.copies: list[Copy] = []
        self.port = 0
        self._random = random
        self._go = asyncio.Event()
        self._go.set()

    def hold(self) -> None:
        """Give no final reply until `release`."""
        self._go.clear()

    def release(self) -> None:
        """Reply."""
        self._go.set()

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
            writer.write(b"220 hop.test ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n")
                elif verb == b"QUIT":
                    break
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    if not await self._take(await reader.readuntil(b"\r\n.\r\n"), reader):
                        break
                    writer.write(b"250 2.0.0 taken\r\n")
                else:
                    writer.write(b"250 2.0.0 ok\r\n")
        writer.transport.abort()

    async def _take(self, octets: bytes, reader: asyncio.StreamReader) -> bool:
        copy = Copy(ledger.attempt_of(octets), ledger.queue_id_of(octets), is_held=False)
        if self._random.random() < 0.5:
            self.copies.append(copy)
            await self._go.wait()
            return True
        await self._go.wait()
        if reader.at_eof():  # the client is gone before the mail is taken
            return False
        self.copies.append(copy)
        return True


@dataclass
class Scene:
    """The service, what stands around it, and how far the mails are."""

    gateway: Gateway
    hop: PatientHop
    dns: FlatDns
    random: Random
    ledger: Ledger = field(default_factory=Ledger)
    count: Counter[str] = field(default_factory=Counter)
    is_over: bool = False
    _numbers: int = 0
    _under_way: set[Attempt] = field(default_factory=set)
    _flow: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: sqlite3.Connection | None = None

    # -- clients --

    async def client(self) -> None:
        """A mail server: mail after mail, each until it is taken."""
        while not self.is_over:
            number = self._numbers
            self._numbers += 1
            turn = 0
            while not await self._try((number, turn)):
                turn += 1
                assert turn < 500, f"mail {number} is never taken: {self.ledger.heard.get((number, turn - 1))!r}"
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.03)

    async def _try(self, attempt: Attempt) -> bool:
        is_fraud = attempt[0] % 2 == 0
        domain = f"client-{attempt[0]}-{attempt[1]}.test"  # never in the DNS cache
        octets = dot_stuffed(ledger.mail(attempt, domain, is_fraud=is_fraud, octets=self.random.choice((0, 0, 20_000))))
        self._under_way.add(attempt)
        try:
            said = await self._converse(domain, octets)
        except OSError:
            said = HUNG_UP
        finally:
            self._under_way.discard(attempt)
        self.ledger.heard[attempt] = f"{said.code} {said.text}"
        self.count["attempts"] += 1
        return said.code == 250

    async def _converse(self, domain: str, octets: bytes) -> Reply:
        async with SmtpClient(*await asyncio.open_connection("127.0.0.1", self.gateway.port), _SECONDS + 10) as client:
            said = await client.reply()
            if said.code == 220:
                said = await client.ehlo("client.test")
            if said.code != 250:
                return said
            for line in (f"MAIL FROM:<a@{domain}>", "RCPT TO:<jeanne@insured.example>", "DATA"):
                said = await client.command(line)
                if said.code not in (250, 354):
                    return said
            middle = self.random.randrange(len(octets))
            await client.write(octets[:middle])
            await self._flow.wait()
            await client.write(octets[middle:])
            return await client.reply()

    # -- phases --

    def hold(self, phase: str) -> None:
        """Let no mail leave this phase."""
        if phase == "receiving":
            self._flow.clear()
        elif phase == "judging":
            self.dns.hold()
        elif phase == "delivering":
            self.hop.hold()
        else:
            self._lock = sqlite3.connect(self.gateway.data / "quarantine" / "index.sqlite", timeout=_SECONDS, isolation_level=None)
            self._lock.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        """Let everything flow again."""
        self._flow.set()
        self.dns.release()
        self.hop.release()
        self.unlock()

    def unlock(self) -> None:
        """Let the quarantine commit again."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def reached(self, phase: str, mails: int) -> dict[str, Any]:  # JSON
        """Wait until one worker has so many mails in the phase; the worker of `status`."""
        complaint = f"no worker has {mails} mails {phase}"
        found: dict[str, Any] = await until(lambda: next((one for one in self._serving() if one["mails"][phase] >= mails), None), complaint)
        return found

    def _serving(self) -> list[dict[str, Any]]:  # JSON
        serving: list[dict[str, Any]] = [one for one in self.gateway.status()["workers"] if one["state"] == "serving"]
        return serving

    def under_way(self) -> set[Attempt]:
        """The attempts that have no answer yet."""
        return set(self._under_way)

    async def flow(self, mails: int) -> None:
        """Let so many mails come through."""
        before = len(self.ledger.promised())
        await until(lambda: len(self.ledger.promised()) >= before + mails, "the service takes no mail any more")

    # -- kills --

    async def kill_worker(self, phase: str) -> bool:
        """Kill the worker that has mails in the phase; whether the log says that it had any."""
        self.hold(phase)
        victim = (await self.reached(phase, self.random.randint(1, 3)))["pid"]
        await self._at_random(phase)
        os.kill(victim, signal.SIGKILL)
        self.release()
        await until(lambda: self._is_buried(victim), "the parent has not seen that its worker died")
        lines = self.gateway.events()
        buried = next(number for number, line in enumerate(lines) if line["event"] == "worker died" and line["pid"] == victim)
        left = lines[buried]["mails"]
        told = lines[buried + 1 : buried + 1 + left]
        assert {line["event"] for line in told} <= {"mail", "answer lost"}, f"{left} mails were under way, and the log says {told}"
        self.count["answers that died on their way"] += sum(line["event"] == "answer lost" for line in told)
        self.count["mails under way in killed workers"] += left
        await until(lambda: len(self._serving()) == self.gateway.settings["workers"], "no worker came in the place of the dead one")
        return any(line["cause"].startswith(FATES[phase]) for line in told)

    def _is_buried(self, pid: int) -> bool:
        died = f'"pid": {pid},'
        return any('"worker died"' in line and died in line for line in self.gateway.log_text().splitlines()) and pid not in self.gateway.workers()

    async def kill_everything(self, phase: str) -> bool:
        """Kill parent and workers while mails are in the phase, look at what is left, and start anew; whether mails were in it for certain."""
        self.hold(phase)
        await self.reached(phase, self.random.randint(1, 3))
        is_certain = not await self._at_random(phase)
        self.gateway.kill_everything()
        hit = self.under_way()
        self.ledger.excused |= hit
        self.release()
        heard = {attempt for attempt in hit if self.ledger.heard.get(attempt, "").startswith("250")}
        assert not heard
        await self._examine()
        await asyncio.to_thread(self.gateway.start)
        await asyncio.to_thread(self.gateway.wait_until_ready)
        if not is_certain:  # whoever was stored and got no answer was in the middle of it
            is_certain = any(copy.attempt in hit for copy in await self._held() if not self.ledger.heard.get(copy.attempt, "").startswith("250"))
        return is_certain

    async def _at_random(self, phase: str) -> bool:
        """For the quarantine, every other time: let it commit, and wait for a moment in the middle of that. Whether that was done."""
        if phase != "storing" or self.random.random() < 0.5:
            return False
        self.unlock()
        await asyncio.sleep(self.random.uniform(0, 0.01))
        return True

    async def _held(self) -> list[Copy]:
        return await ledger.held(self.gateway.data / "quarantine")

    async def _examine(self) -> None:
        """What a killed service leaves opens, is whole, and holds all that was promised."""
        self.count |= await ledger.examine(self.gateway.data / "quarantine")
        found = {copy.attempt for copy in [*await self._held(), *self.hop.copies]}
        promised = {attempt for attempt, said in self.ledger.heard.items() if said.startswith("250")}
        assert promised <= found, f"lost by a kill of everything: {sorted(promised - found)[:5]}"


def is_alive(pid: int) -> bool:
    """Whether this process runs (one that ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(find: Callable[[], Any], complaint: str) -> Any:  # whatever `find` gives
    """Wait for something true. AssertionError with the complaint when it does not come."""
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(OSError, ValueError):
            if found := find():
                return found
        assert time.monotonic() < deadline, complaint
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def scene(folder: Path, *, seed: int, workers: int = 2) -> AsyncIterator[Scene]:
    """A service with clients that send until the block ends, and then until their last mails are taken."""
    random = Random(seed)
    hop = PatientHop(random)
    with flat_dns() as dns:
        async with hop.running():
            port = free_ports(1)[0]
            gate = serving(folder, port, next_hop=hop.port, dns=dns.port, policy="quarantine", registry=["example"], workers=workers)
            gateway = await asyncio.to_thread(gate.__enter__)
            built = Scene(gateway, hop, dns, random)
            built.release()
            tasks = [asyncio.create_task(built.client()) for _ in range(CLIENTS)]
            try:
                yield built
                built.is_over = True
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.to_thread(gate.__exit__, None, None, None)
    built.count["mails that repair found again"] = await ledger.mend(gateway.data / "quarantine")
    built.ledger.copies = [*hop.copies, *await ledger.held(gateway.data / "quarantine")]


async def run(folder: Path, *, each: int, seed: int) -> Counter[str]:
    """`each` kills of a worker and as many of everything in each phase; what was counted. Raises AssertionError when a promise is broken."""
    async with scene(folder, seed=seed) as built:
        for phase in PHASES:
            for what, kill in (("a worker", built.kill_worker), ("everything", built.kill_everything)) * each:
                for _ in range(10):
                    await built.flow(4)
                    is_hit = await kill(phase)
                    built.count["kills"] += 1
                    if is_hit:
                        break
                    built.count["kills that came too late for their phase"] += 1
                else:
                    raise AssertionError(f"ten kills of {what} missed the phase {phase}")
                built.count[f"kills of {what}, {phase}"] += 1
    count = built.count + built.ledger.settle(built.gateway.events())
    count["lost"] = 0  # a Counter drops zeros
    return count
