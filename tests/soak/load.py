"""Clients that press on the gateway, each kind in a process of its own, and what ordinary mails feel of them.

    python -m tests.soak.load ordinary PORT RATE SECONDS           a few connections, RATE mails a second in all
    python -m tests.soak.load bulk PORT CLIENTS OCTETS             large mails, all at once
    python -m tests.soak.load crowd PORT IDLE SLOW SECONDS         connections that say nothing, and mails that come a few octets at a time

Each prints "ready" when it can begin, begins at a line of input, and prints one JSON object at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench.processes import cores, free_port, memory_mb, running, tree, wait_for_220
from tests.daemons.gateway import Gateway, flat_dns, serving
from tests.daemons.stand import free_ports
from tests.soak import ledger

LINKS = 10
KEPT = 60  # open files that may stay: connections to the next hop wait for the next mail
STAYS_MB = 110.0  # what the allocators may keep when all is over, for the next time: 20 kB a connection
GROWS_MB = 15.0  # and what the next time may add
_MEMORY_OCTETS = 134_217_728  # the default of smtp.memory_octets
LINE = b"Une ligne comme il y en a dans chaque courriel, et encore un peu.\r\n"
_LONGEST = 900
OWN, OTHER = cores()  # the gateway's core, and everybody else's


@dataclass(frozen=True, slots=True)
class Press:
    """How much at once. `rate` and `seconds` are those of the ordinary mails."""

    idle: int
    slow: int
    bulk: int
    octets: int
    rate: int
    seconds: int


# -- the clients --


class Link:
    """One SMTP session without ceremony."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Link:
        """Connect and say EHLO. Raises OSError or ValueError when we are not welcome."""
        link = cls(*await asyncio.open_connection("127.0.0.1", port))
        if await link.code() != 220:
            raise ConnectionRefusedError
        link.writer.write(b"EHLO load.test\r\n")
        await link.code()
        return link

    async def code(self) -> int:
        """The code of the next reply, 0 when the connection ended."""
        try:
            while (line := await self.reader.readuntil(b"\n"))[3:4] == b"-":
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        return int(line[:3])

    async def begin(self, domain: str, size: int) -> int:
        """As far as the answer to DATA."""
        for command in (f"MAIL FROM:<a@{domain}> SIZE={size}", "RCPT TO:<jeanne@insured.example>", "DATA"):
            self.writer.write(command.encode() + b"\r\n")
            code = await self.code()
            if code not in (250, 354):
                return code
        return code

    async def send(self, domain: str, octets: bytes) -> int:
        """One mail; the deciding code."""
        code = await self.begin(domain, len(octets))
        if code != 354:
            return code
        self.writer.write(octets + b".\r\n")
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
        return await self.code()


async def ordinary(port: int, rate: float, seconds: float) -> dict[str, Any]:  # JSON
    """Mails at an even pace; how long each took, in ms."""
    _prefer(0)
    times: list[float] = []
    codes: Counter[int] = Counter()
    stop = time.perf_counter() + seconds

    async def work(number: int) -> None:
        link = await Link.open(port)
        due = time.perf_counter() + number / rate
        turn = 0
        while (now := time.perf_counter()) < stop:
            await asyncio.sleep(max(0.0, due - now))
            octets = ledger.mail((number, turn), f"client-{turn % 40}.test", is_fraud=False, octets=10_000)
            started = time.perf_counter()
            codes[await link.send(f"client-{turn % 40}.test", octets)] += 1
            times.append(1_000 * (time.perf_counter() - started))
            turn += 1
            due = max(due + LINKS / rate, time.perf_counter())

    await asyncio.gather(*(work(number) for number in range(LINKS)))
    times.sort()
    return {"mails": len(times), "codes": codes, "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)], "longest": times[-1]}


async def bulk(port: int, clients: int, octets: int) -> dict[str, Any]:  # JSON
    """So many large mails at once, each tried again when it gets 4xx."""
    os.nice(10)
    content = ledger.mail((0, 0), "large.test", is_fraud=False) + LINE * (octets // len(LINE))
    codes: Counter[int] = Counter()

    async def work() -> None:
        code = 0
        while code != 250:
            with contextlib.suppress(OSError):
                link = await Link.open(port)
                code = await link.send("large.test", content)
                link.writer.transport.abort()
            codes[code] += 1
            if code != 250:
                await asyncio.sleep(2)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return {"codes": codes, "seconds": time.perf_counter() - started}


async def crowd(port: int, idle: int, slow: int, seconds: float) -> dict[str, Any]:  # JSON
    """Stand around; half of the slow ones write 1,000 octets a second, the other half 100. What they heard before the end of their mail."""
    os.nice(5)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gate = asyncio.Semaphore(100)
    heard: Counter[str] = Counter()

    async def stand() -> None:
        try:
            async with gate:
                link = await Link.open(port)
        except OSError:
            heard["idle refused"] += 1
            return
        heard["idle connected"] += 1
        await asyncio.sleep(max(0.0, stop - time.perf_counter()))
        heard["idle still connected"] += not link.reader.at_eof()
        link.writer.transport.abort()

    async def dawdle(number: int) -> None:
        pace = (1_000, 100)[number % 2]
        name = f"slow, {pace} octets a second"
        try:
            async with gate:
                link = await Link.open(port)
                code = await link.begin("slow.test", int(pace * seconds))
        except OSError:
            code = 0
        heard[f"{name}: {code} to DATA"] += 1
        if code != 354:
            return
        link.writer.write(b"From: a@slow.test\r\nSubject: x\r\n\r\n")
        answer = asyncio.create_task(link.code())
        while time.perf_counter() < stop and not answer.done():
            link.writer.write(LINE * max(1, pace // len(LINE)))
            await asyncio.sleep(len(LINE) * max(1, pace // len(LINE)) / pace)
        if time.perf_counter() < stop:
            heard[f"{name}: {await answer}"] += 1
        else:
            link.writer.write(b".\r\n")
            heard[f"{name}: {await answer} at its end"] += 1
        link.writer.transport.abort()

    stop = time.perf_counter() + seconds
    await asyncio.gather(*(stand() for _ in range(idle)), *(dawdle(number) for number in range(slow)))
    return {"heard": heard}


def main(words: list[str]) -> None:
    """One kind of client."""
    kinds = {"ordinary": ordinary, "bulk": bulk, "crowd": crowd}
    print("ready", flush=True)
    sys.stdin.readline()
    figures = asyncio.run(kinds[words[0]](*map(int, words[1:])))  # type: ignore[operator]  # each takes its own numbers
    print(json.dumps(figures), flush=True)


# -- the run --


def bound_mb(press: Press, idle_mb: float) -> float:
    """The most memory of the tree that we promise: what it has when idle, twice the room for large mails, and 40 kB a connection."""
    return idle_mb + 2 * _MEMORY_OCTETS / 1e6 + 0.04 * (press.idle + press.slow + press.bulk)


def _prefer(pid: int) -> None:
    """What measures, and what it waits for, must not wait for the clients that press. Only root may say so."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -10)


def open_files(pid: int) -> int:
    """Open files of the tree."""
    count = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{one}/fd"))
    return count


@contextlib.contextmanager
def service(folder: Path, press: Press) -> Iterator[Gateway]:
    """A gateway on the first core, with room for so many connections; name server and next hop on the other core."""
    hop = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    connections = press.idle + press.slow + press.bulk + 100
    smtp = {
        "max_connections": connections,
        "max_client_connections": connections,
        "max_in_flight": press.slow + press.bulk + 100,
        "grace_seconds": press.seconds // 2,  # then half of the slow ones must go
    }
    with flat_dns() as dns, running([sys.executable, "-m", "bench.sink", str(hop)], OTHER, folder / "sink.log") as sink:
        wait_for_220(hop, sink)
        _prefer(sink.pid)
        with serving(folder, free_ports(1)[0], next_hop=hop, dns=dns.port, smtp=smtp, registry=["example"], policy="tag") as gateway:
            for one in tree(gateway.process.pid):
                os.sched_setaffinity(one, {OWN})
            yield gateway


@contextlib.contextmanager
def client(folder: Path, *words: object) -> Iterator[Popen[str]]:
    """One client, ready to begin."""
    with running([sys.executable, "-m", "tests.soak.load", *map(str, words)], OTHER, folder / "clients.log") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", (folder / "clients.log").read_text()
        yield process


def go(process: Popen[str]) -> None:
    """Let it begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def result(process: Popen[str]) -> dict[str, Any]:  # JSON
    """Wait for its end."""
    printed, _ = process.communicate(timeout=_LONGEST)
    return dict(json.loads(printed))


@dataclass(frozen=True, slots=True)
class Felt:
    """What was measured: ordinary mails before and meanwhile; memory in MB and open files before, at most, afterwards, and after a second crowd."""

    calm: dict[str, Any]  # JSON
    loaded: dict[str, Any]
    bulky: dict[str, Any]
    around: dict[str, Any]
    memory: tuple[float, float, float, float]
    files: tuple[int, int, int]
    connections: int

    @property
    def ratio(self) -> float:
        """p99 meanwhile, by p99 before."""
        return float(self.loaded["p99"] / self.calm["p99"])

    def line(self) -> str:
        """The figures."""
        before, meanwhile = (f"p50 {one['p50']:.1f} p99 {one['p99']:.1f} longest {one['longest']:.0f} ms" for one in (self.calm, self.loaded))
        memory, files = (" → ".join(f"{value:.0f}" for value in values) for values in (self.memory, self.files))
        return (
            f"{self.connections} connections at most; ordinary mails calm {before}, meanwhile {meanwhile} (p99 ratio {self.ratio:.2f}),"
            f" codes {self.loaded['codes']}; large {self.bulky['codes']} in {self.bulky['seconds']:.0f} s; {self.around['heard']};"
            f" RSS {memory} MB, open files {files}"
        )


def measure(folder: Path, press: Press) -> Felt:
    """The whole run. Calm is measured before and afterwards, and the slower of both counts: other work on the machine comes and goes."""
    with _on_the_other_core(), service(folder, press) as gateway:
        pid, port = gateway.process.pid, gateway.port
        _ordinary(folder, port, press, 1 + press.seconds // 8)
        calm = _ordinary(folder, port, press, press.seconds)
        memory, files = [memory_mb(pid)], [open_files(pid)]
        with (
            client(folder, "crowd", port, press.idle, press.slow, press.seconds + 5) as around,
            client(folder, "bulk", port, press.bulk, press.octets) as large,
            client(folder, "ordinary", port, press.rate, press.seconds) as second,
        ):
            go(around)
            connections = _wait_for(gateway, press.idle + press.slow)
            go(large)
            go(second)
            most, open_most = 0.0, 0
            while around.poll() is None or large.poll() is None:
                most, open_most = max(most, memory_mb(pid)), max(open_most, open_files(pid))
                connections = max(connections, gateway.status_connections())
                time.sleep(1)
            loaded, bulky, heard = result(second), result(large), result(around)
        _wait_for(gateway, 0)
        calm = max(calm, _ordinary(folder, port, press, press.seconds), key=lambda one: float(one["p99"]))
        memory += [most, memory_mb(pid)]
        files += [open_most, open_files(pid)]
        with client(folder, "crowd", port, press.idle, press.slow, 2) as around:
            go(around)
            result(around)
        _wait_for(gateway, 0)
        time.sleep(1)
        memory.append(memory_mb(pid))
    return Felt(calm, loaded, bulky, heard, (memory[0], memory[1], memory[2], memory[3]), (files[0], files[1], files[2]), connections)


def _ordinary(folder: Path, port: int, press: Press, seconds: int) -> dict[str, Any]:  # JSON
    with client(folder, "ordinary", port, press.rate, seconds) as process:
        go(process)
        return result(process)


@contextlib.contextmanager
def _on_the_other_core() -> Iterator[None]:
    """Leave the gateway's core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {OTHER})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait_for(gateway: Gateway, connections: int) -> int:
    """Wait until (nearly) so many connections are there, or none any more."""
    deadline = time.monotonic() + 60
    while True:
        now = gateway.status_connections()
        if (now >= 0.99 * connections) if connections else now == 0:
            return now
        assert time.monotonic() < deadline, f"{now} connections in place of {connections}"
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1:])
