"""kill -9 of a worker and of everything, once in each phase of a mail. `make soak` does it a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemons import gateway
from tests.soak import kills

pytestmark = [pytest.mark.daemons]


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_no_250_is_lost_by_a_kill(tmp_path: Path, figures: list[str]) -> None:
    """A worker and everything are killed while mails are received, judged, handed over and stored: each 250 is kept, each double is explained."""
    count = await kills.run(tmp_path, each=1, seed=20_260_115)
    assert all(count[f"kills of {what}, {phase}"] == 1 for what in ("a worker", "everything") for phase in kills.PHASES)
    assert count["250 given"] > 8
    figures.append("kills: " + ", ".join(f"{number} {name}" for name, number in count.items()))
