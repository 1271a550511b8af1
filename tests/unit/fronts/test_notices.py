"""One log line for many alike."""

from __future__ import annotations

import asyncio

from milter.fronts.notices import Notices


async def test_a_flood_is_said_at_once_and_then_summed_up() -> None:
    """The first is said at once, the others together a while later, and after a quiet while it begins anew; nothing is lost."""
    said: list[tuple[str, str, int]] = []
    notices = Notices(lambda *facts: said.append(facts), seconds=0.05)
    for number in range(5):
        notices.happened("a", f"192.0.2.{number}")
    notices.happened("b", "192.0.2.9")
    assert said == [("a", "192.0.2.0", 1), ("b", "192.0.2.9", 1)]
    await asyncio.sleep(0.2)
    assert said[2:] == [("a", "192.0.2.4", 4)]
    notices.happened("a", "192.0.2.7")
    assert said[3:] == [("a", "192.0.2.7", 1)]


async def test_nothing_is_lost_at_the_end() -> None:
    """What waits to be said is said when the worker ends, and not again."""
    said: list[tuple[str, str, int]] = []
    notices = Notices(lambda *facts: said.append(facts), seconds=0.03)
    for number in range(3):
        notices.happened("a", f"192.0.2.{number}")
    notices.finish()
    await asyncio.sleep(0.06)
    assert said == [("a", "192.0.2.0", 1), ("a", "192.0.2.2", 2)]
