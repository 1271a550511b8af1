"""Limits of the running service: too few file descriptors, and what its log says of clients that reach a limit."""

from __future__ import annotations

import asyncio
import json
import resource
import smtplib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from milter import app
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.ports import free_port
from tests.unit.fronts.cli.test_serve import MAIL, Sink, hop, lines_until, serving, settings

__all__ = ["hop"]
HANDLES = 64


@pytest.mark.slow
def test_out_of_file_descriptors(tmp_path: Path, hop: tuple[int, Sink]) -> None:
    """Who comes when there are no more hears 421; mails of those who are in go on, and when some have left, others come in. One line says so."""
    port = free_port()
    config = settings(tmp_path, port, hop[0])
    limited = subprocess.Popen(
        [sys.executable, "-m", "milter", "serve", "--config", config],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (HANDLES, HANDLES)),
    )
    try:
        lines_until(limited, "observing")
        first = smtplib.SMTP("127.0.0.1", port, timeout=20)
        others = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(HANDLES)]
        heard = [one.recv(200) for one in others]
        assert heard[-1] == b"421 4.7.0 Too many connections; please try again later\r\n"
        assert {one[:4] for one in heard} == {b"220 ", b"421 "}
        assert lines_until(limited, "limit")[-1]["limit"] == "file descriptors"
        first.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], MAIL)
        for one in others:
            one.close()
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as again:
            again.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], MAIL)
        first.close()
        mails = [line for line in lines_until(limited, "mail") + lines_until(limited, "mail") if line["event"] == "mail"]
        assert [mail["code"] for mail in mails] == [250, 250]
    finally:
        limited.kill()
        limited.communicate()
    assert len(hop[1].taken) == 2


def test_what_the_log_and_the_header_say(tmp_path: Path, hop: tuple[int, Sink]) -> None:
    """A limit is a line with its setting and the client; mail of a listed client goes through with `unscanned=internal`, said in the log too."""
    port = free_port()
    smtp: dict[str, Any] = {"listen": [f"127.0.0.1:{port}"], "next_hop": f"127.0.0.1:{hop[0]}", "max_errors": 2}
    smtp["bypass"] = {"clients": ["192.0.2.0/24"], "authenticated": True}
    received = b"Received: from a.example (b.example [198.51.100.1]) by mx.example.org with ESMTPSA id 1;\r\n Mon, 1 Jan 2026 00:00:00 +0000\r\n"
    with serving(settings(tmp_path, port, hop[0], smtp=smtp)) as (process, _):
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.ehlo()
            assert client.docmd("XFORWARD ADDR=192.0.2.9")[0] == 250
            client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], MAIL)
            client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], received + MAIL)
            client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], MAIL)
            assert [client.docmd("FOO")[0] for _ in range(3)] == [500, 500, 421]
        said = lines_until(process, "limit")
    mails = [line for line in said if line["event"] == "mail"]
    assert [mail.get("unscanned", "") for mail in mails] == ["internal", "authenticated", ""]
    assert mails[0]["client"] == "192.0.2.9"
    limit = said[-1]
    del limit["timestamp"]
    assert limit == {"event": "limit", "level": "warning", "limit": "smtp.max_errors", "client": "127.0.0.1", "times": 1}
    assert [b"unscanned=internal;" in mail for mail in hop[1].taken] == [True, False, False]
    assert [b"unscanned=authenticated;" in mail for mail in hop[1].taken] == [False, True, False]
    assert "jeanne" not in json.dumps(said)


@pytest.mark.slow
async def test_parameters_are_held_with_the_mail(tmp_path: Path) -> None:
    """What the client asked for (RFC 3461) is in the quarantine, for the release."""
    port = free_port()
    mail = (
        b'From: "Mutuelle Lavande" <anna@colleague.test>\r\nSubject: Mutuelle Lavande\r\nContent-Type: text/html\r\n\r\n'
        b'<a href="http://mutuelle-lavande.colleague.test/">Mutuelle Lavande : votre remboursement de 284 euros, payez par carte bancaire</a>\r\n'
    )

    def send(config: Path) -> dict[str, Any]:
        with serving(config) as (process, _):
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("anna@colleague.test", ["jeanne.martin@example.org"], mail, ["RET=HDRS"], ["NOTIFY=NEVER"])
            return lines_until(process, "mail")[-1]

    async with FakeNextHop().running() as next_hop:
        config = settings(tmp_path, port, next_hop.port, policy="quarantine")
        said = await asyncio.to_thread(send, config)
    async with app.open_store(app.load_settings(str(config)).settings) as store:
        entry = await store.get(said["quarantine_id"])
    assert b"RET=HDRS" in entry.params.mail
    assert entry.params.rcpt == ((b"NOTIFY=NEVER",),)
