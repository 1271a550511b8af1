"""The gateway as an operator runs it: `insurer-milter serve --config FILE`, its own process, stopped by its pid.

Beside it the DNS that the tests give it: a name server that answers every question in one and the same way.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.daemons.stand import bound_to_us, stop, wait_for_port

COMMAND = Path(sys.executable).parent / "insurer-milter"
HOSTNAME = "gate.insured.example"
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class FlatDns:
    """A name server on loopback whose every answer is the same code without records (RFC 1035 §4.1.1), or none at all."""

    def __init__(self, rcode: int = NXDOMAIN, *, seconds: float = 0.0, silent: bool = False) -> None:
        self.rcode = rcode
        self.seconds = seconds
        self.silent = silent
        self.questions = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
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
            if self.seconds:
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
        self.config.write_text(json.dumps(settings))  # JSON is YAML
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*bound_to_us(), COMMAND, "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def command(self, *words: str) -> str:
        """Run another command with the same settings and give what it prints. Raises CalledProcessError."""
        done = subprocess.run([COMMAND, *words, "--config", self.config], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(f"insurer-milter {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def log_text(self) -> str:
        """The log so far."""
        return self.log.read_text("utf-8", "replace")


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
        **more,
    }
    (folder / "data").mkdir(exist_ok=True)
    gateway = Gateway(folder, port, settings)
    try:
        wait_for_port(port, gateway.process, gateway.log)
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
