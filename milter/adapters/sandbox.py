"""Child processes for work on hostile octets: `Pool` fulfils `model.sandbox.Sandbox`.

The outer side, in the worker's event loop; `sandbox_child` is the inner one and says what binds a child. A child does one task: no mail meets
what another left behind, and one that is killed is replaced like one that is done. Large octets go through memory that both sides hold
(memfd), not through the conversation. What a child says is hostile: its messages have limits, and the result is octets for a strict reader.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from milter.adapters import sandbox_child as inner
from milter.errors import SandboxError
from milter.model.sandbox import Answer, Tasks

MAX_MESSAGE = 33_554_432  # octets of the result of a child
MAX_QUESTION = 1_048_576  # octets of anything else that it says
MAX_QUESTIONS = 2_000  # of one task
_PLACE = re.compile(r"\w{1,60}(?: at [\w./-]{1,200}:\d{1,9} in [\w<>]{1,60})?", re.ASCII)  # what `log.bug_place` says; it is logged
_STATUS_SECONDS = 10.0
_REASONS: dict[int, str] = {signal.SIGXCPU: "killed-cpu", signal.SIGKILL: "killed-by-system"}  # the latter by who has too little memory for all
_AT_ONCE = 262_144  # octets that may be copied on the event loop


@dataclass(frozen=True, slots=True)
class _Child:
    number: int
    talk: socket.socket
    memory: int


class _Unborn(Exception):  # noqa: N818  # no error: another child is taken
    """The child was dead before it took up its task."""


class Pool:
    """Runs each task in a child of its own, `size` of them at once; more wait in order.

    `start` before the event loop and before any thread; `run` and `close` by the event loop that uses it. `killed` counts tasks without a
    result of their own (deadline, limits, crash, nonsense), `restarted` children that had to be replaced although they had done nothing.
    `failure` says why the pool is of no more use, "" while it is.
    """

    def __init__(self, tasks: Tasks, *, size: int = 1, memory_octets: int = 1_073_741_824, cpu_seconds: int = 60) -> None:
        self.killed = 0
        self.restarted = 0
        self.failure = "not started"
        self.waiting = 0
        self._tasks, self._size = tasks, size
        self._bounds = inner.Bounds(memory_octets, cpu_seconds)
        self._nurse = 0
        self._control: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._born = 0
        self._ready: asyncio.Queue[_Child | None] = asyncio.Queue()
        self._children: dict[int, _Child] = {}
        self._busy: set[int] = set()
        self._ended: set[int] = set()
        self._ends: dict[int, asyncio.Future[int]] = {}

    def start(self) -> None:
        """Fork the nurse and the first children. In a process without threads and outside an event loop. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._nurse = os.fork()
        if self._nurse == 0:
            inner.nurse(theirs, self._tasks, self._bounds)
        theirs.close()
        self._control = ours
        self.failure = ""
        for _ in range(self._size):
            self._fork()

    def close(self) -> None:
        """End all children. Tasks under way get SandboxError."""
        if self._control is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._control)
        self._fail("closed")
        self._control.close()
        self._control = None
        for child in tuple(self._children.values()):
            child.talk.shutdown(socket.SHUT_RDWR)  # who listens hears the end, and lets go of it by itself
            if child.number not in self._busy:
                self._release(child)
        with suppress(ChildProcessError):
            os.waitpid(self._nurse, 0)

    async def run(self, task: str, request: bytes, octets: Sequence[bytes] = (), *, seconds: float, answer: Answer) -> bytes:
        """See `model.sandbox.Sandbox.run`."""
        self._attach()
        while True:
            child = await self._free()
            is_done = False
            try:
                result = await self._task(child, inner.job(task, request, tuple(map(len, octets))), octets, seconds, answer)
                is_done = True
                return result
            except _Unborn:
                self.restarted += 1
            except SandboxError:
                self.killed += 1
                raise
            finally:
                self._replace(child, is_done=is_done)

    async def _free(self) -> _Child:
        self.waiting += 1
        try:
            if self.failure:
                raise SandboxError("sandbox-failed", self.failure)
            child = await self._ready.get()
        finally:
            self.waiting -= 1
        if self.failure or child is None:
            raise SandboxError("sandbox-failed", self.failure)
        self._busy.add(child.number)
        return child

    # -- one task --

    async def _task(self, child: _Child, job: bytes, octets: Sequence[bytes], seconds: float, answer: Answer) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                await _fill(child.memory, octets)
                return await self._converse(child, job, answer)
        except TimeoutError:
            raise SandboxError("killed-deadline", f"no result in {seconds:g} s") from None
        except ConnectionError:
            raise await self._death(child, has_begun=True) from None

    async def _converse(self, child: _Child, job: bytes, answer: Answer) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(child.talk, inner.FRAME.pack(inner.JOB, len(job)) + job)
            kind, _ = await _message(child.talk)
        except ConnectionError:
            raise await self._death(child, has_begun=False) from None
        for _ in range(MAX_QUESTIONS):
            kind, octets = await _message(child.talk)
            if kind == inner.RESULT:
                return octets
            if kind == inner.BROKE:
                place = octets.decode("ascii", "replace")
                place = place if _PLACE.fullmatch(place) else "at a place that is none"
                raise SandboxError("killed-memory" if place.startswith("MemoryError") else "broke-in-sandbox", place)
            if kind != inner.QUESTION:
                break
            try:
                reply = await answer(octets)
            except ValueError:
                break
            await loop.sock_sendall(child.talk, inner.FRAME.pack(inner.ANSWER, len(reply)) + reply)
        raise SandboxError("killed-nonsense", "the child said what no child says")

    async def _death(self, child: _Child, *, has_begun: bool) -> Exception:
        """Why a child ended by itself."""
        status = await self._status(child)
        if not has_begun:
            return _Unborn()
        if not os.WIFSIGNALED(status):
            return SandboxError("crashed", f"the child ended with exit code {os.waitstatus_to_exitcode(status)}")
        if self.failure:
            return SandboxError("sandbox-failed", self.failure)
        number = os.WTERMSIG(status)
        return SandboxError(_REASONS.get(number, "crashed"), f"the child ended by {signal.Signals(number).name}")

    # -- children --

    def _attach(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None and self._control is not None:
            self._loop = loop
            loop.add_reader(self._control, self._heard)

    def _heard(self) -> None:
        """The nurse says how a child ended, or is gone itself."""
        assert self._control is not None
        try:
            message = self._control.recv(inner.STATUS.size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if len(message) != inner.STATUS.size:
            asyncio.get_running_loop().remove_reader(self._control)
            self._fail("the process that makes the children is gone")
            return
        number, status = inner.STATUS.unpack(message)
        waiting = self._ends.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(status)

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        for waiting in self._ends.values():
            if not waiting.done():
                waiting.set_result(signal.SIGKILL)
        self._ends.clear()
        for _ in range(self.waiting):  # who waits for a child wakes up and finds the failure
            self._ready.put_nowait(None)

    def _fork(self) -> None:
        assert self._control is not None
        self._born += 1
        ours, theirs = socket.socketpair()
        memory = -1
        try:
            memory = os.memfd_create("mail", os.MFD_CLOEXEC)
            socket.send_fds(self._control, [inner.NUMBER.pack(inner.FORK, self._born)], [theirs.fileno(), memory])
        except OSError:
            ours.close()
            if memory >= 0:
                os.close(memory)
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        child = self._children[self._born] = _Child(self._born, ours, memory)
        self._ready.put_nowait(child)

    def _replace(self, child: _Child, *, is_done: bool) -> None:
        """The place of a child gets a new one; the old one is killed if it still lives."""
        if child.number not in self._children:
            return
        self._say_end(child)
        self._release(child)
        if self.failure:
            return
        try:
            self._fork()
        except OSError as error:
            self._fail(f"no new child: {error}")

    def _release(self, child: _Child) -> None:
        self._ended.discard(child.number)
        self._busy.discard(child.number)
        if self._children.pop(child.number, None) is not None:
            child.talk.close()
            os.close(child.memory)

    def _say_end(self, child: _Child) -> None:
        if child.number in self._ended or self._control is None:
            return
        self._ended.add(child.number)
        try:
            self._control.send(inner.NUMBER.pack(inner.END, child.number))
        except OSError as error:
            self._fail(f"the process that makes the children does not listen: {error}")

    async def _status(self, child: _Child) -> int:
        """The wait status of a child that has ended its conversation; it is killed if it still lives."""
        if self.failure:
            return int(signal.SIGKILL)
        waiting = self._ends[child.number] = asyncio.get_running_loop().create_future()
        self._say_end(child)
        try:
            return await asyncio.wait_for(waiting, _STATUS_SECONDS)
        except TimeoutError:
            return int(signal.SIGKILL)


async def _fill(memory: int, octets: Sequence[bytes]) -> None:
    """Write the octets one after the other. The system's copy needs no interpreter, so large ones go in a thread."""
    if not octets:
        return
    if sum(map(len, octets)) <= _AT_ONCE:
        _write(memory, octets)
        return
    handle = os.dup(memory)  # the thread's own: who is cancelled closes the other

    def write() -> None:
        try:
            _write(handle, octets)
        finally:
            os.close(handle)

    await asyncio.to_thread(write)


def _write(handle: int, octets: Sequence[bytes]) -> None:
    start = 0
    for one in octets:
        view = memoryview(one)
        while view:
            done = os.pwrite(handle, view, start)
            view, start = view[done:], start + done


async def _message(talk: socket.socket) -> tuple[bytes, bytes]:
    kind, size = inner.FRAME.unpack(await _exactly(talk, inner.FRAME.size))
    if size > (MAX_MESSAGE if kind == inner.RESULT else MAX_QUESTION):
        raise SandboxError("killed-nonsense", "the child said more than a child may")
    return kind, await _exactly(talk, size)


async def _exactly(talk: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    octets = bytearray()
    while len(octets) < size:
        part = await loop.sock_recv(talk, min(size - len(octets), 1_048_576))
        if not part:
            raise ConnectionResetError
        octets += part
    return bytes(octets)
