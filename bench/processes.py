"""Starts programs of the bench on a core of their own, and reads what a whole process tree used, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int]:
    """The core of the measured program and that of all others; the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], core: int, errors: Path) -> Iterator[subprocess.Popen[str]]:
    """A program on one core, told to stop by its pid at the end. Its error output is added to a file."""
    with running_anywhere(command, errors) as process:
        os.sched_setaffinity(process.pid, {core})
        yield process


@contextlib.contextmanager
def running_anywhere(command: Sequence[str], errors: Path) -> Iterator[subprocess.Popen[str]]:
    """The same on all cores."""
    with errors.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True)
    try:
        yield process
    finally:
        finish(process)


def finish(process: subprocess.Popen[str], seconds: float = 20) -> str:
    """Stop it (when it still runs) and give what it printed last."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        printed, _ = process.communicate(timeout=seconds) if process.stdout and not process.stdout.closed else ("", "")
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
    return printed.strip()


def wait_for_220(port: int, process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            if link.recv(512).startswith(b"220"):
                return
        time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} does not answer on port {port}")


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, ended and waited-for children included."""
    return _sum(pid, lambda one: sum(int(field) for field in _stat(one)[11:15])) / _TICKS


def memory_mb(pid: int) -> float:
    """Resident memory of the tree; what its processes share counts for each of them."""
    return _sum(pid, _pages) * _PAGE / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory of one process."""
    return _pages(pid) * _PAGE / 1e6


def shared_mb(pid: int) -> float:
    """Memory of the tree, what its processes share counted once (PSS). Needs the right to look at them."""
    return _sum(pid, _pss) / 1e3


def _pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _sum(pid: int, measure: Callable[[int], int]) -> int:
    total = 0
    for one in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may have ended just now
            total += measure(one)
    return total


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (proc(5) field 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
