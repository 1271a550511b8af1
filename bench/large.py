"""What ordinary mails feel of many large ones: their p99 while CLIENTS send mails of 50 MB at once, divided by their calm p99.

    python -m bench.large [--clients 50] [--octets 50000000] [--rate 40] [--seconds 20] [--require RATIO]

The measured program has the first core for itself and its children; ordinary clients, large clients (at a lower priority), DNS and next hop
share the second. The ordinary clients keep one pace in both parts. Prints one line of figures.

    python -m bench.large ordinary PORT RATE SECONDS        the ordinary clients: a JSON object
    python -m bench.large bulk PORT CLIENTS OCTETS SHAPE    the large clients: a JSON object
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench import mails
from bench.load import Link, Wire
from bench.processes import cores, finish, free_port, memory_mb, running, tree, wait_for_220

LINKS = 10
_LONGEST = 600


def shape(name: str, octets: int) -> bytes:
    """A large mail, signed by nobody: `file` (an attachment in base64), `text`, `dots` or `lines`."""
    head = b"From: Anna <anna@a.example>\r\nTo: b@recipient.test\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
    line = {
        "file": base64.b64encode(os.urandom(57)),
        "text": b"Ligne de  texte qui  va  jusqu'au bout, et encore un peu.",
        "dots": b".a",
        "lines": b"",
    }
    body = (line[name] + b"\r\n") * (octets // (len(line[name]) + 2))
    if name != "file":
        return head + b"\r\n" + body
    kind = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return head + kind + body + b"--b--\r\n"


async def ordinary(port: int, rate: float, seconds: float) -> None:
    wires = itertools.cycle([Wire(mail) for mail in mails.load().mails])
    times: list[float] = []
    codes: Counter[int] = Counter()
    print("ready", flush=True)
    sys.stdin.readline()
    stop = time.perf_counter() + seconds

    async def work(number: int) -> None:
        link = await Link.open(port)
        due = time.perf_counter() + number / rate
        while (now := time.perf_counter()) < stop:
            await asyncio.sleep(max(0.0, due - now))
            started = time.perf_counter()
            codes[await link.send(next(wires))] += 1
            times.append(time.perf_counter() - started)
            due = max(due + LINKS / rate, time.perf_counter())
        await link.close()

    await asyncio.gather(*(work(number) for number in range(LINKS)))
    times.sort()
    figures = {"mails": len(times), "codes": codes, "p50_ms": 1_000 * times[len(times) // 2], "p99_ms": 1_000 * times[int(len(times) * 0.99)]}
    print(json.dumps({**figures, "longest_ms": 1_000 * times[-1]}), flush=True)


async def bulk(port: int, clients: int, octets: int, name: str) -> None:
    os.nice(10)
    wire = Wire(mails.BenchMail("192.0.2.9", "large.test", "anna@a.example", "b@recipient.test", shape(name, octets)))
    codes: Counter[int] = Counter()
    times: list[float] = []
    print("ready", flush=True)
    sys.stdin.readline()

    async def work() -> None:
        started = time.perf_counter()
        while (code := await _try(port, wire)) // 100 != 2:
            codes[code] += 1
            await asyncio.sleep(1)
        codes[code] += 1
        times.append(time.perf_counter() - started)

    await asyncio.gather(*(work() for _ in range(clients)))
    print(json.dumps({"codes": codes, "longest_s": max(times)}), flush=True)


async def _try(port: int, wire: Wire) -> int:
    """Send one mail, as a client that heeds every reply; the first that is a refusal, or the last. 0: the server is gone."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        code, octets = 0, b""
        for octets in (b"", b"HELO large.test\r\n", wire.sender, wire.rcpt, b"DATA\r\n", wire.content):
            writer.write(octets)
            await writer.drain()
            code = int((await reader.readline())[:3] or b"0")
            if code >= 400 or not code:
                break
        writer.close()
    except OSError:
        return 0
    return code


def measure(folder: Path, chosen: argparse.Namespace) -> float:
    port, hop, dns = free_port(), free_port(), free_port()
    own_core, other_core = cores()
    errors, settings, data = folder / "log", folder / "settings.yml", folder / "data"
    data.mkdir()
    smtp = {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{hop}"}
    ends = {"dns": {"resolvers": [f"127.0.0.1:{dns}"]}, "metrics": {"listen": f"127.0.0.1:{free_port()}"}}
    settings.write_text(json.dumps({"hostname": "gw.test", "smtp": smtp, **ends, "policy": "quarantine", "data_dir": str(data)}))
    me = [sys.executable, "-m", "bench.large"]
    calmly = [*me, "ordinary", str(port), str(chosen.rate), str(chosen.seconds)]
    with (
        running([sys.executable, "-m", "bench.dns", str(dns)], other_core, errors) as names,
        running([sys.executable, "-m", "bench.sink", str(hop)], other_core, errors) as sink,
        running([*me, "bulk", str(port), str(chosen.clients), str(chosen.octets), chosen.shape], other_core, errors) as large,
        running(calmly, other_core, errors) as calm,
        running(calmly, other_core, errors) as loaded,
    ):
        for process in (names, large, calm, loaded):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", errors.read_text("utf-8", "replace")[-2_000:]
        wait_for_220(hop, sink)
        with running([*shlex.split(chosen.command), "serve", "--config", str(settings)], own_core, errors) as server:
            wait_for_220(port, server)
            before = json.loads(calm.communicate("go\n", timeout=_LONGEST)[0])
            idle = memory_mb(server.pid)
            for process in (large, loaded):
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            most = _watch(server.pid, loaded)
            during = json.loads(loaded.stdout.read()) if loaded.stdout else {}
            bulky = json.loads(large.communicate(timeout=_LONGEST)[0])
            time.sleep(3)
            after, processes = memory_mb(server.pid), len(tree(server.pid))
        finish(sink)
    ratio = float(during["p99_ms"] / before["p99_ms"])
    print(
        f"{chosen.clients} × {chosen.octets / 1e6:.0f} MB {chosen.shape}: {bulky['codes']} longest {bulky['longest_s']:.1f} s;"
        f" ordinary mails at {chosen.rate:g}/s: calm p50 {before['p50_ms']:.1f} p99 {before['p99_ms']:.1f} ms,"
        f" beside them p50 {during['p50_ms']:.1f} p99 {during['p99_ms']:.1f} longest {during['longest_ms']:.1f} ms {during['codes']};"
        f" ratio {ratio:.2f}; RSS of {processes} processes {idle:.0f} → {most:.0f} → {after:.0f} MB"
    )
    return ratio


def _watch(pid: int, loaded: subprocess.Popen[str]) -> float:
    """The most memory of the tree until the ordinary clients are done."""
    most = 0.0
    while loaded.poll() is None:
        most = max(most, memory_mb(pid))
        time.sleep(0.2)
    return most


def main() -> int:
    if sys.argv[1:2] == ["ordinary"]:
        asyncio.run(ordinary(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
        return 0
    if sys.argv[1:2] == ["bulk"]:
        asyncio.run(bulk(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
        return 0
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--clients", type=int, default=50)
    words.add_argument("--octets", type=int, default=50_000_000)
    words.add_argument("--shape", choices=("file", "text", "dots", "lines"), default="file")
    words.add_argument("--rate", type=float, default=40.0, help="ordinary mails a second")
    words.add_argument("--seconds", type=float, default=20.0, help="of each part")
    words.add_argument("--command", default=str(Path(sys.executable).parent / "insurer-milter"), help="the program")
    words.add_argument("--require", type=float, default=0.0, help="fail above this ratio")
    chosen = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ratio = measure(Path(folder), chosen)
    return 1 if chosen.require and ratio > chosen.require else 0


if __name__ == "__main__":
    sys.exit(main())
