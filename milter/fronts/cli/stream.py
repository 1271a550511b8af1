"""Work on many items at once and give the results in the order of the items: in one event loop, or in several processes.

Knows nothing of mail. Many items are in flight in each loop, so that waiting for the DNS overlaps; a slow one holds back the
results behind it, not their work.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

_Boxed = tuple[A] | Exception | None

IN_FLIGHT = 32
WAITING = 1_024

Work = Callable[[A], Awaitable[R]]
# Opened inside the loop that uses it: a resolver belongs to one loop.
Workshop = Callable[[], AbstractAsyncContextManager[Work[A, R]]]


async def _run(source: Iterable[A], workshop: Workshop[A, R], emit: Callable[[R], None]) -> None:
    """Read from `source` and call `emit` in threads: neither may block the loop, or answers of the DNS would seem late."""
    running = asyncio.Semaphore(IN_FLIGHT)
    window: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue(WAITING)
    inbox: asyncio.Queue[_Boxed[A]] = asyncio.Queue()
    wanted = threading.Semaphore(IN_FLIGHT)
    threading.Thread(target=_read, args=(source, inbox.put_nowait, wanted, asyncio.get_running_loop()), daemon=True).start()

    async def one(work: Work[A, R], item: A) -> R:
        try:
            return await work(item)
        finally:
            running.release()

    async def start(work: Work[A, R]) -> None:
        while isinstance(boxed := await inbox.get(), tuple):
            wanted.release()
            await running.acquire()
            await window.put(asyncio.create_task(one(work, boxed[0])))
        await window.put(None)
        if boxed is not None:
            raise boxed

    async with workshop() as work:
        starting = asyncio.create_task(start(work))
        try:
            while (task := await window.get()) is not None:
                await asyncio.to_thread(emit, await task)
            await starting
        finally:
            starting.cancel()
            wanted.release()


def _read(source: Iterable[A], put: Callable[[_Boxed[A]], None], wanted: threading.Semaphore, loop: asyncio.AbstractEventLoop) -> None:
    """Thread: hand over every item in a box as far as it is wanted, then None, or the exception that ended the source."""
    with contextlib.suppress(RuntimeError):  # the loop has gone: nobody wants more
        try:
            for item in source:
                wanted.acquire()
                loop.call_soon_threadsafe(put, (item,))
        except RuntimeError:
            raise
        except Exception as wrong:
            loop.call_soon_threadsafe(put, wrong)
        else:
            loop.call_soon_threadsafe(put, None)


def in_one_process(source: Iterable[A], workshop: Workshop[A, R], emit: Callable[[R], None]) -> None:
    """Work on every item in this process; `emit` gets the results in order."""
    asyncio.run(_run(source, workshop, emit))


class _Worker(Generic[A, R]):
    """One forked process with its two pipes. Items go round robin, so results are awaited round robin."""

    def __init__(self, workshop: Workshop[A, R], others: list[_Worker[A, R]]) -> None:
        context = multiprocessing.get_context("fork")  # rules and registry are shared, not loaded again
        items_out, self.items = context.Pipe(duplex=False)
        self.results, results_in = context.Pipe(duplex=False)
        inherited = [self.items, self.results, *(end for other in others for end in (other.items, other.results))]
        self.process = context.Process(target=_serve, args=(items_out, results_in, inherited, workshop), daemon=True)
        self.process.start()
        items_out.close()
        results_in.close()

    def give(self, item: tuple[A] | None) -> None:
        """Hand an item over; nothing happens when the process has died (its results say so)."""
        try:
            self.items.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return


def _serve(items: Connection, results: Connection, inherited: list[Connection], workshop: Workshop[A, R]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    for end in inherited:
        end.close()

    def source() -> Iterator[A]:
        with contextlib.suppress(EOFError):  # the parent has gone
            while (boxed := items.recv()) is not None:
                yield boxed[0]

    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent has gone
        in_one_process(source(), workshop, results.send)


def in_processes(source: Iterable[A], workshop: Workshop[A, R], emit: Callable[[R], None], lost: Callable[[A], R], jobs: int) -> None:
    """The same in `jobs` processes. `lost` gives the result of an item whose process died (a crash, no memory)."""
    sys.stdout.flush()  # or each process would print what waits in the buffer
    workers: list[_Worker[A, R]] = []
    for _ in range(jobs):
        workers.append(_Worker(workshop, workers))
    given: queue.Queue[tuple[_Worker[A, R], A] | Exception | None] = queue.Queue(jobs * WAITING)

    def feed() -> None:
        end: Exception | None = None
        try:
            for number, item in enumerate(source):
                worker = workers[number % jobs]
                given.put((worker, item))
                worker.give((item,))
        except Exception as wrong:  # handed to the caller below
            end = wrong
        for worker in workers:
            worker.give(None)
        given.put(end)

    threading.Thread(target=feed, daemon=True).start()
    while isinstance(entry := given.get(), tuple):
        worker, item = entry
        try:
            result: R = worker.results.recv()
        except (EOFError, ConnectionResetError):
            result = lost(item)
        emit(result)
    for worker in workers:
        worker.process.join(10)
    if entry is not None:
        raise entry
