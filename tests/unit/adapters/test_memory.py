"""Settling the memory of a long-lived process."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from milter.adapters import memory
kept = [[] for _ in range(1000)]
memory.settle()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
assert gc.isenabled() and gc.get_threshold()[0] == 20_000
ring = []
ring.append(ring)
del ring
assert gc.collect() >= 1
print(sum(map(len, kept)))
"""


def test_what_is_loaded_is_left_alone_and_garbage_is_still_found() -> None:
    """The collector skips what was there and still works; in a process of its own, since it is for good."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
