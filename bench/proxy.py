"""insurer-milter against the baseline, in one run, on one core each: mails a second, CPU, latency, memory, start.

    python -m bench.proxy [--rounds N] [--per-connection N] [--only baseline|ours] [--save] [--require RATIO]

The measured program has the first core for itself; load, DNS and next hop share the second. Rounds alternate, so that other work
on the machine meets both. Figures are medians of the rounds; CPU counts the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import mails
from bench.processes import cores, cpu_seconds, finish, free_port, memory_mb, running, wait_for_220

CONNECTIONS = 10
LONGEST = 120  # seconds for one round; beyond it something is broken
FIGURES = Path(__file__).parent / "figures"


@dataclass(frozen=True, slots=True)
class Run:
    """One round of one program. CPU in seconds for 1,000 mails, memory in MB (10^6), times in ms unless named otherwise."""

    name: str
    mails_per_second: float
    cpu_per_1000: float
    p50_ms: float
    p99_ms: float
    start_seconds: float
    memory_idle: float
    memory_loaded: float
    questions: int


def measure(name: str, folder: Path, per_connection: int) -> Run:
    """Start everything afresh, send all mails once, stop everything. Raises RuntimeError when a mail is not taken."""
    port, hop, dns = free_port(), free_port(), free_port()
    own_core, other_core = cores()
    errors = folder / f"{name}.log"
    python = sys.executable
    if name == "baseline":
        command = [python, "-m", "bench.baseline", str(port), str(hop)]
    else:
        data = folder / f"data-{port}"
        data.mkdir()
        settings = folder / f"settings-{port}.yml"
        settings.write_text(json.dumps(_settings(port, hop, dns, data)))
        command = [str(Path(python).parent / "insurer-milter"), "serve", "--config", str(settings)]
    with (
        running([python, "-m", "bench.dns", str(dns)], other_core, errors) as names,
        running([python, "-m", "bench.sink", str(hop)], other_core, errors) as sink,
        running([python, "-m", "bench.load", str(port), str(CONNECTIONS), str(per_connection)], other_core, errors) as load,
    ):
        for process in (names, load):
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{process.args!r} does not start:\n{errors.read_text('utf-8', 'replace')[-2000:]}")
        wait_for_220(hop, sink)
        started = time.perf_counter()
        with running(command, own_core, errors) as server:
            wait_for_220(port, server)
            start_seconds = time.perf_counter() - started
            memory_idle, before = memory_mb(server.pid), cpu_seconds(server.pid)
            figures = json.loads(load.communicate("go\n", timeout=LONGEST)[0])
            used, memory_loaded = cpu_seconds(server.pid) - before, memory_mb(server.pid)
        taken = json.loads(finish(sink))["mails"]
        asked = json.loads(finish(names))["questions"]
    if name != "baseline" and not asked:
        raise RuntimeError("no question reached the name server")
    if figures["codes"] != {"250": figures["mails"]} or taken != figures["mails"]:
        raise RuntimeError(f"{name}: codes {figures['codes']}, next hop took {taken}; log:\n{errors.read_text('utf-8', 'replace')[-3000:]}")
    count = figures["mails"]
    return Run(
        name,
        count / figures["seconds"],
        1_000 * used / count,
        figures["p50_ms"],
        figures["p99_ms"],
        start_seconds,
        memory_idle,
        memory_loaded,
        asked,
    )


def _settings(port: int, hop: int, dns: int, data: Path) -> dict[str, object]:
    return {
        "hostname": "gate.recipient.example",
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{hop}", "trusted_peers": ["127.0.0.1"]},
        "dns": {"resolvers": [f"127.0.0.1:{dns}"]},
        "policy": "quarantine",
        "registry": ["fr"],
        "data_dir": str(data),
        "metrics": {"listen": f"127.0.0.1:{free_port()}"},
    }


def line(run: Run) -> str:
    return (
        f"{run.name:9} {run.mails_per_second:7.1f} mails/s  {run.cpu_per_1000:6.3f} CPU s/1000  p50 {run.p50_ms:6.1f} ms  p99 {run.p99_ms:6.1f} ms"
        f"  start {run.start_seconds:5.2f} s  RSS {run.memory_idle:5.1f} → {run.memory_loaded:5.1f} MB  DNS questions {run.questions}"
    )


def median(runs: list[Run]) -> Run:
    values = {key: statistics.median(asdict(run)[key] for run in runs) for key in asdict(runs[0]) if key != "name"}
    return Run(name=runs[0].name, **values)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--per-connection", type=int, default=0, help="mails over one connection; 0: all, 1: as Postfix does")
    words.add_argument("--only", choices=("baseline", "ours"))
    words.add_argument("--save", action="store_true", help="write the figures to bench/figures")
    words.add_argument("--require", type=float, default=0.0, help="fail below this ratio")
    chosen = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the programs started here end with us
    corpus = mails.load()
    sizes = [len(mail.raw) for mail in corpus.mails]
    middle_size, mean_size = statistics.median(sizes) / 1_000, statistics.mean(sizes) / 1_000
    print(f"{len(sizes)} mails, median {middle_size:.1f} kB, mean {mean_size:.1f} kB, {mails.DOMAINS} author domains, {CONNECTIONS} connections")
    names = [chosen.only] if chosen.only else ["baseline", "ours"]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(chosen.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                runs[name].append(measure(name, Path(folder), chosen.per_connection))
                print(line(runs[name][-1]), flush=True)
    middle = {name: median(found) for name, found in runs.items()}
    print(f"medians of {chosen.rounds} rounds:")
    for run in middle.values():
        print(line(run))
    ratio = middle["baseline"].cpu_per_1000 / middle["ours"].cpu_per_1000 if len(middle) == 2 else None
    if ratio is not None:
        print(f"ratio {ratio:.2f} (CPU of the baseline / ours)")
    if chosen.save:
        _save(middle, ratio, chosen.per_connection)
    return 1 if ratio is not None and ratio < chosen.require else 0


def _save(middle: dict[str, Run], ratio: float | None, per_connection: int) -> None:
    FIGURES.mkdir(exist_ok=True)
    when = time.strftime("%Y-%m-%d", time.gmtime())
    about = {"date": when, "python": platform.python_version(), "per_connection": per_connection, "ratio": ratio}
    (FIGURES / f"proxy-{when}.json").write_text(json.dumps({**about, "runs": [asdict(run) for run in middle.values()]}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
