"""kill -9 at length: a worker, and everything, in each phase of a mail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemons import gateway
from tests.soak import kills
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
EACH = int(os.environ.get("SOAK_KILLS", "104")) // 8  # two kinds of kills, four phases


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_no_250_is_lost_by_kills(tmp_path: Path, report: Report) -> None:
    """104 kills, 13 of a worker and 13 of everything in each phase: no 250 is lost, and the log or the kill explains each double."""
    count = await kills.run(tmp_path, each=EACH, seed=SEED)
    assert all(count[f"kills of {what}, {phase}"] == EACH for what in ("a worker", "everything") for phase in kills.PHASES)
    report(count)
