"""Runs in the place of the service, under the restrictions of its unit: does what the service must be able to do, and tries what it must not.

`python -m tests.daemons.confined DATA_DIR` prints one JSON object: name → what came of it ("" is success, else the kind of error).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import mmap
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import ahocorasick
import re2
import selectolax.lexbor
import uvloop
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from rapidfuzz.distance import OSA

from milter.adapters.sandbox import Pool
from milter.errors import SandboxError
from milter.model.sandbox import Ask

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000


def _native_code() -> None:
    """Each library of ours with native code, so far that it works."""
    assert re2.compile(r"\bmutuelle\b").search("la mutuelle lavande")
    automaton = ahocorasick.Automaton()
    automaton.add_word("lavande", 1)
    automaton.make_automaton()
    assert list(automaton.iter("lavande"))
    assert OSA.distance("lavande", "lavnade") == 1
    assert selectolax.lexbor.LexborHTMLParser("<p>x").text() == "x"
    key = rsa.generate_private_key(65537, 2048)
    key.public_key().verify(key.sign(b"x", padding.PKCS1v15(), SHA256()), b"x", padding.PKCS1v15(), SHA256())
    other = ed25519.Ed25519PrivateKey.generate()
    other.public_key().verify(other.sign(b"x"), b"x")


def _database(folder: Path) -> None:
    base = sqlite3.connect(folder / "probe.db")
    with base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE x (y)")
        base.execute("INSERT INTO x VALUES (1)")
    base.close()


def _loop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def _socket(family: int, kind: int) -> None:
    with socket.socket(family, kind):
        pass


def _resolver() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


def _namespace(kind: int) -> None:
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(0 if libc.unshare(kind) == 0 else 1)
    if os.waitpid(child, 0)[1]:
        raise PermissionError


def _write_and_run() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _where(_request: bytes, _octets: tuple[bytes, ...], _ask: Ask) -> bytes:
    """In a child of the sandbox: its network, and whether it can get a socket."""
    has_socket = False
    with suppress(OSError):
        socket.socket().close()
        has_socket = True
    return json.dumps([os.readlink("/proc/self/ns/net"), has_socket]).encode()


def _greedy(_request: bytes, _octets: tuple[bytes, ...], _ask: Ask) -> bytes:
    return b"x" * 2_000_000_000


async def _sandbox(pool: Pool) -> dict[str, str]:
    async def nothing(_question: bytes) -> bytes:
        raise ValueError

    network, has_socket = json.loads(await pool.run("where", b"", seconds=30, answer=nothing))
    found = {
        "sandbox: no network": "" if network != os.readlink("/proc/self/ns/net") else "same network",
        "sandbox: no socket": str(has_socket or ""),
    }
    for task, seconds, reason in (("greedy", 30, "killed-memory"), ("sleep", 1, "killed-deadline")):
        try:
            await pool.run(task, b"", seconds=seconds, answer=nothing)
            found[f"sandbox: {reason}"] = "it was let go on"
        except SandboxError as error:
            found[f"sandbox: {reason}"] = "" if error.reason == reason else error.reason
    return found


def _sleep(_request: bytes, _octets: tuple[bytes, ...], _ask: Ask) -> bytes:
    import time

    time.sleep(60)
    return b""


def _tried(what: Callable[[], object]) -> str:
    try:
        what()
    except Exception as error:
        return type(error).__name__
    return ""


def main(folder: Path) -> None:
    """Try everything and say what came of it."""
    pool = Pool({"where": _where, "greedy": _greedy, "sleep": _sleep}, memory_octets=200_000_000)
    pool.start()
    tried: dict[str, Callable[[], object]] = {
        "libraries": _native_code,
        "database": lambda: _database(folder),
        "event loop": _loop,
        "fork": _fork,
        "resolver": _resolver,
        "write: /etc": lambda: Path("/etc/insurer-milter/written").write_text("x"),
        "write: /opt": lambda: Path("/opt/insurer-milter/written").write_text("x"),
        "write: /var": lambda: Path("/var/written").write_text("x"),
        "read: /proc/1": lambda: Path("/proc/1/environ").read_bytes(),
        "read: /dev/kmsg": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY)),
        "socket: netlink": lambda: _socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "socket: packet": lambda: _socket(socket.AF_PACKET, socket.SOCK_RAW),
        "socket: raw": lambda: _socket(socket.AF_INET, socket.SOCK_RAW),
        "namespace: user and network": lambda: _namespace(_CLONE_NEWUSER | _CLONE_NEWNET),
        "namespace: mount": lambda: _namespace(_CLONE_NEWUSER | _CLONE_NEWNS),
        "memory: written and run": _write_and_run,
        "become root": lambda: os.setuid(0),
        "priority": lambda: os.nice(-5),
    }
    found = {name: _tried(what) for name, what in tried.items()}
    try:
        found |= asyncio.run(_sandbox(pool))
    except SandboxError as error:
        found["sandbox"] = str(error)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
