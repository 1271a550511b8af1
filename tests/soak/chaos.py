"""Mails through real Postfix, the gateway with two workers, and a next hop, while everything around fails by turns.

Postfix's queue tries each mail until it is taken or refused for good. Nothing may be lost, and log, counters and mails must agree to the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.daemons import gateway as gateways
from tests.daemons.gateway import FlatDns, Gateway, serving
from tests.daemons.stand import Postfix, free_ports
from tests.helpers.smtp_client import SmtpClient
from tests.soak import ledger
from tests.soak.kills import until
from tests.soak.ledger import Copy, Event

DISK = 64  # megabytes of the disk on which the quarantine lies
RATES = (("temporary", 0.05), ("permanent", 0.01), ("hang", 0.01), ("close", 0.03), ("late", 0.02))
_ENDED = re.compile(r"to=<c(\d+)@insured\.example>, relay=([^,]+), .*status=(sent|bounced|deferred) \((.*)\)$")


class NoDiskError(Exception):
    """Here no disk may be mounted; the text is mount's."""


class ChaosHop:
    """A next hop that fails at random, for each mail anew, and that can be stopped and started. `copies` is what it has taken."""

    def __init__(self, port: int, random: Random) -> None:
        self.port = port
        self.copies: list[Copy] = []
        self.done: Counter[str] = Counter()
        self.is_calm = False
        self._random = random
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._session, "127.0.0.1", self.port, limit=1 << 24, reuse_address=True)

    def stop(self) -> None:
        """Listen no more, and cut every connection that stands."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.write(b"220 hop.test ESMTP\r\n")
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault, step = "", ""
        while line := await reader.readline():
            verb = line[:4].upper().decode("ascii", "replace")
            if verb == "MAIL":
                fault, step = self._draw()
            if verb == "QUIT":
                return
            if verb == "EHLO":
                writer.write(b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 100000000\r\n")
            elif fault and verb == step:
                self.done[f"{fault} at {verb}"] += 1
                if not await self._fail(fault, verb, reader, writer):
                    return
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                octets = await reader.readuntil(b"\r\n.\r\n")
                if fault and step == ".":
                    self.done[f"{fault} at the final dot"] += 1
                    if fault == "late":
                        self._take(octets)
                    if not await self._fail(fault, ".", reader, writer):
                        return
                else:
                    self._take(octets)
                    writer.write(b"250 2.0.0 taken\r\n")
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    def _take(self, octets: bytes) -> None:
        self.copies.append(Copy(ledger.attempt_of(octets), ledger.queue_id_of(octets), is_held=False))

    def _draw(self) -> tuple[str, str]:
        drawn = 1.0 if self.is_calm else self._random.random()
        for fault, rate in RATES:
            drawn -= rate
            if drawn < 0:
                return fault, "." if fault == "late" else self._random.choice(("MAIL", "RCPT", "DATA", "."))
        return "", ""

    async def _fail(self, fault: str, step: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the session goes on."""
        if fault in ("temporary", "permanent"):
            code = 4 if fault == "temporary" else 5
            writer.write(f"{code}51 {code}.7.9 faulty\r\n".encode())
            return True
        if fault == "hang":
            await reader.read()  # until the gateway loses patience
        return False


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of `DISK` megabytes at a folder; needs root. Raises NoDiskError where mounting is not allowed."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=0700", "none", folder], check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        raise NoDiskError(mounted.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@dataclass
class Chaos:
    """What can go wrong; each method is one misfortune, over when it returns."""

    gateway: Gateway
    postfix: Postfix
    hop: ChaosHop
    dns: FlatDns
    random: Random
    done: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    _tick: int = 0

    async def dns_gone(self) -> None:
        """Nobody answers on the port of the name server."""
        port = self.dns.port
        self.dns.close()
        await asyncio.sleep(1)
        self.dns = FlatDns(port=port)

    async def dns_silent(self) -> None:
        """The name server drops questions."""
        self.dns.silent = True
        await asyncio.sleep(1)
        self.dns.silent = False

    async def disk_full(self) -> None:
        """The disk of the quarantine has no room."""
        ballast = self.gateway.data / "ballast"
        with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(4_096))
        await asyncio.sleep(1)
        ballast.unlink()

    async def worker_killed(self) -> None:
        """kill -9 of a worker."""
        pids = await until(self.gateway.workers, "no worker serves")
        os.kill(self.random.choice(pids), signal.SIGKILL)
        await asyncio.sleep(0.3)

    async def reloaded(self) -> None:
        """New settings come into force."""
        self._tick += 1
        self.gateway.settings["judge_seconds"] = 2 + self._tick % 2
        self.gateway.write_settings(self.gateway.settings)
        answer = await self._ask(do="reload")
        assert answer["ok"], answer

    async def reload_refused(self) -> None:
        """A broken file: what was in force stays."""
        self.gateway.write_settings({**self.gateway.settings, "polcy": "tag"})
        answer = await self._ask(do="reload")
        self.gateway.write_settings(self.gateway.settings)
        assert not answer["ok"]
        assert "polcy" in str(answer["problems"])

    async def paused(self) -> None:
        """Mail passes unjudged for a moment."""
        assert (await self._ask(do="pause", seconds=60))["ok"]
        await asyncio.sleep(0.4)
        assert (await self._ask(do="resume"))["ok"]

    async def hop_restarted(self) -> None:
        """The next hop is gone for a moment, and all its connections with it."""
        self.hop.stop()
        await asyncio.sleep(0.5)
        await self.hop.start()

    async def _ask(self, **request: object) -> dict[str, Any]:  # JSON
        return await asyncio.to_thread(lambda: self.gateway.ask(**request))

    async def run(self, mails: int, rounds: int) -> None:
        """Send so many mails while each misfortune comes `rounds` times; then all is well, and the queue runs empty."""
        misfortunes = [
            self.dns_gone,
            self.dns_silent,
            self.disk_full,
            self.worker_killed,
            self.reloaded,
            self.reload_refused,
            self.paused,
            self.hop_restarted,
        ]
        turns = []
        for _ in range(rounds):
            self.random.shuffle(misfortunes)
            turns += misfortunes
        for number, misfortune in enumerate(turns):
            sending = asyncio.create_task(self._send(mails * (number + 1) // len(turns) - self.sent))
            await misfortune()
            self.done[misfortune.__name__] += 1
            await sending
        self.hop.is_calm = True
        await self._run_empty()

    async def _send(self, count: int) -> None:
        """Give mails to Postfix, which takes them all."""
        async with await SmtpClient.connect(self.postfix.queued) as client:
            for _ in range(count):
                number = self.sent
                self.sent += 1
                domain = f"client-{number % 997}.test"
                octets = ledger.mail((number, 0), domain, is_fraud=number % 4 == 0, octets=self.random.choice((0, 0, 0, 30_000)))
                outcome = await client.send(f"a@{domain}", [f"c{number}@insured.example"], octets, parameters=" BODY=8BITMIME")
                assert outcome.code == 250, outcome

    async def _run_empty(self, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while left := await asyncio.to_thread(self.postfix.queue):
            assert time.monotonic() < deadline, f"{left} mails are still in Postfix's queue"
            await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def chaos(folder: Path, postfix: Postfix, disk: Path, seed: int) -> AsyncIterator[Chaos]:
    """Everything runs as long as the block."""
    random = Random(seed)
    hop = ChaosHop(free_ports(1)[0], random)
    await hop.start()
    settings: dict[str, Any] = {  # as an operator writes them
        "smtp": {"next_hop_seconds": 1},
        "dns_more": {"timeout_seconds": 0.7},
        "policy": "quarantine",
        "registry": ["example"],
        "workers": 2,
        "judge_seconds": 2,
        "quarantine": {"min_free_octets": 0},
        "data_dir": str(disk),
    }
    dns = FlatDns(gateways.NXDOMAIN)
    gate = serving(folder, postfix.gateway, next_hop=hop.port, dns=dns.port, **settings)
    running = await asyncio.to_thread(gate.__enter__)
    built = Chaos(running, postfix, hop, dns, random)
    try:
        yield built
    finally:
        await asyncio.to_thread(gate.__exit__, None, None, None)
        hop.stop()
        built.dns.close()


@dataclass(slots=True)
class Told:
    """What Postfix's log says of the mails: taken by us, or refused for good with the words, and how many attempts were put off."""

    taken: Counter[int] = field(default_factory=Counter)
    refused: dict[int, str] = field(default_factory=dict)
    put_off: int = 0

    @classmethod
    def read(cls, postfix: Postfix) -> Told:
        """Read the log."""
        told = cls()
        for line in postfix.log.read_text("utf-8", "replace").splitlines():
            found = _ENDED.search(line)
            if found is None or not found[2].endswith(f":{postfix.gateway}"):
                told.put_off += found is not None
            elif found[3] == "sent":
                told.taken[int(found[1])] += 1
            elif found[3] == "bounced":
                told.refused[int(found[1])] = found[4]
            else:
                told.put_off += 1
        return told


async def settle(built: Chaos) -> Counter[str]:
    """Hold log, counters and mails against each other, to the last one, and count. AssertionError names what does not agree."""
    await asyncio.sleep(1.5)  # the last sums of the workers
    metrics, lines = built.gateway.metrics(), built.gateway.events()
    copies = [*built.hop.copies, *await ledger.held(built.gateway.data / "quarantine")]
    told = Told.read(built.postfix)
    mails = [line for line in lines if line["event"] == "mail"]
    count = _agree(metrics, lines, mails)
    unheard = {line["queue_id"] for line in lines if line["event"] == "answer lost"}
    count += _nothing_lost(built.sent, told, copies, mails, unheard)
    answered = sum(line.get("code") == 250 for line in mails)
    taken = told.taken.total()
    assert taken <= answered <= taken + len(unheard), "each 250 in our log is one that Postfix has heard, or one that the log doubts"
    count["attempts in our log"] = len(mails)
    count["passed while paused"] = sum(line.get("unscanned") == "paused" for line in mails)
    count["not stored, disk full"] = sum(line.get("action") == "quarantine" and line["code"] == 451 for line in mails)
    count["judged without the DNS"] = sum("dmarc" in line.get("incomplete", ()) or line.get("dmarc") == "temperror" for line in mails)
    count["next hop away"] = sum(not line.get("action") and line.get("code") == 451 for line in mails)
    assert all(count[name] for name in ("passed while paused", "not stored, disk full", "judged without the DNS", "next hop away")), count
    count["attempts put off, by Postfix's log"] = told.put_off
    count["lost"] = 0
    return count


def _agree(metrics: dict[str, float], lines: Sequence[Event], mails: Sequence[Event]) -> Counter[str]:
    """Each sum of the counters is the number of its log lines."""
    by_action = Counter(line.get("action") or "unjudged" for line in mails)
    assert sum(value for name, value in metrics.items() if name.startswith("mails_total{")) == len(mails)
    for action in ("pass", "tag", "quarantine", "reject", "defer", "unjudged"):
        assert metrics[f'mails_total{{action="{action}"}}'] == by_action[action], action
    for digit in "245":
        answers = sum(str(line.get("code", 0)).startswith(digit) for line in mails)
        assert metrics[f'answers_total{{code="{digit}xx"}}'] == answers, digit
    assert metrics['unscanned_total{reason="paused"}'] == sum(line.get("unscanned") == "paused" for line in mails)
    for result in ("done", "refused"):
        told = sum(line["event"] == "reload" and line["result"] == result for line in lines)
        assert metrics[f'reloads_total{{result="{result}"}}'] == told, result
    deaths = sum(line["event"] == "worker died" for line in lines)
    assert metrics["worker_deaths_total"] == deaths
    assert metrics["bugs_total"] == sum(line["event"] == "bug" for line in lines) == 0
    return Counter({f"mails {action}": number for action, number in by_action.items()}) + Counter({"workers died": deaths})


def _nothing_lost(sent: int, told: Told, copies: list[Copy], mails: Sequence[Event], unheard: set[str]) -> Counter[str]:
    assert told.taken.keys() | told.refused.keys() == set(range(sent)), "each mail was taken or refused in the end"
    assert not told.taken.keys() & told.refused.keys()
    assert set(told.taken.values()) == {1}
    assert all("said: 551 5.7.9 faulty" in text for text in told.refused.values()), "only the next hop refuses mails here, in its own words"
    ids = Counter(line["queue_id"] for line in mails if line.get("queue_id"))
    assert set(ids.values()) <= {1}, f"two lines for one mail: {[name for name, number in ids.items() if number > 1][:5]}"
    log = {line["queue_id"]: line for line in mails if line.get("queue_id")}
    found: dict[int, list[Copy]] = defaultdict(list)
    for copy in copies:
        assert copy.queue_id in log, f"a mail without a line: {copy}"
        line = log[copy.queue_id]
        assert line.get("code") == 250 or line.get("in_doubt"), f"it is there, and its line says neither 250 nor doubt: {line}"
        found[copy.attempt[0]].append(copy)
    lost = told.taken.keys() - found.keys()
    assert not lost, f"taken, and nowhere: {sorted(lost)[:10]}"
    ours = {copy.queue_id for copy in copies}
    assert all(line["queue_id"] in ours for line in mails if line.get("code") == 250), "a line says 250 and the mail is nowhere"
    count = Counter({"mails": sent, "taken": len(told.taken), "refused by the next hop": len(told.refused), "mails found": len(found), "doubles": 0})
    for number, same in found.items():
        certain = [copy for copy in same if log[copy.queue_id].get("code") == 250 and copy.queue_id not in unheard]
        assert len(certain) <= 1, f"mail {number} is there twice, and the log doubts neither: {same}"
        count["doubles"] += len(same) > 1
        count["copies in doubt"] += len(same) - len(certain)
    return count


async def run(folder: Path, postfix: Postfix, *, mails: int, rounds: int, seed: int) -> Counter[str]:
    """All of it; what was counted."""
    with small_disk(folder / "disk") as disk:
        async with chaos(folder, postfix, disk, seed) as built:
            await built.run(mails, rounds)
            count = await settle(built)
    for name, number in built.done.items():
        count[f"times {name.replace('_', ' ')}"] = number
    count["faults of the next hop"] = built.hop.done.total()
    return count
