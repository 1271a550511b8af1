"""The inner side of the sandbox: a nurse process that forks children, and the life of a child, which does one task and is no more.

The nurse is forked from the worker before its event loop and threads; a child is forked from the nurse, so it has all that was loaded, by
copy-on-write, within milliseconds, and nothing of any mail before it. Must not know what the tasks do.

What binds a child, and who enforces it:

- time: the outer side's deadline, by SIGKILL through the nurse; beside it RLIMIT_CPU (kernel);
- memory: RLIMIT_AS, so much more than what it begins with (kernel; MemoryError inside);
- files and network: RLIMIT_NOFILE 0 (kernel): no socket, file or pipe can be opened any more; it holds its conversation with the worker and the
  octets of its mail, /dev/null, and nothing else, nor the memory that workers share (`Board.hide`). Where the system lets us (user
  namespaces), an empty network namespace beside it;
- RLIMIT_FSIZE 0, RLIMIT_CORE 0, RLIMIT_NPROC 0 (which does not bind root), PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE 0 (kernel);
- it dies with the nurse, and the nurse with the worker (PR_SET_PDEATHSIG, and the end of their conversations).

Not enforced: system calls are not filtered. Code of an attacker in a child could signal other processes of the same user; run the service under
a user of its own, and under systemd's filters (`deploy/systemd`).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from milter.adapters.log import bug_place
from milter.model.sandbox import Tasks

FRAME = struct.Struct("!cI")
"""Each message is a kind, its length, and so many octets."""
JOB, ANSWER = b"J", b"A"
BEGUN, QUESTION, RESULT, BROKE = b"B", b"Q", b"R", b"E"
FORK, END = b"F", b"E"
"""What the nurse is told, followed by the child's number; it answers END with number and wait status."""
SIZE = struct.Struct("!Q")
NUMBER, STATUS = struct.Struct("!cQ"), struct.Struct("!Qi")

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SOCKET, _OCTETS = 3, 4
_NICE = 10  # the worker, which has everybody's mail, comes first
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # sent to the whole service; the worker's end is ours


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one child: octets of address space beyond what it begins with, and seconds of CPU."""

    memory_octets: int
    cpu_seconds: int


def nurse(control: socket.socket, tasks: Tasks, bounds: Bounds) -> NoReturn:
    """The nurse's life. `control` is a SOCK_SEQPACKET; at its end all children are killed."""
    children: dict[int, int] = {}
    try:
        _settle(control.fileno())
        control = socket.socket(fileno=_SOCKET)
        while True:
            message, handles, _, _ = socket.recv_fds(control, NUMBER.size, 2)
            if not message:
                break
            kind, number = NUMBER.unpack(message)
            if kind == FORK:
                children[number] = _born(handles, tasks, bounds)
            else:
                control.send(STATUS.pack(number, _end(children.pop(number))))
    finally:
        for child in children.values():
            with suppress(OSError):
                _end(child)
        os._exit(0)


def _settle(*handles: int) -> None:
    """Die with the parent; keep these handles, as 3, 4 …, and no others; hear no signals meant for the service."""
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    above = [fcntl.fcntl(handle, fcntl.F_DUPFD, _SOCKET + len(handles)) for handle in handles]
    for place, handle in enumerate(above):
        os.dup2(handle, _SOCKET + place)
    os.closerange(_SOCKET + len(handles), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    os.close(nothing)


def _born(handles: list[int], tasks: Tasks, bounds: Bounds) -> int:
    child = os.fork()
    if child == 0:
        try:
            _settle(*handles)
            _confine(bounds)
            _live(tasks)
        finally:
            os._exit(0)
    for handle in handles:
        os.close(handle)
    return child


def _end(child: int) -> int:
    """Kill a child that is not over yet; how it ended."""
    os.kill(child, signal.SIGKILL)  # ours until we have waited, so nobody else can have its number
    return os.waitpid(child, 0)[1]


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _confine(bounds: Bounds) -> None:
    with suppress(OSError):
        os.nice(_NICE)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWNET)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of credentials clears it
    with open("/proc/self/statm", "rb") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    most = {
        resource.RLIMIT_AS: used + bounds.memory_octets,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # the last: nothing can be opened after it
    }
    for kind, value in most.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        after = value + (kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY)  # a second later, for who does not mind SIGXCPU
        resource.setrlimit(kind, (value, after))


def _live(tasks: Tasks) -> None:
    """One task."""
    outside = socket.socket(fileno=_SOCKET)
    kind, job = receive(outside)
    if kind != JOB:
        return
    send(outside, BEGUN)
    try:
        name, request, sizes = _read_job(job)
        result = tasks[name](request, _large(sizes), _asking(outside))
    except BaseException as bug:  # whatever it is, the outer side is told its type and place, never its text
        send(outside, BROKE, bug_place(bug).encode("utf-8", "replace")[:200])
        return
    send(outside, RESULT, result)


def job(name: str, request: bytes, sizes: tuple[int, ...]) -> bytes:
    """The octets of a job: what `_read_job` reads."""
    octets = name.encode("ascii")
    return b"".join((SIZE.pack(len(octets)), octets, SIZE.pack(len(sizes)), *map(SIZE.pack, sizes), request))


def _read_job(octets: bytes) -> tuple[str, bytes, list[int]]:
    end = SIZE.size + SIZE.unpack_from(octets)[0]
    name = octets[SIZE.size : end].decode("ascii")
    count = SIZE.unpack_from(octets, end)[0]
    end += SIZE.size
    sizes = [SIZE.unpack_from(octets, end + SIZE.size * place)[0] for place in range(count)]
    return name, octets[end + SIZE.size * count :], sizes


def _large(sizes: list[int]) -> tuple[bytes, ...]:
    found, start = [], 0
    for size in sizes:
        found.append(_read(start, size))
        start += size
    return tuple(found)


def _read(start: int, size: int) -> bytes:
    octets = os.pread(_OCTETS, size, start)
    while len(octets) < size:  # the system gives 2 GB at most
        more = os.pread(_OCTETS, size - len(octets), start + len(octets))
        if not more:
            raise EOFError
        octets += more
    return octets


def _asking(outside: socket.socket) -> Callable[[bytes], bytes]:
    def ask(question: bytes) -> bytes:
        send(outside, QUESTION, question)
        kind, answer = receive(outside)
        if kind != ANSWER:
            raise EOFError
        return answer

    return ask


def send(outside: socket.socket, kind: bytes, octets: bytes = b"") -> None:
    """One message, whole."""
    outside.sendall(FRAME.pack(kind, len(octets)) + octets)


def receive(outside: socket.socket) -> tuple[bytes, bytes]:
    """One message: its kind and its octets; kind "" at the end of the conversation."""
    head = _exactly(outside, FRAME.size)
    if not head:
        return b"", b""
    kind, size = FRAME.unpack(head)
    return kind, _exactly(outside, size)


def _exactly(outside: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = outside.recv(min(size, 1_048_576))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
