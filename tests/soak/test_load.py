"""5,000 idle connections, 500 slow writers and 50 mails of 50 MB at once."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.daemons import gateway
from tests.soak import load
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

IDLE = int(os.environ.get("SOAK_IDLE", "5000"))
PRESS = load.Press(idle=IDLE, slow=IDLE // 10, bulk=max(1, IDLE // 100), octets=50_000_000, rate=30, seconds=40)
SLOWER = 2.0  # p99 of ordinary mails, at most so many times its calm value


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_ordinary_mail_beside_a_crowd(tmp_path: Path, report: Report) -> None:
    """Ordinary mail's p99 is at most twice its calm value, memory stays under its bound, and afterwards memory and files are as before."""
    felt = await asyncio.to_thread(load.measure, tmp_path, PRESS)
    print(felt.line())
    assert set(felt.calm["codes"]) == set(felt.loaded["codes"]) == {"250"}
    assert felt.bulky["codes"]["250"] == PRESS.bulk
    assert felt.around["heard"]["idle still connected"] == PRESS.idle
    assert felt.around["heard"]["slow, 1000 octets a second: 250 at its end"] == PRESS.slow // 2
    assert felt.around["heard"]["slow, 100 octets a second: 421"] == PRESS.slow // 2
    bound = load.bound_mb(PRESS, felt.memory[0])
    report(
        Counter(
            {
                "connections": felt.connections,
                "ms p99 calm": round(felt.calm["p99"]),
                "ms p99 in the crowd": round(felt.loaded["p99"]),
                **{
                    f"MB {when}": round(value)
                    for when, value in zip(("before", "at most", "afterwards", "after the next crowd"), felt.memory, strict=True)
                },
                "MB allowed": round(bound),
                **{f"open files {when}": value for when, value in zip(("before", "at most", "afterwards"), felt.files, strict=True)},
            }
        )
    )
    assert felt.memory[1] <= bound
    assert felt.memory[2] <= felt.memory[0] + load.STAYS_MB
    assert felt.memory[3] <= felt.memory[2] + load.GROWS_MB
    assert felt.files[2] <= felt.files[0] + load.KEPT
    assert felt.ratio <= SLOWER, felt.line()
