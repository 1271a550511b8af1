"""Waiting for what all workers share."""

from __future__ import annotations

import asyncio
import time

from milter.adapters.board import Board, Scarce
from milter.fronts.gate import Gate


def gates(most: int, *, seconds: float = 5.0) -> tuple[Board, Gate, Gate]:
    """The gates of two workers to the same thing."""
    board = Board(2, 4)
    return board, *(Gate(board, place, Scarce.OCTETS, most, seconds=seconds) for place in board.places)  # type: ignore[return-value]  # two places


async def test_what_is_there_is_given_at_once() -> None:
    """All workers together take no more than there is."""
    board, one, other = gates(10)
    assert one.take_now(6)
    assert not other.take_now(5)
    assert other.take_now(4)
    assert (board.taken(Scarce.OCTETS), board.taken(Scarce.TURNS)) == (10, 0)
    one.give_back(6)
    assert board.taken(Scarce.OCTETS) == 4


async def test_who_waits_too_long_goes_without() -> None:
    """After its time a waiting one hears no, and nobody waits for it any more."""
    board, one, other = gates(10, seconds=0.05)
    assert await one.take(10)
    began = time.monotonic()
    assert not await other.take(1)
    assert 0.04 < time.monotonic() - began < 2
    assert not board.waiting(Scarce.OCTETS)
    assert not await other.take(1, seconds=0)


async def test_what_another_worker_gives_back_is_found() -> None:
    """A waiting one sees soon what is free elsewhere."""
    _, one, other = gates(10)
    assert one.take_now(10)
    waiting = asyncio.create_task(other.take(10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    one.give_back(10)
    assert await asyncio.wait_for(waiting, 2)


async def test_nobody_is_passed_over() -> None:
    """While a large one waits, small ones that come later wait behind it, in this worker and in others; then all go on in order."""
    _, one, other = gates(10)
    order: list[str] = []

    async def want(gate: Gate, name: str, amount: int) -> None:
        assert await gate.take(amount)
        order.append(name)
        await asyncio.sleep(0.01)
        gate.give_back(amount)

    assert one.take_now(5)
    tasks = [asyncio.create_task(want(one, "large", 10))]
    await asyncio.sleep(0.01)
    assert not one.take_now(1)
    assert not other.take_now(1)
    tasks.append(asyncio.create_task(want(other, "small", 6)))
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(want(one, "last", 6)))
    await asyncio.sleep(0.05)
    assert order == []
    one.give_back(5)
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert order == ["large", "small", "last"]


async def test_more_than_there_ever_is() -> None:
    """Who wants more than all of it gets it when nothing is taken: no setting can make a mail wait for ever."""
    _, one, other = gates(10)
    assert one.take_now(1)
    waiting = asyncio.create_task(other.take(50))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    one.give_back(1)
    assert await asyncio.wait_for(waiting, 2)
    assert not one.take_now(1)


async def test_one_that_is_cancelled_holds_nobody_up() -> None:
    """A waiting one that is given up leaves its place to the next."""
    board, one, _ = gates(10)
    assert one.take_now(10)
    first, second = asyncio.create_task(one.take(10)), asyncio.create_task(one.take(2))
    await asyncio.sleep(0.02)
    first.cancel()
    one.give_back(10)
    assert await asyncio.wait_for(second, 2)
    assert not board.waiting(Scarce.OCTETS)
    assert board.taken(Scarce.OCTETS) == 2


async def test_a_worker_that_hangs_holds_nobody_up_for_long() -> None:
    """A worker that shows a waiting one long after its time is not waited for."""
    board, one, _ = gates(10, seconds=1.0)
    board.places[1].wait(Scarce.OCTETS, time.monotonic_ns() - int(60e9))
    assert await asyncio.wait_for(one.take(3), 1)


async def test_many_take_turns() -> None:
    """However many want some, never is more taken than there is, and all are served."""
    board, one, other = gates(7)
    most = 0

    async def want(gate: Gate, amount: int) -> None:
        nonlocal most
        assert await gate.take(amount)
        most = max(most, board.taken(Scarce.OCTETS))
        await asyncio.sleep(0.001)
        gate.give_back(amount)

    await asyncio.wait_for(asyncio.gather(*(want((one, other)[number % 2], 1 + number % 7) for number in range(60))), 20)
    assert most <= 7
    assert board.taken(Scarce.OCTETS) == 0
