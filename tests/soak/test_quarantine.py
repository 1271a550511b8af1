"""kill -9 at length: 200 processes that store mails are killed at random moments; what they reported is there, and nothing half."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from milter.adapters import clock
from milter.quarantine.check import Kind, check, repair
from milter.quarantine.entry import Filter
from milter.quarantine.store import Store
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
KILLS = 200
EVERY = Filter(limit=1_000_000)
ROOT = Path(__file__).resolve().parents[2]

# Imports once, then forks: the child stores mails, four at a time, and reports each id behind the moment at which the store gave it; the parent
# kills it. A mail's octets follow from its Message-ID, so that whoever reads it later can tell that it is whole.
PROGRAM = """
import asyncio, os, signal, sys, time
from pathlib import Path
from random import Random
from milter.quarantine.store import Store
from tests.helpers import held
from tests.soak.test_quarantine import octets

async def store_for_ever(turn):
    random = Random(turn)
    numbers = iter(range(10**9))
    async with await Store.open(Path(sys.argv[1])) as store:
        async def one():
            while True:
                key = f"{turn}-{next(numbers)}-{random.choice([1, 10, 10, 300])}"
                name = await store.add(held.mail(octets(key)), held.decision())
                os.write(1, f"{name} {key}\\n".encode())
        await asyncio.gather(*(one() for _ in range(4)))

random = Random(int(sys.argv[2]))
for turn in range(int(sys.argv[3])):
    child = os.fork()
    if not child:
        try:
            asyncio.run(store_for_ever(turn))
        finally:
            os._exit(1)
    time.sleep(random.choice([random.uniform(0, 0.1), random.uniform(0, 0.5)]))
    os.kill(child, signal.SIGKILL)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        sys.exit("a child ended before it was killed")
"""


def octets(key: str) -> bytes:
    """The mail of a key `turn-number-kilobytes`."""
    line = hashlib.sha256(key.encode()).hexdigest().encode() + b"\r\n"
    return f"Subject: x\r\nMessage-ID: <{key}@soak.example>\r\n\r\n".encode() + line * (int(key.rpartition("-")[2]) * 1_000 // len(line))


def key_of(mail: bytes) -> str:
    """The key that a mail names."""
    return mail.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


async def test_killed_at_any_moment(tmp_path: Path, report: Report) -> None:
    """Every id that a process reported before SIGKILL is there with its octets; every other entry is whole; what no entry names
    is found by a check, nothing else is, and a repair takes it away."""
    folder = tmp_path / "quarantine"
    command = [sys.executable, "-c", PROGRAM, str(folder), str(SEED), str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=1_800, check=True)  # noqa: ASYNC221  # nothing else runs
    # A write of one short line to a pipe is whole or is not there (POSIX: PIPE_BUF).
    reported = dict(line.split(" ") for line in done.stdout.decode().splitlines())
    assert len(reported) >= KILLS
    async with await Store.open(folder) as store:
        found = {entry.id for entry in await store.list(EVERY)}
        assert reported.keys() <= found, "reported and not there"
        for name in found:
            mail = await store.octets(name, who="test")
            assert mail == octets(key_of(mail))
            assert key_of(mail) == reported.get(name, key_of(mail))
    async with await Store.open(folder, now=lambda: clock.now() + timedelta(days=2)) as store:
        faults = await check(store)
        assert {fault.kind for fault in faults} <= {Kind.ORPHAN, Kind.UNFINISHED}
        mended = await repair(store, who="test", delete_orphans=True)
        assert (mended.removed, mended.adopted, mended.recounted, mended.left) == (len(faults), (), False, ())
        assert {entry.id for entry in await store.list(EVERY)} == found
        assert (await store.size())[0] == len(found)
    left = {path.name for path in folder.rglob("*") if path.suffix in (".held", ".tmp")}
    assert left == {f"{name}.held" for name in found}, "the repair takes what no entry names, and nothing else"
    count = Counter({"kills": KILLS, "ids reported": len(reported), "entries found": len(found), "lost": len(reported.keys() - found), "half": 0})
    count["committed, killed before the report"] = len(found) - len(reported)
    count["files without entry, taken by a repair"] = len(faults)
    report(count)
