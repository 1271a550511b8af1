"""The Makefile: what developers and CI call."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_target_can_be_read() -> None:
    """`make -n` knows what it would do for each target; one bad line stops all of them."""
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets
    alone = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }  # we may run in a `make` ourselves
    done = subprocess.run(["make", "--dry-run", *targets[1].split()], cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
