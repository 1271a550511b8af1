"""What is said to systemd, and what is taken from it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from milter.errors import ListenError
from milter.fronts import notify


def hand_over(monkeypatch: pytest.MonkeyPatch, number: int, count: str = "1", pid: str = "") -> None:
    """Say what systemd says of `count` files from `number` on."""
    monkeypatch.setattr(notify, "_FIRST", number)
    monkeypatch.setenv("LISTEN_PID", pid or str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_FDNAMES", "x")


@pytest.mark.parametrize("is_abstract", [False, True], ids=["path", "abstract"])
def test_it_tells_the_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_abstract: bool) -> None:
    """A state reaches the socket that NOTIFY_SOCKET names, also one in the abstract namespace."""
    name = f"@insurer-milter-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify.tell("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("value", [None, "", "relative", "/no/such/socket", "@nobody-listens-here"])
def test_without_a_manager_it_says_nothing(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that is not there, or no name of one, is no trouble."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    notify.tell("READY=1")
    assert os.environ.get("NOTIFY_SOCKET") == value


def test_it_takes_listening_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that was opened for us is taken as it is, no program that we start inherits it, and nobody takes it twice."""
    made = socket.create_server(("127.0.0.1", 0))
    port, number = made.getsockname()[1], made.detach()
    os.set_inheritable(number, True)
    hand_over(monkeypatch, number)
    (taken,) = notify.handed_sockets()
    with taken:
        assert (taken.getsockname()[1], taken.getblocking(), os.get_inheritable(taken.fileno())) == (port, False, False)
        assert not any(name.startswith("LISTEN_") for name in os.environ)
        assert notify.handed_sockets() == []


@pytest.mark.parametrize(("count", "pid"), [("1", "1"), ("1", "nonsense"), ("", ""), ("one", ""), ("-1", ""), ("0", "")])
def test_sockets_of_others_are_not_taken(count: str, pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for another process, or that make no sense, are passed over."""
    hand_over(monkeypatch, 0, count, pid)
    assert notify.handed_sockets() == []


def test_what_does_not_listen_for_tcp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix socket, a connection, a file and a closed number are each refused with a sentence that says what to write."""
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(str(tmp_path / "socket"))
    unix.listen()
    idle = socket.socket()
    plain = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    for number, said in ((unix.detach(), "does not listen for TCP"), (idle.detach(), "does not listen for TCP"), (plain, "is no socket")):
        hand_over(monkeypatch, number)
        with pytest.raises(ListenError, match=rf"file {number}.* {said}.*ListenStream=IP:PORT"):
            notify.handed_sockets()
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    hand_over(monkeypatch, closed)
    with pytest.raises(ListenError, match="is no socket"):
        notify.handed_sockets()
    os.close(plain)
