"""kill -9 of a worker and of everything, once in each phase of a mail. `make soak` does it a hundred times."""

from __future__ import annotations

import asyncio
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


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_the_parent_alone_is_killed(tmp_path: Path) -> None:
    """Workers whose parent was killed finish the mails that they have, with 250, and then leave their addresses to the next service."""
    async with kills.scene(tmp_path, seed=20_260_115) as scene:
        await scene.flow(4)
        scene.hold("delivering")
        await scene.reached("delivering", 2)
        workers = scene.gateway.workers()
        under_way = scene.under_way()
        scene.gateway.process.kill()
        await asyncio.to_thread(scene.gateway.process.wait, 20)
        scene.release()
        await kills.until(lambda: not any(kills.is_alive(pid) for pid in workers), "the workers of a dead parent do not end")
        finished = [attempt for attempt in under_way if scene.ledger.heard[attempt].startswith("250")]
        await asyncio.to_thread(scene.gateway.start)
        await asyncio.to_thread(scene.gateway.wait_until_ready)
        await scene.flow(4)
    assert len(finished) >= 2
    assert scene.ledger.settle(scene.gateway.events())["doubles"] == 0
