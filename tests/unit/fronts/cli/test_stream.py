"""Ordered work in one loop and in several processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest

from milter.fronts.cli import stream


@asynccontextmanager
async def doubling() -> AsyncIterator[Callable[[int], Awaitable[int]]]:
    """Doubles a number; even ones wait, so that they finish after their neighbours."""

    async def work(item: int) -> int:
        if item == 13_000:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.002 if item % 2 == 0 else 0)
        return item * 2

    yield work


def run(items: Iterable[int], jobs: int) -> list[int]:
    """Double the items and give what was emitted; -1 for a lost one."""
    got: list[int] = []
    run_into(got, items, jobs)
    return got


def run_into(got: list[int], items: Iterable[int], jobs: int) -> None:
    """The same into a list that survives an error."""
    if jobs == 1:
        stream.in_one_process(items, doubling, got.append)
    else:
        stream.in_processes(items, doubling, got.append, lambda item: -1, jobs)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(jobs: int) -> None:
    """However long each takes, order is kept and nothing is lost."""
    assert run(range(200), jobs) == [2 * item for item in range(200)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_to_do(jobs: int) -> None:
    """An empty source ends at once."""
    assert run([], jobs) == []


def test_waiting_overlaps() -> None:
    """Many items wait at once, as DNS questions do."""

    @asynccontextmanager
    async def slow() -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        async def work(item: int) -> int:
            await asyncio.sleep(0.1)
            return item

        yield work

    start = time.monotonic()
    got: list[int] = []
    stream.in_one_process(range(stream.IN_FLIGHT), slow, got.append)
    assert len(got) == stream.IN_FLIGHT
    assert time.monotonic() - start < 1.5


def test_a_process_that_dies_costs_only_its_own_items() -> None:
    """The items of a killed process get the substitute answer; the others their own, in order."""
    got = run([13_000 if number == 4 else number for number in range(40)], 2)
    assert got[1::2] == [2 * item for item in range(1, 40, 2)]
    assert set(got[4::2]) == {-1}


def broken_source() -> Iterator[int]:
    """A source that fails after two items."""
    yield 1
    yield 2
    raise OSError("the disk is gone")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_source_that_breaks_is_reported_after_its_items(jobs: int) -> None:
    """What was read is worked on; then the error is raised, and nothing hangs."""
    got: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        run_into(got, broken_source(), jobs)
    assert got == [2, 4]


def test_an_emit_that_breaks_is_raised() -> None:
    """A reader of our output that goes away ends the run with its own error."""

    def emit(item: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        stream.in_one_process(range(2_000), doubling, emit)
