"""The units of deploy/systemd: what systemd thinks of them, and the service under a real systemd with all its restrictions.

The units are those that are shipped. Only a drop-in is beside them, through which the service sees the Python of the tests, and tests of the
watchdog wait less long.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from milter.fronts import parent, worker
from tests.daemons import gateway, systemd
from tests.daemons.stand import REPOSITORY, free_ports
from tests.daemons.systemd import DEPLOY, INSTALLED, SERVICE, SETTINGS, SOCKET, Systemd, booted
from tests.helpers.next_hop import FakeNextHop

pytestmark = [pytest.mark.daemons]

EXPOSURE = 2.0  # of `systemd-analyze security`, at most; 10 is a service without any restriction
QUICK = "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\nRestartSec=100ms\n"
MAIL = b"From: Anna <anna@colleague.test>\r\nTo: jeanne.martin@example.org\r\nSubject: lunch\r\n\r\nAt noon?\r\n"
LURE = (
    b"From: Mutuelle Lavande <service@clients-info.test>\r\nTo: jeanne.martin@example.org\r\nSubject: Remboursement en attente\r\n\r\n"
    b"Votre contrat sera suspendu sous 24 heures. Confirmez vos coordonnees bancaires : http://clients-info.test/rib\r\n"
)


# -- what systemd thinks of the files --


def unit(name: str) -> dict[str, list[tuple[str, str]]]:
    """Sections of a unit, each with its lines in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] = []
    for line in (DEPLOY / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            lines.append((key, value))
    return found


def setting(name: str, key: str) -> str:
    """The one value of a key of [Service] or [Socket]."""
    section = "Socket" if name.endswith(".socket") else "Service"
    (value,) = (value for one, value in unit(name)[section] if one == key)
    return value


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze WORDS`; skipped where it is missing."""
    if reason := systemd.why_no_tool():
        pytest.skip(reason)
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` accepts service and socket without a word (the command is named as it is installed, so it stands in for it)."""
    for name in (SERVICE, SOCKET):
        (tmp_path / name).write_text((DEPLOY / name).read_text("utf-8").replace(f"{INSTALLED}/bin/insurer-milter", "/bin/true"))
    done = analyze("verify", "--man=no", str(tmp_path / SERVICE), str(tmp_path / SOCKET))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_is_exposed_little(figures: list[str]) -> None:
    """`systemd-analyze security --offline` gives 2.0 at most."""
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={int(EXPOSURE * 10)}", str(DEPLOY / SERVICE))
    assert done.returncode == 0, done.stdout + done.stderr
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None
    assert 0 < float(level[1]) <= EXPOSURE
    figures.append(f"systemd-analyze security: exposure {level[1]} (10 is unrestricted, {EXPOSURE} the most that is allowed)")


def test_times_of_the_units_fit_those_of_the_service() -> None:
    """It is killed only after it has had its time to drain; the watchdog waits longer than a reload; the ports are the default's."""
    assert float(setting(SERVICE, "TimeoutStopSec")) > worker.DRAIN_SECONDS + 10 + 5
    assert float(setting(SERVICE, "WatchdogSec")) > parent.READY_SECONDS + parent.WATCH_SECONDS
    assert setting(SOCKET, "ListenStream") == "127.0.0.1:10025"
    assert setting(SERVICE, "ExecStart").endswith(f"serve --config {SETTINGS}")
    assert setting(SERVICE, "ExecReload").endswith(f"reload --config {SETTINGS}")


# -- the service under a real systemd --


@pytest.fixture(scope="module")
def port() -> int:
    """Where the service listens."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def hop_port() -> int:
    """Where the service expects its next hop."""
    return free_ports(1)[0]


def settings(port: int, hop_port: int, **more: Any) -> str:  # settings are YAML: anything
    """The settings file. The folder of data is the default, as in the unit."""
    values = {
        "hostname": "mx.example.org",
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{hop_port}"},
        "dns": {"resolvers": ["127.0.0.1:9"], "timeout_seconds": 0.3},
        "judge_seconds": 2,
        "registry": ["example"],
        "policy": "quarantine",
        "metrics": {"listen": "off"},
        **more,
    }
    return json.dumps(values)


@pytest.fixture(scope="module")
def system(port: int, hop_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """A systemd with our units and settings; skipped with the reason where none can run."""
    if reason := systemd.why_not():
        pytest.skip(reason)
    if not gateway.is_built():
        pytest.skip("the command insurer-milter is not installed beside this Python")
    probe = (DEPLOY / SERVICE).read_text("utf-8")
    probe = re.sub(
        r"^ExecStart=.*$", f"ExecStart={INSTALLED}/bin/python -m tests.daemons.confined /var/lib/insurer-milter", probe, flags=re.MULTILINE
    )
    probe = re.sub(r"^(ExecReload|WatchdogSec|NotifyAccess|Restart|RestartSec)=.*\n", "", probe, flags=re.MULTILINE)
    probe = probe.replace("Type=notify", f"Type=oneshot\nWorkingDirectory={REPOSITORY}\nStandardOutput=truncate:/run/probe.json")
    units = {
        f"{SERVICE}.d/test.conf": systemd.stand_in() + QUICK,
        f"{SOCKET}.d/test.conf": f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n",
        "probe.service": probe,
        "probe.service.d/test.conf": systemd.stand_in(),
    }
    with booted(tmp_path_factory.mktemp("systemd") / "stand", units) as made:
        write(made, settings(port, hop_port))
        yield made


def write(system: Systemd, text: str) -> None:
    """Write the settings."""
    (system.root / SETTINGS.lstrip("/")).write_text(text)


@pytest.fixture
def service(system: Systemd, port: int, hop_port: int) -> Iterator[Systemd]:
    """The system with the service running."""
    write(system, settings(port, hop_port))
    system.ctl("reset-failed", SERVICE)
    done = system.ctl("start", SERVICE)
    assert done.returncode == 0, done.stderr + system.log()[-3000:]
    yield system
    system.ctl("stop", SERVICE, SOCKET)


def main_pid(system: Systemd) -> int:
    """The main process as systemd knows it."""
    return int(system.show(SERVICE, "MainPID")["MainPID"])


def until(is_so: Callable[[], bool], seconds: float = 25) -> bool:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_so()


def greeting(port: int) -> str:
    """What a client reads first."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        return client.recv(512).decode()


def test_the_restrictions_hold_and_let_the_service_work(system: Systemd) -> None:
    """Under the unit's restrictions the libraries, the database, forks and the sandbox work; writing elsewhere, other sockets, mounts,

    memory that is written and run, and privileges are refused.
    """
    done = system.ctl("start", "probe.service")
    assert done.returncode == 0, system.log()[-3000:]
    found = json.loads((system.root / "run" / "probe.json").read_text())
    refused = {name: how for name, how in found.items() if how}
    assert set(refused) == {
        "write: /etc",
        "write: /opt",
        "write: /var",
        "read: /proc/1",
        "read: /dev/kmsg",
        "socket: netlink",
        "socket: packet",
        "socket: raw",
        "namespace: mount",
        "memory: written and run",
        "become root",
        "priority",
    }, found
    assert {"libraries", "database", "event loop", "fork", "resolver", "namespace: user and network"} <= found.keys() - refused.keys()
    assert sum(name.startswith("sandbox: ") for name in found) == 4


async def test_a_mail_goes_through_and_another_is_held(service: Systemd, port: int, hop_port: int) -> None:
    """One mail reaches the next hop, a lure lies in the quarantine below StateDirectory, owned by the service and closed to others."""

    def send(mail: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], mail)

    async with FakeNextHop(port=hop_port).running() as hop:
        await asyncio.to_thread(send, MAIL)
        await asyncio.to_thread(send, LURE)
        assert [got.content.endswith(MAIL) for got in hop.mails] == [True]
    words = ["setpriv", "--reuid=insurer-milter", "--regid=insurer-milter", "--clear-groups", f"{INSTALLED}/bin/insurer-milter"]
    if os.access("/root", os.X_OK) and any(one.startswith(("/root", "/home")) for one in systemd.seen_folders()):
        words = words[4:]  # the Python of the tests is closed to other users
    listed = service.run([*words, "quarantine", "list", "--json", "--config", SETTINGS])
    assert len(listed.stdout.splitlines()) == 1, listed.stderr
    data = service.root / "var/lib/insurer-milter"
    owner = service.run(["stat", "-c", "%U %a", "/var/lib/insurer-milter", "/var/lib/insurer-milter/control.sock"]).stdout.split()
    assert owner == ["insurer-milter", "700", "insurer-milter", "600"]
    assert not [path for path in data.rglob("*") if path.stat().st_mode & 0o077]


def test_a_reload_is_a_job_that_fails_with_a_broken_file(service: Systemd, port: int, hop_port: int) -> None:
    """`systemctl reload` takes a new policy; with a broken file it fails, the log names the key, and the service goes on as before."""
    before = main_pid(service)
    write(service, settings(port, hop_port, policy="tag"))
    assert service.ctl("reload", SERVICE).returncode == 0
    assert service.show(SERVICE, "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    write(service, settings(port, hop_port, policy="tagg"))
    done = service.ctl("reload", SERVICE)
    assert done.returncode != 0
    assert service.show(SERVICE, "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    assert "tagg" in service.log()
    assert main_pid(service) == before
    assert greeting(port).startswith("220 ")


def test_a_killed_parent_is_started_anew(service: Systemd, port: int) -> None:
    """Restart=on-failure: all of its processes go, and a new one serves."""
    before = main_pid(service)
    service.run(["kill", "-KILL", str(before)])
    assert until(lambda: main_pid(service) not in (0, before) and service.show(SERVICE, "ActiveState")["ActiveState"] == "active")
    assert greeting(port).startswith("220 ")


def test_a_hanging_parent_is_started_anew(service: Systemd, port: int) -> None:
    """A stopped process hears nothing and ends by nothing but the watchdog of systemd."""
    before = main_pid(service)
    service.run(["kill", "-STOP", str(before)])
    assert until(lambda: main_pid(service) not in (0, before) and service.show(SERVICE, "ActiveState")["ActiveState"] == "active", 40)
    assert greeting(port).startswith("220 ")


def test_a_stop_is_clean(service: Systemd) -> None:
    """SIGTERM goes to the parent alone, which ends its workers; systemd finds nothing left to kill."""
    assert service.ctl("stop", SERVICE).returncode == 0
    assert service.show(SERVICE, "ActiveState", "Result", "ExecMainStatus") == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert '"stopped"' in service.log()


def test_a_drained_service_stays_down(service: Systemd) -> None:
    """`drain` is a wish of the operator, no failure: nothing starts it anew."""
    done = service.run([f"{INSTALLED}/bin/insurer-milter", "drain", "--config", SETTINGS])
    assert done.returncode == 0, done.stderr
    assert until(lambda: service.show(SERVICE, "ActiveState")["ActiveState"] == "inactive", 10)
    time.sleep(1)
    assert service.show(SERVICE, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}


def test_a_wrong_file_is_not_tried_again_and_again(system: Systemd, port: int, hop_port: int) -> None:
    """It fails at once, the log says why, and after the file is mended a start is enough."""
    write(system, settings(port, hop_port, workers=0))
    assert system.ctl("start", SERVICE).returncode != 0
    time.sleep(0.5)
    said = system.show(SERVICE, "ActiveState", "SubState", "ExecMainStatus")
    assert said == {"ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "2"}
    assert "workers: must be from 1 to 64" in system.log()
    write(system, settings(port, hop_port))
    assert system.ctl("start", SERVICE).returncode == 0
    system.ctl("stop", SERVICE)


def test_the_socket_starts_the_service_and_outlives_it(system: Systemd, port: int, hop_port: int) -> None:
    """With the socket unit a first client starts the service, and during a restart clients wait and none is refused."""
    write(system, settings(port, hop_port, workers=2))
    assert system.ctl("start", SOCKET).returncode == 0
    try:
        assert greeting(port).startswith("220 ")
        assert system.show(SERVICE, "ActiveState")["ActiveState"] == "active"
        system.ctl("restart", "--no-block", SERVICE)
        for _ in range(10):
            assert greeting(port).startswith("220 ")
            time.sleep(0.2)
    finally:
        system.ctl("stop", SERVICE, SOCKET)
