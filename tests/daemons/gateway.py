"""The gateway as an operator runs it: `insurer-milter serve --config FILE`, its own process, stopped by its pid.

Beside it the DNS that the tests give it: a name server that answers every question in one and the same way.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.daemons.stand import bound_to_us, free_ports, stop, wait_for_port

COMMAND = Path(sys.executable).parent / "insurer-milter"
HOSTNAME = "gate.insured.example"
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class FlatDns:
    """A name server on loopback whose every answer is the same code without records (RFC 1035 §4.1.1), or none at all.

    `silent` may be changed at any time. Between `hold` and `release` questions wait for their answers.
    """

    def __init__(self, rcode: int = NXDOMAIN, *, seconds: float = 0.0, silent: bool = False, port: int = 0) -> None:
        self.rcode = rcode
        self.seconds = seconds
        self.silent = silent
        self.questions = 0
        self._held: list[tuple[bytes, tuple[str, int]]] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stop; the port is dead afterwards."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def hold(self) -> None:
        """Keep the answers back."""
        self._held = []

    def release(self) -> None:
        """Give the answers that were kept back, and all others at once again."""
        held, self._held = self._held, None
        for query, peer in held or ():
            self._answer(query, peer)

    def _serve(self) -> None:
        while True:
            try:
                query, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            self.questions += 1
            if self.silent:
                continue
            held = self._held
            if held is not None:
                held.append((query, peer))
            elif self.seconds:
                timer = threading.Timer(self.seconds, self._answer, (query, peer))
                timer.daemon = True
                timer.start()
            else:
                self._answer(query, peer)

    def _answer(self, query: bytes, peer: tuple[str, int]) -> None:
        end = 12
        while query[end]:
            end += 1 + query[end]
        # QR, RD, RA and the code; the question alone.
        head = query[:2] + bytes((0x81, 0x80 | self.rcode)) + b"\0\1" + bytes(6)
        with contextlib.suppress(OSError):
            self._socket.sendto(head + query[12 : end + 5], peer)


@contextlib.contextmanager
def flat_dns(rcode: int = NXDOMAIN, *, seconds: float = 0.0, silent: bool = False) -> Iterator[FlatDns]:
    """A `FlatDns` that runs as long as the block."""
    server = FlatDns(rcode, seconds=seconds, silent=silent)
    try:
        yield server
    finally:
        server.close()


class Gateway:
    """One running `serve`. `port` takes SMTP; `folder` holds its settings, its log and its data."""

    def __init__(self, folder: Path, port: int, settings: Mapping[str, Any]) -> None:  # settings are YAML: anything
        self.folder = folder
        self.port = port
        self.config = folder / "settings.yml"
        self.log = folder / "gateway.log"
        self.settings = dict(settings)
        self.data = Path(settings["data_dir"])
        self.log.write_bytes(b"")
        self.write_settings(self.settings)
        self.start()

    def write_settings(self, settings: Mapping[str, Any]) -> None:  # as above
        """Write other settings into its file; it is not told."""
        text = json.dumps(settings)  # JSON is YAML
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.config)

    def start(self) -> None:
        """Start it, in a process group of its own; its log is continued. It may not answer yet: see `wait_until_ready`."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*bound_to_us(), COMMAND, "serve", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait until it takes mail. Raises NotReadyError."""
        wait_for_port(self.port, self.process, self.log)

    def kill_everything(self) -> None:
        """SIGKILL to parent, workers and their children at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def command(self, *words: str) -> str:
        """Run another command with the same settings and give what it prints. Raises AssertionError with its output when it fails."""
        done = self.try_command(*words)
        if done.returncode != 0:
            raise AssertionError(f"insurer-milter {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def try_command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same settings, whatever comes of it."""
        return subprocess.run([COMMAND, *words, "--config", self.config], capture_output=True, text=True, timeout=60, check=False)

    def ask(self, **request: object) -> dict[str, Any]:  # JSON
        """Ask the control socket. Raises OSError or ValueError when the service is not there, or goes while it is asked."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(60)
            link.connect(str(self.data / "control.sock"))
            link.sendall(json.dumps(request).encode() + b"\n")
            with link.makefile("rb") as stream:
                return dict(json.loads(stream.readline()))

    def status(self) -> dict[str, Any]:  # JSON
        """What `status --json` says, without the cost of a command."""
        return self.ask(do="status")

    def workers(self) -> list[int]:
        """The processes that take mail now."""
        return [one["pid"] for one in self.status()["workers"] if one["state"] == "serving"]

    def status_connections(self) -> int:
        """Open SMTP connections."""
        return sum(one["connections"] for one in self.status()["workers"])

    def log_text(self) -> str:
        """The log so far."""
        return self.log.read_text("utf-8", "replace")

    def events(self, name: str = "") -> list[dict[str, Any]]:  # JSON
        """The whole lines of the log so far, or those of one event."""
        whole = self.log_text().rpartition("\n")[0].split("\n")
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [one for one in found if one["event"] == name] if name else found

    def metrics_text(self) -> str:
        """What /metrics says; the settings name `metrics.listen`."""
        with urllib.request.urlopen(f"http://{self.settings['metrics']['listen']}/metrics", timeout=20) as answer:
            return str(answer.read().decode())

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name and labels as written: `name{label="value"}`, without the name's beginning that all share."""
        lines = [line.rpartition(" ") for line in self.metrics_text().splitlines() if line and not line.startswith("#")]
        return {name.removeprefix("insurer_milter_"): float(value) for name, _, value in lines}


@contextlib.contextmanager
def serving(folder: Path, port: int, *, next_hop: int, dns: int, smtp: Mapping[str, Any] | None = None, **more: Any) -> Iterator[Gateway]:  # YAML
    """A gateway on `port` in front of `next_hop`, asking the name server on port `dns`; `more` are further settings."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "hostname": HOSTNAME,
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{next_hop}", "trusted_peers": ["127.0.0.1", "::1"], **(smtp or {})},
        "dns": {"resolvers": [f"127.0.0.1:{dns}"], **more.pop("dns_more", {})},
        "policy": "tag",
        "registry": ["fr"],
        "data_dir": str(folder / "data"),
        "metrics": {"listen": f"127.0.0.1:{free_ports(1)[0]}"},
        **more,
    }
    Path(str(settings["data_dir"])).mkdir(exist_ok=True)
    gateway = Gateway(folder, port, settings)
    try:
        gateway.wait_until_ready()
        yield gateway
    finally:
        stop(gateway.process)


def is_built() -> bool:
    """True when the command is installed beside this Python."""
    return os.access(COMMAND, os.X_OK)


def wait_until_free(port: int, seconds: float = 10) -> None:
    """Wait until nobody listens on the port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.05)
            continue
        return
