"""The service under a manager that does as systemd does: it says when it is ready, reloads and stops, and does not go on when it hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import gateway
from tests.daemons.supervisor import Supervisor, supervising
from tests.helpers.ports import free_port

pytestmark = [
    pytest.mark.daemons,
    pytest.mark.skipif(not gateway.is_built(), reason="the command insurer-milter is not installed beside this Python"),
]


def settings(folder: Path, port: int, **more: Any) -> Path:  # settings are YAML: anything
    """A settings file; nobody is its next hop and nobody its DNS."""
    values = {
        "hostname": "mx.example.org",
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{free_port()}"},
        "dns": {"resolvers": ["127.0.0.1:9"], "timeout_seconds": 0.3},
        "registry": ["example"],
        "policy": "tag",
        "data_dir": str(folder / "data"),
        "metrics": {"listen": "off"},
        **more,
    }
    path = folder / "settings.yml"
    path.write_text(json.dumps(values))
    return path


def command(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Another command with the same settings."""
    return subprocess.run([gateway.COMMAND, *words, "--config", config], capture_output=True, text=True, timeout=60, check=False)


def greeting(port: int, seconds: float = 20) -> str:
    """What a client reads first."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        return client.recv(512).decode()


def workers(supervisor: Supervisor) -> list[int]:
    """Their process ids, from the log."""
    lines = [json.loads(line) for line in supervisor.log.read_text().splitlines()]
    return next(list(line["workers"]) for line in reversed(lines) if line["event"] == "listening")


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ready_means_ready_and_the_end_is_said(tmp_path: Path) -> None:
    """READY=1 comes when a client gets its greeting at once, STOPPING=1 before the end, and only the main process speaks."""
    port = free_port()
    with supervising(tmp_path) as supervisor:
        supervisor.start(settings(tmp_path, port, workers=2))
        supervisor.wait_for("READY=1")
        assert greeting(port, 1).startswith("220 mx.example.org")
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.wait_for("STOPPING=1")
        assert supervisor.process.wait(20) == 0
        assert supervisor.strangers == []


@pytest.mark.parametrize("is_broken", [False, True], ids=["good", "broken"])
def test_a_reload_is_said_from_begin_to_end(tmp_path: Path, *, is_broken: bool) -> None:
    """RELOADING=1 with the time, then READY=1, also when a broken file is refused; the command tells the two apart by its exit code."""
    port = free_port()
    config = settings(tmp_path, port)
    with supervising(tmp_path) as supervisor:
        supervisor.start(config)
        supervisor.wait_for("READY=1")
        if is_broken:
            config.write_text(config.read_text().replace('"tag"', '"tagg"'))
        done = command(config, "reload")
        assert done.returncode == (2 if is_broken else 0), done.stderr
        assert ("tagg" in done.stderr) == is_broken
        assert supervisor.wait_for("RELOADING=1").split("\n")[1].startswith("MONOTONIC_USEC=")
        supervisor.wait_for("READY=1")
        assert greeting(port).startswith("220 ")


def test_the_port_of_the_manager_outlives_the_service(tmp_path: Path) -> None:
    """A client that comes before the service waits and gets its greeting; so does one that comes while the service is dead."""
    with socket.create_server(("127.0.0.1", 0)) as held, supervising(tmp_path, [held]) as supervisor:
        port = held.getsockname()[1]
        config = settings(tmp_path, port, workers=2)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as early:
            supervisor.start(config)
            assert early.recv(512).startswith(b"220 ")
        supervisor.wait_for("READY=1")
        supervisor.process.kill()
        supervisor.process.wait(10)
        deadline = time.monotonic() + 10
        while any(map(lives, workers(supervisor))) and time.monotonic() < deadline:
            time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as between:
            supervisor.start(config)
            assert between.recv(512).startswith(b"220 ")


def test_sockets_that_the_settings_do_not_name_are_refused(tmp_path: Path) -> None:
    """Settings and socket unit must agree, else the check for a mail loop would look at the wrong address."""
    with socket.create_server(("127.0.0.1", 0)) as held, supervising(tmp_path, [held]) as supervisor:
        supervisor.start(settings(tmp_path, 2525))
        assert supervisor.process.wait(20) == 3
        said = supervisor.log.read_text()
        assert f"listens on 127.0.0.1:{held.getsockname()[1]}, but `smtp.listen` says 127.0.0.1:2525" in said


def test_a_service_that_lives_keeps_its_watchdog_quiet(tmp_path: Path) -> None:
    """It says WATCHDOG=1 more than twice within the shortest time that the documentation allows."""
    with supervising(tmp_path, watchdog=5) as supervisor:
        supervisor.start(settings(tmp_path, free_port()))
        supervisor.wait_for("READY=1")
        assert not supervisor.guard(8)
        assert supervisor.states.count("WATCHDOG=1") >= 3


def test_a_parent_that_hangs_is_killed_and_its_workers_end(tmp_path: Path) -> None:
    """The watchdog finds it; no worker stays behind and holds port or data, so the next one starts at once."""
    port = free_port()
    config = settings(tmp_path, port)
    with supervising(tmp_path, watchdog=5) as supervisor:
        supervisor.start(config)
        supervisor.wait_for("READY=1")
        supervisor.process.send_signal(signal.SIGSTOP)
        assert supervisor.guard(12)
        deadline = time.monotonic() + 10
        while any(map(lives, workers(supervisor))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(lives, workers(supervisor)))
        supervisor.start(config)
        supervisor.wait_for("READY=1")
        assert greeting(port).startswith("220 ")


def test_a_worker_that_dies_is_replaced_and_the_manager_need_not_know(tmp_path: Path) -> None:
    """Nothing is said to the manager but that all is well."""
    port = free_port()
    with supervising(tmp_path, watchdog=10) as supervisor:
        supervisor.start(settings(tmp_path, port))
        supervisor.wait_for("READY=1")
        (worker,) = workers(supervisor)
        os.kill(worker, signal.SIGKILL)
        with contextlib.suppress(OSError, smtplib.SMTPException):
            greeting(port, 5)
        supervisor.wait_for("WATCHDOG=1")
        assert greeting(port).startswith("220 ")
        assert set(supervisor.states) == {"READY=1", "WATCHDOG=1"}
        assert '"worker died"' in supervisor.log.read_text()


def test_a_drain_is_an_end_that_the_manager_hears_of(tmp_path: Path) -> None:
    """`drain` ends the service as a stop does: STOPPING=1 and exit code 0, so that Restart=on-failure leaves it alone."""
    config = settings(tmp_path, free_port())
    with supervising(tmp_path) as supervisor:
        supervisor.start(config)
        supervisor.wait_for("READY=1")
        assert command(config, "drain").returncode == 0
        supervisor.wait_for("STOPPING=1")
        assert supervisor.process.wait(20) == 0
