"""Reloads under full load, and many of them: what mails feel, whether one is lost, whether memory stays flat.

    python -m bench.reload [--workers 2] [--seconds 40] [--reloads 500] [--save]

First part: a few connections send as fast as they are answered, and a reload begins every other second. A mail counts as beside a reload when it was
under way while one ran. What gets 421 or loses its connection is sent again, as a mail server does; the next hop must have each mail once.
Second part: reload after reload, with a few mails between; RSS of parent and workers at 10, 100 and all.

    python -m bench.reload load PORT CONNECTIONS SECONDS      the client: [when it began, how long it took] of each mail, and the codes
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench import mails
from bench.load import Link, Wire
from bench.processes import finish, free_port, resident_mb, running_anywhere, tree, wait_for_220
from bench.workers import FIGURES, parent, settings

EVERY = 2.0  # seconds from one reload to the next
CONNECTIONS = 10
_MARKS = (10, 100)


@dataclass(frozen=True, slots=True)
class Felt:
    """Times in ms; `reload_seconds` is how long one took, at the median."""

    reloads: int
    mails: int
    again: int  # sent again after a 421 or a lost connection
    calm_p50: float
    calm_p99: float
    beside_p50: float
    beside_p99: float
    longest: float
    reload_seconds: float

    def line(self) -> str:
        return (
            f"{self.reloads} reloads of {self.reload_seconds:.2f} s under full load: {self.mails} mails, none lost, {self.again} sent again;"
            f" calm p50 {self.calm_p50:.1f} p99 {self.calm_p99:.1f} ms, beside a reload p50 {self.beside_p50:.1f} p99 {self.beside_p99:.1f} ms"
            f" ({self.beside_p99 / self.calm_p99:.2f} ×), longest {self.longest:.0f} ms"
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """RSS in MB after so many reloads: the parent's, the largest worker's; and the open files of the parent."""

    reloads: int
    parent_mb: float
    worker_mb: float
    files: int

    def line(self) -> str:
        return f"after {self.reloads} reloads: parent {self.parent_mb:.1f} MB, worker {self.worker_mb:.1f} MB, {self.files} files of the parent"


async def load(port: int, connections: int, seconds: float) -> None:
    wires = itertools.cycle([Wire(mail) for mail in mails.load().mails])
    times: list[tuple[float, float]] = []
    codes: Counter[str] = Counter()
    print("ready", flush=True)
    sys.stdin.readline()
    stop = time.monotonic() + seconds

    async def work() -> None:
        link = None
        while time.monotonic() < stop:
            wire, began, code = next(wires), time.monotonic(), 0
            while code != 250:
                try:
                    link = link or await Link.open(port)
                    code = await link.send(wire)
                except (OSError, asyncio.IncompleteReadError, ValueError):
                    code = 0
                codes[str(code)] += 1
                if code != 250:
                    link = None
            times.append((began, time.monotonic() - began))

    await asyncio.gather(*(work() for _ in range(connections)))
    print(json.dumps({"times": times, "codes": codes}), flush=True)


class Service:
    """A running gateway with its control socket."""

    def __init__(self, process: Popen[str], port: int, data: Path) -> None:
        self.process, self.port, self._data = process, port, data

    def reload(self) -> None:
        """Raises RuntimeError when it is refused."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(120)
            link.connect(str(self._data / "control.sock"))
            link.sendall(b'{"do": "reload"}\n')
            with link.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())  # JSON
        if not answer["ok"]:
            raise RuntimeError(f"reload refused: {answer}")

    def memory(self, reloads: int) -> Memory:
        pid = self.process.pid
        workers = [resident_mb(one) for one in tree(pid) if one != pid and parent(one) == pid]
        return Memory(reloads, resident_mb(pid), max(workers), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def service(folder: Path, workers: int) -> Iterator[tuple[Service, Popen[str], Path]]:
    """A gateway, its next hop, and the file of their errors; DNS runs beside."""
    port, hop, dns = free_port(), free_port(), free_port()
    data, errors, file = folder / f"data-{port}", folder / f"{port}.log", folder / f"{port}.yml"
    data.mkdir()
    file.write_text(json.dumps(settings(port, hop, dns, data, workers=workers)))
    python = sys.executable
    with (
        running_anywhere([python, "-m", "bench.dns", str(dns)], errors) as names,
        running_anywhere([python, "-m", "bench.sink", str(hop)], errors) as sink,
    ):
        assert names.stdout is not None
        names.stdout.readline()
        wait_for_220(hop, sink)
        with running_anywhere([str(Path(python).parent / "insurer-milter"), "serve", "--config", str(file)], errors) as server:
            wait_for_220(port, server)
            yield Service(server, port, data), sink, errors


@contextmanager
def client(port: int, seconds: float, errors: Path, connections: int = CONNECTIONS) -> Iterator[Popen[str]]:
    """The load, begun."""
    words = [sys.executable, "-m", "bench.reload", "load", str(port), str(connections), str(seconds)]
    with running_anywhere(words, errors) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(errors.read_text("utf-8", "replace")[-2_000:])
        process.stdin.write("go\n")
        process.stdin.flush()
        yield process


def under_load(folder: Path, workers: int, seconds: float) -> Felt:
    """Reload every other second under full load. Raises RuntimeError when a mail is lost or doubled."""
    spans: list[tuple[float, float]] = []
    with service(folder, workers) as (served, sink, errors):
        with client(served.port, seconds, errors) as process:
            stop = time.monotonic() + seconds
            while time.monotonic() + EVERY < stop:
                time.sleep(EVERY)
                began = time.monotonic()
                served.reload()
                spans.append((began, time.monotonic()))
            found = json.loads(process.communicate(timeout=seconds + 120)[0])
        taken = json.loads(finish(sink))["mails"]
    given = found["codes"].get("250", 0)
    if taken != given or set(found["codes"]) - {"250", "421", "0"}:
        raise RuntimeError(f"codes {found['codes']}, and the next hop has {taken}; log:\n{errors.read_text('utf-8', 'replace')[-3_000:]}")
    beside: list[float] = []
    calm: list[float] = []
    for began, took in found["times"]:
        is_beside = any(began < end and began + took > start for start, end in spans)
        (beside if is_beside else calm).append(1_000 * took)
    beside.sort()
    calm.sort()
    again = sum(found["codes"].values()) - given
    times = sorted(end - start for start, end in spans)
    (calm_p50, calm_p99), (beside_p50, beside_p99) = _quantiles(calm), _quantiles(beside)
    longest, middle = max(beside[-1], calm[-1]), times[len(times) // 2]
    return Felt(len(spans), given, again, calm_p50, calm_p99, beside_p50, beside_p99, longest, middle)


def _quantiles(times: list[float]) -> tuple[float, float]:
    return times[len(times) // 2], times[int(len(times) * 0.99)]


def many(folder: Path, workers: int, reloads: int, say: Callable[[str], None] = print) -> list[Memory]:
    """So many reloads, a few mails between; memory at some of them and at the end."""
    found: list[Memory] = []
    with service(folder, workers) as (served, _, errors):
        for number in range(1, reloads + 1):
            served.reload()
            if number in (*_MARKS, reloads):
                with client(served.port, 3.0, errors, connections=2 * workers) as process:
                    process.communicate(timeout=60)
                time.sleep(1)  # the old workers are gone then
                found.append(served.memory(number))
                say(found[-1].line())
    return found


def main() -> int:
    if sys.argv[1:2] == ["load"]:
        asyncio.run(load(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
        return 0
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--seconds", type=float, default=40.0)
    words.add_argument("--reloads", type=int, default=500)
    words.add_argument("--save", action="store_true", help="write the figures to bench/figures")
    chosen = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    mails.load()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        felt = under_load(Path(folder), chosen.workers, chosen.seconds)
        print(felt.line(), flush=True)
        memory = many(Path(folder), chosen.workers, chosen.reloads)
    if chosen.save:
        FIGURES.mkdir(exist_ok=True)
        when = time.strftime("%Y-%m-%d", time.gmtime())
        figures = {"date": when, "load": asdict(felt), "memory": [asdict(one) for one in memory]}
        (FIGURES / f"reload-{when}.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
