"""The share of the loop that large work gets."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from milter.adapters.lane import Lane


async def test_slices_run_in_order_and_leave_the_loop_to_others() -> None:
    """Between slices of large work the loop has more turns for everybody else than slices ran."""
    lane = Lane(share=0.25)
    order: list[int] = []
    turns = 0
    is_over = False

    async def others() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await asyncio.sleep(0)

    def work(number: int) -> int:
        order.append(number)
        time.sleep(0.002)
        return number

    beside = asyncio.create_task(others())
    began = time.perf_counter()
    results = await asyncio.gather(*(lane.slice(partial(work, number)) for number in range(10)))
    took = time.perf_counter() - began
    is_over = True
    await beside
    assert results == order == list(range(10))
    assert took > 2 * 10 * 0.002
    assert turns > 20


async def test_what_a_slice_raises_passes_through() -> None:
    """The lane goes on after it."""
    lane = Lane()
    with pytest.raises(ZeroDivisionError):
        await lane.slice(lambda: 1 / 0)
    assert await lane.slice(lambda: 7) == 7
