"""Two workers against one: mails a second, CPU, memory of each worker, start.

    python -m bench.workers [--rounds N] [--workers 2] [--connections 32] [--save]

All programs share all cores: the gateway, the load generator, the DNS and the next hop. What the last three cost is shown, because with two
workers on two cores they are in the way. So there are two ratios: of the throughput, and of the CPU that the gateway needs for a mail. While the
latter is near 1, nothing in the gateway keeps the second worker from doing as much as the first, and more cores give as much more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import mails
from bench.processes import cpu_seconds, finish, free_port, resident_mb, running_anywhere, shared_mb, tree, wait_for_220

PER_CONNECTION = 10  # then another connection, which the kernel may give to another worker
LONGEST = 300
FIGURES = Path(__file__).parent / "figures"


@dataclass(frozen=True, slots=True)
class Run:
    """One round. CPU in seconds for 1,000 mails; `around` is that of load, DNS and next hop. MB: the largest worker's RSS, the tree's PSS."""

    workers: int
    mails_per_second: float
    cpu_per_1000: float
    around_per_1000: float
    p50_ms: float
    p99_ms: float
    start_seconds: float
    worker_mb: float
    tree_mb: float
    least_share: float  # of the mails, that the idlest worker had

    def line(self) -> str:
        return (
            f"{self.workers} worker{'s'[: self.workers > 1]:1} {self.mails_per_second:7.1f} mails/s  {self.cpu_per_1000:6.3f} CPU s/1000"
            f" (load, DNS, next hop {self.around_per_1000:6.3f})  p50 {self.p50_ms:6.1f} ms  p99 {self.p99_ms:6.1f} ms"
            f"  start {self.start_seconds:5.2f} s  RSS a worker {self.worker_mb:5.1f} MB, PSS of all {self.tree_mb:5.1f} MB"
            f"  least share {100 * self.least_share:4.1f} %"
        )


def settings(port: int, hop: int, dns: int, data: Path, **more: Any) -> dict[str, Any]:  # as an operator writes them
    return {
        "hostname": "gate.recipient.example",
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{hop}", "trusted_peers": ["127.0.0.1"]},
        "dns": {"resolvers": [f"127.0.0.1:{dns}"]},
        "policy": "quarantine",
        "registry": ["fr"],
        "data_dir": str(data),
        "metrics": {"listen": "off"},
        **more,
    }


def measure(workers: int, folder: Path, connections: int) -> Run:
    """Start everything afresh, send all mails once, stop everything. Raises RuntimeError when a mail is not taken."""
    port, hop, dns = free_port(), free_port(), free_port()
    data, errors, file = folder / f"data-{port}", folder / f"{port}.log", folder / f"{port}.yml"
    data.mkdir()
    file.write_text(json.dumps(settings(port, hop, dns, data, workers=workers)))
    python = sys.executable
    with (
        running_anywhere([python, "-m", "bench.dns", str(dns)], errors) as names,
        running_anywhere([python, "-m", "bench.sink", str(hop)], errors) as sink,
        running_anywhere([python, "-m", "bench.load", str(port), str(connections), str(PER_CONNECTION)], errors) as load,
    ):
        for process in (names, load):
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{process.args!r} does not start:\n{errors.read_text('utf-8', 'replace')[-2_000:]}")
        wait_for_220(hop, sink)
        started = time.perf_counter()
        with running_anywhere([str(Path(python).parent / "insurer-milter"), "serve", "--config", str(file)], errors) as server:
            wait_for_220(port, server)
            start_seconds = time.perf_counter() - started
            theirs = [cpu_seconds(one.pid) for one in (names, sink)]
            loaded = cpu_seconds(load.pid)
            before, own = {one: cpu_seconds(one) for one in tree(server.pid)}, cpu_seconds(server.pid)
            waited = resource.getrusage(resource.RUSAGE_CHILDREN)
            figures = json.loads(load.communicate("go\n", timeout=LONGEST)[0])
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = cpu_seconds(server.pid) - own
            around = sum(cpu_seconds(one.pid) for one in (names, sink)) - sum(theirs) - loaded
            around += spent.ru_utime + spent.ru_stime - waited.ru_utime - waited.ru_stime
            people = [one for one in tree(server.pid) if one != server.pid and one in before and parent(one) == server.pid]
            work = [cpu_seconds(one) - before[one] for one in people]
            worker_mb, tree_mb = max(map(resident_mb, people)), shared_mb(server.pid)
        taken = json.loads(finish(sink))["mails"]
        finish(names)
    count = figures["mails"]
    if figures["codes"] != {"250": count} or taken != count or len(people) != workers:
        raise RuntimeError(
            f"codes {figures['codes']}, next hop took {taken}, workers {people}; log:\n{errors.read_text('utf-8', 'replace')[-3_000:]}"
        )
    speed = count / figures["seconds"]
    share = min(work) / sum(work)
    cpu = 1_000 * used / count
    return Run(workers, speed, cpu, 1_000 * around / count, figures["p50_ms"], figures["p99_ms"], start_seconds, worker_mb, tree_mb, share)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def median(runs: list[Run]) -> Run:
    return Run(**{key: statistics.median(asdict(run)[key] for run in runs) for key in asdict(runs[0])})


def compare(workers: int, rounds: int, connections: int, say: Callable[[str], None] = print) -> tuple[Run, Run]:
    """One worker and several in turn; the medians of both."""
    runs: dict[int, list[Run]] = {1: [], workers: []}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(rounds):
            for one in runs if number % 2 == 0 else reversed(runs):
                runs[one].append(measure(one, Path(folder), connections))
                say(runs[one][-1].line())
    return median(runs[1]), median(runs[workers])


def ratios(one: Run, several: Run) -> str:
    return (
        f"throughput {several.mails_per_second / one.mails_per_second:.2f} × with {several.workers} workers on {os.cpu_count()} cores,"
        f" of which load, DNS and next hop took {several.around_per_1000 * several.mails_per_second / 1_000:.2f} (with one worker"
        f" {one.around_per_1000 * one.mails_per_second / 1_000:.2f}); CPU for a mail {several.cpu_per_1000 / one.cpu_per_1000:.2f} ×"
    )


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--connections", type=int, default=32)
    words.add_argument("--save", action="store_true", help="write the figures to bench/figures")
    chosen = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the programs started here end with us
    mails.load()
    one, several = compare(chosen.workers, chosen.rounds, chosen.connections)
    print(f"medians of {chosen.rounds} rounds:", one.line(), several.line(), ratios(one, several), sep="\n")
    if chosen.save:
        FIGURES.mkdir(exist_ok=True)
        when = time.strftime("%Y-%m-%d", time.gmtime())
        (FIGURES / f"workers-{when}.json").write_text(json.dumps({"date": when, "runs": [asdict(one), asdict(several)]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
