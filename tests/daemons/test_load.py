"""Idle, slow and large clients at once, and reloads under traffic: mail goes on, and afterwards all is as before. `make soak` does more of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.daemons import gateway
from tests.soak import kills, load

pytestmark = [pytest.mark.daemons]

PRESS = load.Press(idle=300, slow=40, bulk=4, octets=8_000_000, rate=20, seconds=5)


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_ordinary_mail_goes_on(tmp_path: Path, figures: list[str]) -> None:
    """Beside a crowd every mail is taken but those that come too slowly, and no file stays open behind it."""
    felt = await asyncio.to_thread(load.measure, tmp_path, PRESS)
    assert set(felt.calm["codes"]) == set(felt.loaded["codes"]) == {"250"}
    assert felt.bulky["codes"]["250"] == PRESS.bulk
    assert felt.around["heard"]["idle still connected"] == PRESS.idle
    assert felt.around["heard"]["slow, 1000 octets a second: 250 at its end"] == PRESS.slow // 2
    assert felt.around["heard"]["slow, 100 octets a second: 421"] == PRESS.slow // 2
    assert felt.connections >= PRESS.idle
    assert felt.files[1] > felt.files[0] + PRESS.idle
    assert felt.files[2] <= felt.files[0] + load.KEPT
    figures.append(f"load: {felt.line()}")


@pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python")
async def test_reloads_under_traffic(tmp_path: Path, figures: list[str]) -> None:
    """While clients send, all workers are changed three times: each mail is there once, and nobody heard worse than "try again"."""
    async with kills.scene(tmp_path, seed=20_260_115) as scene:
        seen = set(scene.gateway.workers())
        for _ in range(3):
            await scene.flow(20)
            answer = await asyncio.to_thread(lambda: scene.gateway.ask(do="reload"))
            assert answer["ok"]
            fresh = set(scene.gateway.workers())
            assert len(fresh) == 2
            assert not fresh & seen
            seen |= fresh
        await scene.flow(20)
    count = scene.ledger.settle(scene.gateway.events())
    assert count == {"250 given": count["250 given"], "mails found": count["250 given"], "lost": 0, "doubles": 0}
    assert {said[:3] for said in scene.ledger.heard.values()} <= {"250", "421"}
    figures.append(f"reload: 3 under traffic, {count['250 given']} mails, {scene.count['attempts']} attempts")
