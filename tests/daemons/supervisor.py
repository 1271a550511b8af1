"""A small service manager, as systemd(1) does it for `Type=notify`: sockets handed over, states heard from the main process alone, a watchdog."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.daemons.gateway import COMMAND

_FIRST = 3
_SERVE = 'exec "$@"'
_CREDENTIALS = struct.Struct("3i")


class Supervisor:
    """Starts and watches one service. `states` is what its main process said, in order; `strangers` what other processes said."""

    def __init__(self, folder: Path, sockets: Sequence[socket.socket] = (), watchdog: float = 0.0) -> None:
        self.log = folder / "service.log"
        self.states: list[str] = []
        self.strangers: list[str] = []
        self._sockets, self._watchdog = sockets, watchdog
        self._place = folder / "notify"
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._ear.bind(str(self._place))
        self.process: subprocess.Popen[bytes]

    def start(self, config: Path) -> None:
        """Start `serve` as systemd would."""
        more = {"NOTIFY_SOCKET": str(self._place)}
        if self._watchdog:
            more["WATCHDOG_USEC"] = str(int(self._watchdog * 1e6))
        numbers = [one.fileno() for one in self._sockets]
        script = _SERVE
        if numbers:
            more["LISTEN_FDS"] = str(len(numbers))
            script = "LISTEN_PID=$$ " + script + "".join(f" {_FIRST + place}<&{number}" for place, number in enumerate(numbers))
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", script, "bash", COMMAND, "serve", "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **more},
                pass_fds=numbers,
            )

    def wait_for(self, state: str, seconds: float = 20) -> str:
        """The next message that begins with `state`. Raises AssertionError when the service ends or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            said = self._hear(min(deadline - time.monotonic(), 0.2))
            if said.startswith(state):
                return said
            if not said and self.process.poll() is not None:
                break
        raise AssertionError(f"no {state} (exit code {self.process.poll()}), but {self.states}\n{self.log.read_text()[-3000:]}")

    def guard(self, seconds: float) -> bool:
        """Watch the watchdog for so long; True when it was missed and the service therefore killed."""
        until = time.monotonic() + seconds
        heard = time.monotonic()
        while time.monotonic() < until:
            if self._hear(0.1) == "WATCHDOG=1":
                heard = time.monotonic()
            elif time.monotonic() - heard > self._watchdog:
                self.process.send_signal(signal.SIGABRT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.5)
                self.process.kill()
                self.process.wait(10)
                return True
        return False

    def _hear(self, seconds: float) -> str:
        self._ear.settimeout(max(seconds, 0.01))
        try:
            octets, more, _, _ = self._ear.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        except TimeoutError:
            return ""
        pid = _CREDENTIALS.unpack(more[0][2])[0]
        said = octets.decode()
        (self.states if pid == self.process.pid else self.strangers).append(said)
        return said if pid == self.process.pid else ""

    def close(self) -> None:
        """Kill the service if it still runs; its workers end when they hear nothing more of it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._ear.close()


@contextlib.contextmanager
def supervising(folder: Path, sockets: Sequence[socket.socket] = (), watchdog: float = 0.0) -> Iterator[Supervisor]:
    """A `Supervisor` whose service ends with the block."""
    one = Supervisor(folder, sockets, watchdog)
    try:
        yield one
    finally:
        one.close()
