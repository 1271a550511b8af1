"""A running service and the commands that speak to it: status, reload, pause, resume, drain; workers that die; files that change."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from milter.fronts.cli.control import DATA_DIR
from milter.fronts.cli.main import run
from tests.helpers.ports import free_port
from tests.unit.fronts.cli.test_serve import MAIL, Sink, hop, settings

__all__ = ["hop"]
SECONDS = 30
COMMAND = [sys.executable, "-m", "milter", "serve", "--config"]


class Service:
    """A running `serve` whose log goes to a file, and its commands."""

    def __init__(self, folder: Path, next_hop: int, **more: Any) -> None:  # settings are YAML: anything
        self.folder, self.port, self.watched = folder, free_port(), free_port()
        self.config = settings(folder, self.port, next_hop, metrics={"listen": f"127.0.0.1:{self.watched}"}, **more)
        self.log = folder / "log"
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([*COMMAND, str(self.config)], stdout=out, stderr=out)
        try:
            self.wait_for(lambda: self.lines("listening"))
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The log so far."""
        lines = [json.loads(line) for line in self.log.read_text("utf-8").splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        return [line for line in lines if event in ("", line["event"])]

    def wait_for(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + SECONDS
        while not is_so():
            assert self.process.poll() is None, self.log.read_text("utf-8")
            assert time.monotonic() < deadline, self.log.read_text("utf-8")
            time.sleep(0.02)

    def send(self) -> tuple[int, bytes]:
        """Send one mail; the last answer."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=SECONDS) as client:
            client.ehlo()
            for code, text in (client.mail("anna@colleague.test"), client.rcpt("jeanne.martin@example.org")):
                if code != 250:
                    return code, text
            return client.data(MAIL)

    def ask(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
        """Run a command with these settings: exit code, output, errors."""
        capsys.readouterr()
        code = run([*words, "--config", str(self.config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    def status(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """`status --json`."""
        code, out, err = self.ask(capsys, "status", "--json")
        assert (code, err) == (0, "")
        return dict(json.loads(out))

    def serving(self, capsys: pytest.CaptureFixture[str]) -> list[int]:
        """The pids of the workers that take mail."""
        return [one["pid"] for one in self.status(capsys)["workers"] if one["state"] == "serving"]

    def page(self, name: str) -> tuple[int, str]:
        """One page of the watching port: status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.watched}{name}", timeout=SECONDS) as answer:
                return answer.status, answer.read().decode("utf-8")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8")

    def end(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def service(tmp_path: Path, hop: tuple[int, Sink]) -> Iterator[Service]:
    """A service with two workers, its own copy of the rules and of the policy."""
    shutil.copy("config/policy/tag.yml", tmp_path / "policy.yml")
    (tmp_path / "rules").mkdir()
    running = Service(tmp_path, hop[0], workers=2, policy="policy.yml", rules=["rules"])
    yield running
    running.end()


def test_status_says_what_runs(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Version, workers, the sets in force with hash and date, next hop, DNS and quarantine; for people the same in words."""
    assert service.send()[0] == 250
    answer = service.status(capsys)
    assert (answer["state"], answer["pid"], answer["paused_until"], answer["mails_in_flight"]) == ("running", service.process.pid, None, 0)
    assert [one["state"] for one in answer["workers"]] == ["serving", "serving"]
    assert set(answer["sets"]) == {"registry", "rules", "policy"}
    assert all(re.fullmatch("[0-9a-f]{12}", one["hash"]) and one["date"].endswith("+00:00") for one in answer["sets"].values())
    assert answer["next_hop"]["last_reply"]["reply"] == "250 2.0.0 …"  # its words are not those that servers say
    assert answer["dns"]["resolvers"] == ["127.0.0.1:9"]
    code, out, err = service.ask(capsys, "status")
    assert (code, err) == (0, "")
    assert out.startswith("insurer-milter 0.1.0, running, started ")
    assert "mails in flight: 0" in out


def test_reload_swaps_all_workers_or_none(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """A good set is taken over by new workers; a broken one is refused with file, line and what to do, and the old workers go on."""
    before = service.status(capsys)
    (service.folder / "policy.yml").write_text((service.folder / "policy.yml").read_text("utf-8").replace("impersonation: 6", "impersonation: 7"))
    code, out, err = service.ask(capsys, "reload")
    assert (code, out, err) == (0, "reloaded\n", "")
    after = service.status(capsys)
    assert after["sets"]["policy"]["hash"] != before["sets"]["policy"]["hash"]
    assert after["sets"]["registry"] == before["sets"]["registry"]
    assert not {one["pid"] for one in before["workers"]} & set(service.serving(capsys))
    (service.folder / "policy.yml").write_text("mode: perhaps\n")
    code, out, err = service.ask(capsys, "reload")
    assert (code, out) == (2, "")
    assert re.search(rf"^{re.escape(str(service.folder))}/policy.yml:1:7: mode: ", err, re.M)
    assert err.endswith("not reloaded; what was in force before stays in force\n")
    kept = service.status(capsys)
    assert kept["sets"] == after["sets"]
    pids = [[one["pid"] for one in said["workers"] if one["state"] == "serving"] for said in (after, kept)]
    assert pids[0] == pids[1]
    assert kept["last_reload"]["problems"]
    assert [line["result"] for line in service.lines("reload")] == ["done", "refused"]
    assert service.lines("reload")[-1]["level"] == "error"
    assert service.send()[0] == 250


@pytest.mark.slow
def test_a_signal_and_a_changed_file_reload_too(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGHUP reloads; so does a file that has changed; a broken one is refused once, not again and again."""
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(lambda: len(service.lines("reload")) == 1)
    assert service.lines("reloading")[0]["why"] == "SIGHUP"
    policy = service.folder / "policy.yml"
    policy.write_text(policy.read_text("utf-8").replace("suspect: 3", "suspect: 4"))
    service.wait_for(lambda: len(service.lines("reload")) == 2)
    assert [line["result"] for line in service.lines("reload")] == ["done", "done"]
    policy.write_text("mode: perhaps\n")
    service.wait_for(lambda: len(service.lines("reload")) == 3)
    time.sleep(5)
    assert [line["result"] for line in service.lines("reload")] == ["done", "done", "refused"]
    assert service.send()[0] == 250


@pytest.mark.slow
def test_settings_that_need_a_restart_are_named(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """What only a start can change keeps its value, and the command says which; the rest changes."""
    values = json.loads(service.config.read_text("utf-8"))
    service.config.write_text(json.dumps({**values, "workers": 3, "hostname": "other.example.org"}))
    code, out, err = service.ask(capsys, "reload")
    assert (code, out, err) == (0, "reloaded\n", "a restart is needed for: workers\n")
    assert re.search(r"^last reload: \S+, done; a restart is needed for: workers$", service.ask(capsys, "status")[1], re.MULTILINE)
    assert len(service.serving(capsys)) == 2
    with smtplib.SMTP("127.0.0.1", service.port, timeout=SECONDS) as client:
        assert client.ehlo()[1].startswith(b"other.example.org")


@pytest.mark.slow
def test_pause_passes_mail_unjudged_and_says_so(service: Service, hop: tuple[int, Sink], capsys: pytest.CaptureFixture[str]) -> None:
    """While paused each mail bears `unscanned`, the log says so, also after a reload; `resume` and the end of the time switch back."""
    code, out, _ = service.ask(capsys, "pause", "--for", "30m")
    assert code == 0
    assert re.match(r"paused until \d{4}-\d\d-\d\dT[\d:]+\+00:00: mail passes unjudged, marked `unscanned`;", out)
    assert service.status(capsys)["state"] == "paused"
    assert service.send()[0] == 250
    assert service.ask(capsys, "reload")[0] == 0
    assert service.send()[0] == 250
    assert service.ask(capsys, "resume") == (0, "mail is judged again\n", "")
    assert service.send()[0] == 250
    service.wait_for(lambda: len(service.lines("mail")) == 3)
    assert [line.get("unscanned") for line in service.lines("mail")] == ["paused", "paused", None]
    assert [b"unscanned=paused" in taken for taken in hop[1].taken] == [True, True, False]
    assert service.lines("pause")[0]["level"] == "warning"
    assert service.ask(capsys, "pause", "--for", "1s")[0] == 0
    service.wait_for(lambda: len(service.lines("resume")) == 2)
    assert service.status(capsys)["state"] == "running"
    assert service.send()[0] == 250
    service.wait_for(lambda: len(service.lines("mail")) == 4)
    assert "unscanned" not in service.lines("mail")[-1]


@pytest.mark.slow
def test_a_pause_needs_a_length(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody pauses for ever by mistake."""
    assert service.ask(capsys, "pause")[0] == 2
    code, _, err = service.ask(capsys, "pause", "--for", "30")
    assert code == 2
    assert "'30' is no length of time up to a day; write 90s, 30m or 2h" in err


@pytest.mark.slow
def test_a_killed_worker_is_replaced(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Another worker takes over the killed one's sockets, so that no connection waits in vain; the log and `status` say that it died."""
    victim = service.serving(capsys)[0]
    os.kill(victim, signal.SIGKILL)
    service.wait_for(lambda: service.lines("worker started"))
    assert (service.lines("worker died")[0]["pid"], service.lines("worker died")[0]["exit_code"]) == (victim, -9)
    assert len(service.serving(capsys)) == 2
    assert victim not in service.serving(capsys)
    for _ in range(8):
        assert service.send()[0] == 250
    assert [event["event"] for event in service.status(capsys)["last_errors"]] == ["worker died"]


@pytest.mark.slow
def test_workers_end_when_the_parent_is_killed(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """No worker goes on alone, and the next start finds everything free."""
    workers = service.serving(capsys)
    service.process.kill()
    service.process.wait()
    deadline = time.monotonic() + SECONDS
    while any(_is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    code, _, err = service.ask(capsys, "status")
    assert (code, err) == (3, f"Error: no insurer-milter serves with data_dir {service.folder}/data; start it with `insurer-milter serve`\n")
    service.begin()
    assert service.send()[0] == 250


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_one_service_a_folder(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """A second service with the same data_dir does not start."""
    values = json.loads(service.config.read_text("utf-8"))
    other = service.folder / "other.yml"
    other.write_text(json.dumps({**values, "smtp": {**values["smtp"], "listen": [f"127.0.0.1:{free_port()}"]}}))
    assert run(["serve", "--config", str(other)]) == 3
    assert (
        capsys.readouterr().err == f"Error: another insurer-milter serves with data_dir {service.folder}/data; give each one a data_dir of its own\n"
    )


@pytest.mark.slow
def test_a_busy_port_is_said_with_several_workers_too(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Workers share their port among themselves, never with another service."""
    values = json.loads(service.config.read_text("utf-8"))
    other = service.folder / "other.yml"
    other.write_text(json.dumps({**values, "data_dir": str(tmp_path / "data2")}))
    assert run(["serve", "--config", str(other)]) == 3
    assert f"cannot listen on 127.0.0.1:{service.port}: another program listens there" in capsys.readouterr().err


@pytest.mark.slow
def test_drain_ends_the_service(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """It answers when the last worker has ended; the service ends well."""
    assert service.ask(capsys, "drain") == (0, "drained: 0 mails were under way; the service has ended\n", "")
    assert service.process.wait(SECONDS) == 0
    assert [line["event"] for line in service.lines()[-2:]] == ["stopping", "stopped"]
    assert not (service.folder / "data" / "control.sock").exists()


@pytest.mark.slow
def test_the_control_socket_is_its_owners(service: Service) -> None:
    """Nobody else may even ask."""
    assert (service.folder / "data" / "control.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_what_is_watched_agrees_with_the_log(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Health, readiness and counters of all workers together, also after a reload and a killed worker."""
    assert [service.page(name) for name in ("/healthz", "/readyz")] == [(200, '{"status": "ok"}\n')] * 2
    for _ in range(3):
        assert service.send()[0] == 250
    assert service.ask(capsys, "reload")[0] == 0
    assert service.send()[0] == 250
    os.kill(service.serving(capsys)[1], signal.SIGKILL)
    service.wait_for(lambda: service.lines("worker started"))
    assert service.send()[0] == 250
    service.wait_for(lambda: len(service.lines("mail")) == 5)
    status, text = service.page("/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert status == 200
    for name, value in (
        ('mails_total{action="pass"}', 5),
        ('answers_total{code="2xx"}', 5),
        ("worker_deaths_total", 1),
        ('reloads_total{result="done"}', 1),
        ("workers", 2),
        ("ready", 1),
        ("paused", 0),
    ):
        assert (name, float(values[f"insurer_milter_{name}"])) == (name, value)
    assert service.page("/nothing")[0] == 404


def test_a_broken_settings_file_does_not_part_us_from_the_service(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """`status`, `pause` and `resume` work and say what is wrong with the file; `reload` fails and says it once."""
    good = service.config.read_text()
    service.config.write_text(good.replace("{", '{"polcy": "tag", ', 1))
    for words in (["status"], ["pause", "--for", "1m"], ["resume"]):
        code, out, err = service.ask(capsys, *words)
        assert code == 0
        assert out
        assert "polcy: unknown key" in err
        assert err.endswith("the settings file is wrong now; a running service keeps what it had\n")
    code, _, err = service.ask(capsys, "reload")
    assert (code, err.count("polcy: unknown key")) == (2, 1)
    assert err.endswith("not reloaded; what was in force before stays in force\n")
    service.config.write_text(good)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy: [\ndata_dir: /srv/im\n", "/srv/im"),
        ("data_dir: '/srv/im' # ours\n", "/srv/im"),
        ('{"hostname": "x", "data_dir": "/srv/im"}', "/srv/im"),
        ('{"data_dir": "/srv/im", "x": 1}', "/srv/im"),
        ("# data_dir: /srv/im\n", None),
        ("smtp: {listen: []}\n", None),
    ],
)
def test_the_folder_of_data_is_found_in_a_broken_file(text: str, expected: str | None) -> None:
    """The key is found in blocks and in flow style, but not in a comment."""
    found = DATA_DIR.search(text)
    assert (found[1] if found else None) == expected
