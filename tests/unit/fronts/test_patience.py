"""An end in time, with one timer for all."""

from __future__ import annotations

import asyncio

import pytest

from milter.fronts.patience import Patience


def soon(seconds: float) -> float:
    """Loop time so many seconds from now."""
    return asyncio.get_running_loop().time() + seconds


async def late(seconds: float, result: str = "done") -> str:
    """Something that takes its time."""
    await asyncio.sleep(seconds)
    return result


async def test_what_comes_in_time_is_the_result() -> None:
    """Results and errors pass as they are, and the task may wait again."""
    patience = Patience()
    assert await patience.wait(late(0), soon(5)) == "done"
    with pytest.raises(ZeroDivisionError):
        await patience.wait(asyncio.to_thread(lambda: 1 // 0), soon(5))
    assert await patience.wait(late(0.001), soon(5)) == "done"


async def test_each_has_its_own_end() -> None:
    """Many wait at once; whose time is up gets TimeoutError, the others their results."""
    patience = Patience()
    ends = (5.0, 0.02, 5.0, 0.04, -1.0)
    results = await asyncio.gather(*(patience.wait(late(0.06), soon(end)) for end in ends), return_exceptions=True)
    assert [type(result) for result in results] == [str, TimeoutError, str, TimeoutError, TimeoutError]


async def test_after_its_end_a_task_goes_on() -> None:
    """A task whose work took too long is not cancelled itself."""
    patience = Patience()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await patience.wait(late(5), soon(0.01))
    await asyncio.sleep(0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_is_not_late() -> None:
    """Cancelling from outside stays cancelling, also when the time is up in the same moment."""
    patience = Patience()
    waiting = asyncio.create_task(patience.wait(late(5), soon(5)))
    both = asyncio.create_task(patience.wait(late(5), soon(5)))
    await asyncio.sleep(0)
    waiting.cancel()
    patience._ring(soon(9))
    both.cancel()
    for task in (waiting, both):
        with pytest.raises(asyncio.CancelledError):
            await task
