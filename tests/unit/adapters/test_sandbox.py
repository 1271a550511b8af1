"""Children for hostile work: what they may not do, how they end, and what the others notice of it."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milter.adapters.board import Board
from milter.adapters.sandbox import MAX_QUESTION, Pool
from milter.adapters.sandbox_child import BROKE, FRAME, QUESTION
from milter.errors import SandboxError
from milter.model.sandbox import Ask

MEMORY = 100_000_000


def echo(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """The request, and the octets backwards."""
    return request + b"|" + b"|".join(octets[::-1])


def name(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Who works here, and what the worker answers."""
    return ask(b"who?") + b" " + str(os.getpid()).encode()


def spin(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Never comes back."""
    while True:
        pass


def eat(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Wants more memory than there is."""
    return b"x" * (2 * MEMORY)


def crash(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Dies like a library with a bug."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def leave(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Ends without a word."""
    os._exit(7)


def burst(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """A bug whose text quotes what must not be quoted."""
    raise KeyError("the secret of " + request.decode())


def babble(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Says what it likes."""
    os.write(3, request)
    return b""


def pester(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Asks for ever."""
    while True:
        ask(b"again")


def attempt(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
    """Tries what a child may not do; the names of what worked."""
    tries: dict[str, Callable[[], object]] = {
        "socket": socket.socket,
        "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "pipe": os.pipe,
        "write": lambda: os.pwrite(4, b"x", 10_000),
    }
    worked = []
    for what, do in tries.items():
        try:
            do()
            worked.append(what)
        except OSError:
            pass
    handles = [number for number in range(256) if _is_open(number)]
    return f"{worked} {handles}".encode()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


TASKS = {task.__name__: task for task in (echo, name, spin, eat, crash, leave, burst, babble, pester, attempt)}


@pytest.fixture
def pool() -> Iterator[Pool]:
    """One child at a time."""
    made = Pool(TASKS, memory_octets=MEMORY, cpu_seconds=30)
    made.start()
    yield made
    made.close()


async def answer(question: bytes) -> bytes:
    """The worker answers everything but nonsense."""
    if question == b"nonsense":
        raise ValueError
    return question.upper()


async def run(pool: Pool, task: str, request: bytes = b"", *octets: bytes, seconds: float = 20.0) -> bytes:
    """One task."""
    return await pool.run(task, request, octets, seconds=seconds, answer=answer)


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def born_of(pid: int) -> list[int]:
    """The same, waiting until there is one."""
    deadline = time.monotonic() + 5
    while not (found := children_of(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def test_a_task_gets_its_octets_and_its_answers(pool: Pool) -> None:
    """Small and large octets arrive as they are, in order, and questions are answered by the worker."""
    large = os.urandom(1_000) * 3_000
    assert await run(pool, "echo", b"r", b"", large, b"b") == b"r|b|" + large + b"|"
    assert (await run(pool, "name")).startswith(b"WHO? ")
    assert (pool.killed, pool.restarted) == (0, 0)


async def test_no_task_meets_what_another_left_behind(pool: Pool) -> None:
    """Each task has a process of its own."""
    names = [await run(pool, "name") for _ in range(5)]
    assert len(set(names)) == 5


@pytest.mark.parametrize(
    ("task", "request_", "reason"),
    [
        ("eat", b"", "killed-memory"),
        ("crash", b"", "crashed"),
        ("leave", b"", "crashed"),
        ("burst", b"Anna", "broke-in-sandbox"),
        ("babble", b"\xff" * 64, "killed-nonsense"),
        ("babble", FRAME.pack(b"R", 2**31), "killed-nonsense"),
        ("babble", FRAME.pack(QUESTION, 8) + b"nonsense", "killed-nonsense"),
        ("babble", FRAME.pack(QUESTION, MAX_QUESTION + 1), "killed-nonsense"),
        ("babble", FRAME.pack(BROKE, 12) + b"Anna's words", "broke-in-sandbox"),
        ("pester", b"", "killed-nonsense"),
        ("no such task", b"", "broke-in-sandbox"),
    ],
)
async def test_a_task_without_a_result_has_a_reason(pool: Pool, task: str, request_: bytes, reason: str) -> None:
    """However a child fails, the caller hears a fixed word and quotes nothing, and the next task finds a child."""
    with pytest.raises(SandboxError) as caught:
        await run(pool, task, request_)
    assert caught.value.reason == reason
    assert "Anna" not in str(caught.value)
    assert pool.killed == 1
    assert await run(pool, "echo", b"still here") == b"still here|"


async def test_a_child_cannot_write_what_workers_share() -> None:
    """The board is not in its memory: it dies when it tries, and the numbers of the others stay as they are."""
    board = Board(2, 1)

    def scribble(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
        faulthandler.disable()
        board.places[1].connected(None, 999)
        return b"done"

    board.hide()
    pool = Pool({"scribble": scribble}, memory_octets=MEMORY)
    pool.start()
    try:
        with pytest.raises(SandboxError) as caught:
            await run(pool, "scribble")
    finally:
        pool.close()
    assert caught.value.reason == "crashed"
    assert board.connections == 0
    board.places[1].connected(None, 1)
    assert board.connections == 1


async def test_a_child_that_never_ends_is_killed_at_its_deadline(pool: Pool) -> None:
    """It is gone, not merely forgotten."""
    with pytest.raises(SandboxError) as caught:
        await run(pool, "spin", seconds=0.2)
    assert caught.value.reason == "killed-deadline"
    assert await run(pool, "echo") == b"|"
    assert len(children_of(pool._nurse)) <= 2


@pytest.mark.slow
async def test_the_system_ends_a_child_that_uses_up_its_time() -> None:
    """RLIMIT_CPU holds even if nobody watches the clock."""
    pool = Pool(TASKS, cpu_seconds=1)
    pool.start()
    try:
        with pytest.raises(SandboxError) as caught:
            await run(pool, "spin", seconds=30)
        assert caught.value.reason == "killed-cpu"
    finally:
        pool.close()


async def test_a_child_can_open_nothing(pool: Pool) -> None:
    """No socket, no file, no pipe, no larger memory; it holds /dev/null three times, its conversation and its mail."""
    assert await run(pool, "attempt", b"", b"mail") == b"[] [0, 1, 2, 3, 4]"


async def test_a_child_that_dies_while_it_waits_is_replaced(pool: Pool) -> None:
    """The task that would have had it gets another."""
    for pid in born_of(pool._nurse):
        os.kill(pid, signal.SIGKILL)
    assert await run(pool, "echo", b"a", b"b") == b"a|b"
    assert (pool.killed, pool.restarted) == (0, 1)


@pytest.mark.slow
async def test_two_hundred_tasks_leave_nothing_behind(pool: Pool) -> None:
    """No handle, no process, however they end."""
    await run(pool, "echo")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        if number % 20 == 7:
            with pytest.raises(SandboxError):
                await run(pool, "leave")
        else:
            assert await run(pool, "echo", b"%d" % number, b"x") == b"%d|x" % number
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(children_of(pool._nurse)) <= 2


async def test_tasks_wait_in_order(pool: Pool) -> None:
    """Who comes first is served first."""
    order: list[int] = []

    async def one(number: int) -> None:
        await run(pool, "echo", b"", b"x")
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(8)))
    assert order == list(range(8))


async def test_who_gives_up_waiting_takes_nobodys_place(pool: Pool) -> None:
    """A cancelled task, waiting or running, leaves the pool as it was."""
    running = asyncio.create_task(run(pool, "spin"))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(run(pool, "echo", b"never"))
    third = asyncio.create_task(run(pool, "echo", b"third", b"y" * 1_000_000))
    await asyncio.sleep(0.01)
    waiting.cancel()
    running.cancel()
    assert (await third)[:6] == b"third|"
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (pool.killed, pool.waiting) == (0, 0)


async def test_without_the_nurse_every_task_fails_at_once(pool: Pool) -> None:
    """Nobody waits for children that nobody makes."""
    assert await run(pool, "echo") == b"|"
    spinning = asyncio.create_task(run(pool, "spin"))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(run(pool, "echo"))
    await asyncio.sleep(0.01)
    os.kill(pool._nurse, signal.SIGKILL)
    for task in (spinning, waiting):
        with pytest.raises(SandboxError):
            await asyncio.wait_for(task, 10)
    with pytest.raises(SandboxError) as caught:
        await run(pool, "echo")
    assert caught.value.reason == "sandbox-failed"
    assert pool.failure


async def test_children_die_with_their_pool(pool: Pool) -> None:
    """`close` leaves no process; a task under way hears of it."""
    task = asyncio.create_task(run(pool, "spin"))
    await asyncio.sleep(0.05)
    pids = [pool._nurse, *children_of(pool._nurse)]
    pool.close()
    with pytest.raises(SandboxError):
        await asyncio.wait_for(task, 10)
    assert not any(map(is_alive, pids))


WORKER = """
import sys, time
from milter.adapters.sandbox import Pool
pool = Pool({"x": lambda request, octets, ask: b""}, size=2)
pool.start()
print(pool._nurse, flush=True)
time.sleep(60)
"""


def test_no_child_outlives_its_worker() -> None:
    """A worker that is killed takes nurse and children with it, also those that wait for work."""
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        nurse = int(worker.stdout.readline())
        pids = [nurse, *born_of(nurse)]
        worker.kill()
    deadline = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    """Whether a process is there and no mere entry that nobody has read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
