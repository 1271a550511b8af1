"""`serve` as a process of its own: what it says when it starts and stops, and when it cannot start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from milter.fronts.cli.main import run
from milter.fronts.worker import top_field
from tests.helpers.ports import free_port

MAIL = b"From: Anna <anna@colleague.test>\r\nTo: jeanne.martin@example.org\r\nSubject: Secret lunch\r\n\r\nAt noon?\r\n"


class Sink:
    """A next hop that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep one mail."""
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        return "250 2.0.0 kept"


@pytest.fixture
def hop() -> Iterator[tuple[int, Sink]]:
    """The port of a running next hop, and what it keeps."""
    sink, port = Sink(), free_port()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, sink
    controller.stop()


def settings(folder: Path, port: int, next_hop: int, **more: Any) -> Path:
    """A settings file; its DNS is a port where nobody answers."""
    values = {
        "hostname": "mx.example.org",
        "smtp": {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{next_hop}"},
        "dns": {"resolvers": ["127.0.0.1:9"], "timeout_seconds": 0.3},
        "judge_seconds": 1,
        "registry": ["example"],
        "data_dir": str(folder / "data"),
        "metrics": {"listen": "off"},
        **more,
    }
    path = folder / "settings.yml"
    path.write_text(json.dumps(values))
    return path


def start(config: Path) -> subprocess.Popen[str]:
    """Start `serve`; its log is in stderr."""
    return subprocess.Popen([sys.executable, "-m", "milter", "serve", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_until(process: subprocess.Popen[str], event: str) -> list[dict[str, Any]]:
    """The log up to an event."""
    assert process.stderr is not None
    found: list[dict[str, Any]] = []
    for line in process.stderr:
        found.append(json.loads(line))
        if found[-1]["event"] == event:
            return found
    raise AssertionError(f"no {event!r} in {found}")


@contextlib.contextmanager
def serving(config: Path) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """A running `serve` and its first log lines."""
    process = start(config)
    try:
        yield process, lines_until(process, "listening")
    finally:
        process.kill()
        process.communicate()


def test_it_observes_without_a_policy_passes_mail_and_stops_on_sigterm(tmp_path: Path, hop: tuple[int, Sink]) -> None:
    """Its first line says where it listens; it says loudly that it only observes; the log holds no address and no subject."""
    port, (next_hop, sink) = free_port(), hop
    with serving(settings(tmp_path, port, next_hop)) as (process, first):
        assert first[-1]["on"] == [f"127.0.0.1:{port}"]
        assert (first[-1]["policy"], first[-1]["mode"], first[-1]["next_hop"]) == ("observe", "observe", f"127.0.0.1:{next_hop}")
        assert lines_until(process, "observing")[-1]["level"] == "warning"
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], MAIL)
        (mail,) = lines_until(process, "mail")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[1]
        assert process.returncode == 0
    assert (mail["action"], mail["verdict"], mail["code"], mail["recipients"]) == ("pass", "none", 250, 1)
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["stopping", "stopped"]
    everything = json.dumps([first, mail]) + rest
    assert not any(word in everything for word in ("anna", "jeanne", "Secret", "noon"))
    assert sink.taken[0].endswith(MAIL)
    assert b"X-Insurer-Milter: action=pass" in sink.taken[0]


@pytest.mark.slow
def test_a_next_hop_that_is_down_is_said_and_mail_waits(tmp_path: Path) -> None:
    """It starts all the same: the client hears 451 until the next hop is there."""
    port, nobody = free_port(), free_port()
    with serving(settings(tmp_path, port, nobody)) as (_, first):
        warning = next(line for line in first if line["event"] == "next hop")
        assert (warning["level"], warning["address"]) == ("warning", f"127.0.0.1:{nobody}")
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.ehlo()
            assert client.mail("anna@colleague.test")[0] == 451


@pytest.mark.slow
def test_sigint_in_the_middle_of_a_session_ends_it_soon(tmp_path: Path, hop: tuple[int, Sink]) -> None:
    """An idle client does not hold the stop up."""
    port = free_port()
    with serving(settings(tmp_path, port, hop[0])) as (process, _), smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert time.monotonic() - began < 10
        with contextlib.suppress(smtplib.SMTPException, OSError):
            client.quit()


def test_a_busy_port_is_said_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 and one line."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code = run(["serve", "--config", str(settings(tmp_path, port, 9))])
    assert code == 3
    said = f"Error: cannot listen on 127.0.0.1:{port}: another program listens there; stop it or choose another port (`ss -ltnp` shows who)\n"
    assert capsys.readouterr().err.endswith(said)


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parent folder must be there: a typing mistake must not make a new tree."""
    assert run(["serve", "--config", str(settings(tmp_path, free_port(), 9, data_dir=str(tmp_path / "no" / "data")))]) == 3
    assert capsys.readouterr().err == f"Error: {tmp_path}/no/data: No such file or directory\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not start and lose the first quarantined mail."""
    (tmp_path / "data").mkdir(mode=0o500)
    assert run(["serve", "--config", str(settings(tmp_path, free_port(), 9))]) == 3
    assert "Permission denied" in capsys.readouterr().err


def test_the_quarantine_keeps_the_original_and_our_received_field() -> None:
    """What a release delivers is made of the original octets; folded lines of our field stay with it."""
    trace = b"Received: from x (y [192.0.2.1])\r\n by mx.example.org; now\r\n"
    assert top_field(trace + b"X-Insurer-Milter: z\r\n" + MAIL) == trace
    assert top_field(b"From anna Mon Jan  1 00:00:00 2026\r\n" + trace + b"X-Insurer-Milter: z\r\n" + MAIL) == trace


def test_a_wrong_file_is_told_with_its_place_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake with file, line and column, and exit code 2: nothing serves with half of its settings."""
    path = settings(tmp_path, free_port(), 9, polcy="tag", workers=0)
    assert run(["serve", "--config", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"{path}:1:") for line in lines] == [True, True, False]
    assert lines[-1] == "2 problems."
