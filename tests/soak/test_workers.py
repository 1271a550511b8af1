"""What a second worker gives, what a reload costs the mails that are under way, and what many reloads leave in memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from bench import mails, reload, workers
from tests.daemons import gateway
from tests.soak.conftest import Report

pytestmark = [pytest.mark.soak, pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")]

RELOADS = int(os.environ.get("SOAK_RELOADS", "500"))
MOST_MB = 120.0  # a worker with everything loaded
DEARER = 1.4  # CPU for a mail with two workers on two cores, which share caches with all that is around them
SLOWER = 3.0  # p99 beside a reload, at full load
GROWN = 1.05  # from the 100th reload to the last


def test_two_workers(report: Report) -> None:
    """Two workers take more than one, share the mail, and need hardly more CPU for it."""
    mails.load()
    said: list[str] = []
    one, two = workers.compare(2, rounds=3, connections=32, say=said.append)
    print(*said, workers.ratios(one, two), sep="\n")
    report(
        Counter(
            {
                "mails/s with one": round(one.mails_per_second),
                "with two": round(two.mails_per_second),
                "% CPU for a mail, two to one": round(100 * two.cpu_per_1000 / one.cpu_per_1000),
                "% of the work for the idler of two": round(100 * two.least_share),
                "MB RSS of a worker": round(two.worker_mb),
                "ms start": round(1_000 * one.start_seconds),
            }
        )
    )
    assert two.worker_mb <= MOST_MB
    assert two.least_share >= 0.25
    assert two.cpu_per_1000 <= DEARER * one.cpu_per_1000
    assert two.mails_per_second > one.mails_per_second


def test_reload_under_full_load(tmp_path: Path, report: Report) -> None:
    """No mail is lost or doubled while sets change under full load, and mails beside a reload are not much slower."""
    mails.load()
    felt = reload.under_load(tmp_path, 2, 40.0)
    print(felt.line())
    report(
        Counter(
            {
                "reloads": felt.reloads,
                "mails": felt.mails,
                "lost": 0,
                "sent again": felt.again,
                "ms p99 calm": round(felt.calm_p99),
                "ms p99 beside a reload": round(felt.beside_p99),
            }
        )
    )
    assert felt.reloads >= 10
    assert felt.beside_p99 <= SLOWER * felt.calm_p99


def test_memory_is_flat_after_many_reloads(tmp_path: Path, report: Report) -> None:
    """500 reloads leave parent and workers as large as a hundred did, and no file open."""
    mails.load()
    said: list[str] = []
    began = time.monotonic()
    found = reload.many(tmp_path, 2, RELOADS, say=said.append)
    print(*said, sep="\n")
    middle, last = found[-2], found[-1]
    report(
        Counter(
            {
                "reloads": RELOADS,
                "ms each": round(1_000 * (time.monotonic() - began) / RELOADS),
                **{f"MB parent after {one.reloads}": round(one.parent_mb) for one in found},
                **{f"MB worker after {one.reloads}": round(one.worker_mb) for one in found},
            }
        )
    )
    assert last.parent_mb <= GROWN * middle.parent_mb
    assert last.worker_mb <= GROWN * middle.worker_mb
    assert last.files == middle.files
