"""A real systemd for the tests: process 1 of a PID namespace of its own, over a throw-away copy of this machine's files, with our units alone.

It has its own mounts (an overlay, so that nothing is written to the machine), PID, IPC and cgroup namespaces; the network is the machine's, on
whose loopback the tests speak to the service. No unit of the machine is started: SYSTEMD_UNIT_PATH names our folder and nothing else.
Needs root, as making namespaces does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.daemons.stand import REPOSITORY, NotReadyError, bound_to_us

DEPLOY = REPOSITORY / "deploy" / "systemd"
SERVICE, SOCKET = "insurer-milter.service", "insurer-milter.socket"
INSTALLED = "/opt/insurer-milter"
SETTINGS = "/etc/insurer-milter/settings.yml"
_SYSTEMD = Path("/lib/systemd/systemd")
_TARGETS = ("sysinit", "basic", "sockets", "shutdown", "multi-user", "network-online", "ours")

# $1 scratch folder, $2 its units, then the folders that must be seen under their own names.
_BOOT = r"""
scratch=$1 units=$2; shift 2
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
for folder in "$@"; do mkdir -p ".$folder"; mount --rbind "$folder" ".$folder"; done
mkdir -p run/units opt/insurer-milter etc/insurer-milter old
cp -r "$units/." run/units
mount --rbind "$PREFIX" opt/insurer-milter
pivot_root . old
umount -l /old
systemd-sysusers /run/units/insurer-milter.sysusers.conf
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=insurer-milter SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none \
    SYSTEMD_LOG_TARGET=console SYSTEMD_SHOW_STATUS=no "$SYSTEMD" --system --unit=ours.target
"""


def why_no_tool() -> str:
    """The reason why `systemd-analyze` cannot be asked, or ""."""
    return "" if shutil.which("systemd-analyze") else "systemd-analyze is not installed (apt-get install systemd)"


@functools.cache
def why_not() -> str:
    """The reason why no systemd can be run here, or ""."""
    if os.geteuid() != 0:
        return "a systemd of our own needs root (it lives in namespaces); run the tests as root"
    if not _SYSTEMD.exists():
        return "systemd is not installed (apt-get install systemd)"
    if _cgroups() is None:
        return "no cgroup2 file system is mounted here, which systemd needs"
    tried = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--propagation", "private", "--cgroup", "--ipc", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces can be made here: {tried.stderr.strip()}" if tried.returncode else ""


def _cgroups() -> Path | None:
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def seen_folders() -> list[str]:
    """What the service needs to see besides what it would have where it is installed: the checkout and the Python of the tests."""
    wanted = dict.fromkeys((str(REPOSITORY), sys.prefix, sys.base_prefix))
    return [one for one in wanted if not one.startswith("/usr")]


def stand_in() -> str:
    """The drop-in for a service that runs from the checkout: it sees the folders of `seen_folders`, and its log is a file."""
    lines = ["[Service]", *(f"BindReadOnlyPaths={one}" for one in seen_folders()), "StandardError=append:/run/service.log"]
    if any(one.startswith(("/root", "/home")) for one in seen_folders()):
        lines.append("ProtectHome=tmpfs")  # as closed as `yes`, but for the folders above
    return "\n".join(lines) + "\n"


class Systemd:
    """One running systemd. `pid` is its number here; `root` leads into its files."""

    def __init__(self, scratch: Path, units: Mapping[str, str]) -> None:
        self._scratch, self._log = scratch / "root", scratch / "systemd.log"
        self._units = scratch / "units"
        self._cgroup = (_cgroups() or Path("/nowhere")) / f"insurer-milter-tests-{os.getpid()}-{time.monotonic_ns()}"
        self._write_units(units)
        self.pid = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> Path:
        """Its files, seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def _write_units(self, units: Mapping[str, str]) -> None:
        self._scratch.mkdir(parents=True)
        shutil.copytree(DEPLOY, self._units)
        more = {f"{name}.target": f"[Unit]\nDescription={name}\n" for name in _TARGETS} | dict(units)
        for name, text in more.items():
            (self._units / name).parent.mkdir(exist_ok=True)
            (self._units / name).write_text(text)

    def start(self) -> None:
        """Boot. Raises NotReadyError."""
        self._cgroup.mkdir()
        spaces = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount", "--propagation", "private", "--cgroup", "--ipc"]
        words = [str(self._scratch), str(self._units), *seen_folders()]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*bound_to_us(), "sh", "-c", 'echo $$ > "$0" && exec "$@"', self._cgroup / "cgroup.procs", *spaces, "sh", "-ec", _BOOT, "sh", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "PREFIX": sys.prefix, "SYSTEMD": str(_SYSTEMD)},
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            self.pid = _child_of(self.process.pid)
            if self.pid and self.ctl("is-active", "ours.target").stdout.strip() == "active":
                return
            time.sleep(0.05)
        self.stop()
        raise NotReadyError(f"systemd did not boot:\n{self._log.read_text('utf-8', 'replace')[-4000:]}")

    def stop(self) -> None:
        """End it and everything in it."""
        assert self.process is not None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # process 1: the kernel ends the namespace with it
        self.process.wait(20)
        deadline = time.monotonic() + 10
        while self._cgroup.exists() and time.monotonic() < deadline:
            for folder in sorted(self._cgroup.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                self._cgroup.rmdir()

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`systemctl WORDS`."""
        return self.run(["systemctl", "--no-pager", *words])

    def run(self, words: Sequence[str], *, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """A command among its processes and files, as root."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--ipc", "--cgroup"]
        return subprocess.run([*enter, *words], capture_output=True, text=True, timeout=seconds, check=False)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        said = self.ctl("show", unit, *(f"--property={name}" for name in names)).stdout
        return dict(line.split("=", 1) for line in said.splitlines())

    def log(self) -> str:
        """What the service wrote to stderr."""
        path = self.root / "run" / "service.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def said(self) -> str:
        """What systemd itself wrote."""
        return self._log.read_text("utf-8", "replace")


def _child_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8") if Path(f"/proc/{pid}").exists() else ""
    return int(text.split()[0]) if text.split() else 0


@contextlib.contextmanager
def booted(scratch: Path, units: Mapping[str, str]) -> Iterator[Systemd]:
    """A `Systemd` with our units and these more; `NAME.service.d/x.conf` is a drop-in."""
    system = Systemd(scratch, units)
    system.start()
    try:
        yield system
    finally:
        system.stop()
