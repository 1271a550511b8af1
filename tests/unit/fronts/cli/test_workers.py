"""Workers of a running service that die, leave or come while others do: each listening socket is served by one, and by one with the sets in force."""

from __future__ import annotations

import os
import signal
import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fronts.cli.test_control import SECONDS, Service, service
from tests.unit.fronts.cli.test_serve import hop

__all__ = ["hop", "service"]
pytestmark = pytest.mark.slow


def _children(service: Service) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()]


def _stopped_crew(service: Service) -> list[int]:
    """Begin a reload and hold up the last of the new workers before it is ready; their pids."""
    old = _children(service)
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(lambda: len(_children(service)) == len(old) + 2)
    new = [pid for pid in _children(service) if pid not in old]
    os.kill(new[-1], signal.SIGSTOP)
    return new


def _states(service: Service, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[tuple[int, str]]]:
    return lambda: sorted((one["index"], one["state"]) for one in service.status(capsys)["workers"])


def test_a_worker_that_dies_during_a_reload_is_not_replaced_with_the_old_sets(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the new workers serve in the end: two for the same socket would judge by different sets, and the service would never be ready again."""
    victim = service.serving(capsys)[0]
    new = _stopped_crew(service)
    service.wait_for(lambda: (0, "ready") in _states(service, capsys)())
    os.kill(victim, signal.SIGKILL)
    service.wait_for(lambda: service.lines("worker died"))
    os.kill(new[-1], signal.SIGCONT)
    service.wait_for(lambda: service.lines("reload"))
    service.wait_for(lambda: _states(service, capsys)() == [(0, "serving"), (1, "serving")])
    assert sorted(service.serving(capsys)) == sorted(new)
    assert service.page("/readyz")[0] == 200


def test_workers_that_die_during_a_reload_that_fails_are_replaced(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever comes of a reload, no socket stays without a worker."""
    old = service.serving(capsys)
    for victim in [*_stopped_crew(service), *old]:
        os.kill(victim, signal.SIGKILL)
    service.wait_for(lambda: len(service.lines("worker started")) == 2)
    assert _states(service, capsys)() == [(0, "serving"), (1, "serving")]
    assert service.lines("reload")[0]["result"] == "refused"
    for _ in range(8):
        assert service.send()[0] == 250


def test_who_leaves_with_a_mail_under_way_is_replaced_at_once(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker that ends by itself finishes its mails; new connections do not wait for that."""
    before = service.serving(capsys)
    client = smtplib.SMTP("127.0.0.1", service.port, timeout=SECONDS)
    client.ehlo()
    assert client.mail("anna@colleague.test")[0] == 250
    for pid in before:
        os.kill(pid, signal.SIGTERM)
    service.wait_for(lambda: len(service.serving(capsys)) == 2 and not {*before} & {*service.serving(capsys)})
    for _ in range(8):
        assert service.send()[0] == 250
    assert client.rcpt("jeanne.martin@example.org")[0] == 250
    assert client.data(b"From: Anna <anna@colleague.test>\r\n\r\nStill here.\r\n")[0] == 250
    client.close()
    service.wait_for(lambda: len(service.status(capsys)["workers"]) == 2)
    assert not service.lines("worker died")


def test_many_signals_are_few_reloads(service: Service) -> None:
    """A signal that comes while a reload waits for its turn adds none: that one reads what is there then."""
    for _ in range(50):
        service.process.send_signal(signal.SIGHUP)
    service.wait_for(lambda: service.lines("reload"))
    service.wait_for(lambda: len(service.lines("reload")) == len(service.lines("reloading")))
    assert len(service.lines("reload")) < 10
    assert {line["result"] for line in service.lines("reload")} == {"done"}


def test_status_shows_the_next_hop_in_force(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """After a reload that changed it, too."""
    text = service.config.read_text("utf-8")
    service.config.write_text(
        text.replace('"timeout_seconds": 0.3', '"timeout_seconds": 0.4').replace('"next_hop": "127.0.0.1:', '"next_hop": "localhost:')
    )
    assert service.ask(capsys, "reload")[0] == 0
    assert service.status(capsys)["next_hop"]["address"].startswith("localhost:")


def test_a_file_that_is_mended_after_a_refusal_is_read(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that only the refused settings name."""
    broken = service.folder / "other.yml"
    broken.write_text("mode: nonsense\n", "utf-8")
    service.config.write_text(service.config.read_text("utf-8").replace('"policy.yml"', '"other.yml"'), "utf-8")
    service.wait_for(lambda: service.lines("reload"))
    assert service.lines("reload")[0]["result"] == "refused"
    broken.write_text((service.folder / "policy.yml").read_text("utf-8"), "utf-8")
    service.wait_for(lambda: len(service.lines("reload")) == 2)
    assert service.lines("reload")[1]["result"] == "done"
