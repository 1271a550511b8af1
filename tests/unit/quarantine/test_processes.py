"""Several processes write one quarantine: all that was promised is there, once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from milter.quarantine.check import check
from milter.quarantine.entry import Filter
from milter.quarantine.store import Store
from tests.helpers import held

PROGRAM = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from milter.adapters import clock
from milter.errors import QuarantineError
from milter.quarantine.care import purge
from milter.quarantine.store import Store
from tests.helpers import held

async def main():
    async with await Store.open(Path(sys.argv[1])) as store:
        async def one(count):
            for _ in range(count):
                print(await store.add(held.mail(), held.decision()), flush=True)
                await store.list()
        await asyncio.gather(*(one(int(sys.argv[2]) // 4) for _ in range(4)), purge(store, clock.now() - timedelta(days=1), who="test"))

asyncio.run(main())
"""
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
async def test_four_processes_at_once(tmp_path: Path) -> None:
    """Four processes hold 200 mails each, four at a time, while they list and purge: 800 entries, each whole, each once, none refused."""
    root = tmp_path / "q"
    command = [sys.executable, "-c", PROGRAM, str(root), "200"]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]  # noqa: ASYNC220  # nothing else runs
    names: list[str] = []
    for process in running:
        printed, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        names += printed.split()
    async with await Store.open(root, now=held.Clock()) as store:
        assert sorted(entry.id for entry in await store.list(Filter(limit=10_000))) == sorted(set(names))
        assert (len(names), await store.size()) == (800, (800, 800 * len(held.RAW)))
        assert await check(store) == ()


async def test_a_new_database_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    """Two workers start at once with an empty folder: the one that comes second waits, although the switch to the write-ahead log does not."""
    root = tmp_path / "q"
    root.mkdir(mode=0o700)
    (root / "index.sqlite").touch(mode=0o600)
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
        letting_go.start()
        async with await Store.open(root) as store:
            assert await store.size() == (0, 0)
        letting_go.join()
