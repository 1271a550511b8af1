"""A process that is killed in the middle of storing, for real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from milter.quarantine.files import STEPS
from milter.quarantine.store import Store
from tests.helpers import held

PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from milter.quarantine.store import Store
from tests.helpers import held

def stop(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with await Store.open(Path(sys.argv[1]), before=stop) as store:
        await store.add(held.mail(), held.decision())

asyncio.run(main())
"""
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_process_leaves_whole_entries_only(tmp_path: Path, step: str) -> None:
    """Whatever step SIGKILL hits, the quarantine opens, what it lists is whole, and it takes the next mail."""
    root = tmp_path / "q"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(root), step], cwd=ROOT, timeout=60, check=False)  # noqa: ASYNC221  # nothing else runs
    assert done.returncode == -9
    async with await Store.open(root) as store:
        found = await store.list()
        assert len(found) == (1 if step == "answer" else 0)
        for entry in found:
            assert await store.octets(entry.id, who="test") == held.RAW
        name = await store.add(held.mail(), held.decision())
        assert await store.octets(name, who="test") == held.RAW
