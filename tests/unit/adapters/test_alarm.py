"""One timer in the place of many."""

from __future__ import annotations

import asyncio

from milter.adapters.alarm import Alarm


async def test_it_rings_at_the_earliest_time_and_again_as_told() -> None:
    """However many times are set, it rings at the earliest, and next when the one who was called says so."""
    loop = asyncio.get_running_loop()
    start, following = loop.time(), [0.03, None]
    rung: list[float] = []

    def ring(now: float) -> float | None:
        rung.append(now - start)
        after = following.pop(0)
        return None if after is None else start + after

    alarm = Alarm(ring)
    for seconds in (5.0, 0.01, 0.02):
        alarm.set(start + seconds)
    await asyncio.sleep(0.06)
    assert len(rung) == 2
    assert 0.01 <= rung[0] < 0.03 <= rung[1]


async def test_it_can_be_stopped() -> None:
    """Stopped it does not ring, until a time is set again."""
    rung: list[float] = []
    alarm = Alarm(rung.append)
    now = asyncio.get_running_loop().time()
    alarm.set(now + 0.005)
    alarm.stop()
    await asyncio.sleep(0.02)
    assert rung == []
    alarm.set(now)
    await asyncio.sleep(0.005)
    assert len(rung) == 1
