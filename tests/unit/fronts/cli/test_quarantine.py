"""The quarantine commands, on a real store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from milter.fronts.cli.main import run
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind
from milter.quarantine.store import Store

RAW = b"From: Mutuelle Azur <contact@mutuelle-azur.test>\r\nSubject: Remboursement\r\n\r\nBonjour\r\n"


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of one held mail; the current folder has its settings.yml."""
    monkeypatch.chdir(tmp_path)
    Path("settings.yml").write_text('data_dir: data\nsmtp: {next_hop: "127.0.0.1:9"}\n')
    Path("data").mkdir()
    finding = Finding("a-rule", 6.0, {"fr": "Se présente comme Mutuelle Azur."}, "Mutuelle Azur")
    verdict = Verdict(VerdictKind.IMPERSONATION, "mutuelle-azur", "Mutuelle Azur", 6.0, (finding,))
    mail = Mail(RAW, Connection("192.0.2.1", "", "x.test"), Envelope("sender@x.test", ("jeanne.martin@example.org",)), "Q1")

    async def hold() -> str:
        async with await Store.open("data/quarantine") as store:
            return await store.add(mail, Decision(Action.QUARANTINE, Action.QUARANTINE, verdict, subject="Remboursement"))

    return asyncio.run(hold())


def call(*words: str) -> int:
    """Run a quarantine command with the settings of the folder."""
    return run(["quarantine", *words, "--config", "settings.yml"])


def test_a_list_hides_people(held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a local part nor a subject is shown, as text and as JSON."""
    assert call("list") == 0
    text = capsys.readouterr().out
    assert call("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert held in text
    assert "jeanne" not in text
    assert listed["to"] == ["j…@example.org"]
    assert "subject" not in listed
    assert set(listed) == {"id", "received", "state", "verdict", "insurer", "score", "from", "to", "octets"}


NARROWED = [("--verdict suspect", 0), ("--state held", 1), ("--insurer mutuelle-azur", 1), ("--address jeanne", 1), ("--days 1", 1)]


@pytest.mark.parametrize(("words", "count"), NARROWED)
def test_a_list_can_be_narrowed(words: str, count: int, held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each filter keeps what it names."""
    assert call("list", "--json", *words.split()) == 0
    assert len(capsys.readouterr().out.splitlines()) == count


def test_show_gives_everything_and_writes_the_view_down(held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever opens an entry is in the audit."""
    assert call("show", held, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["to"] == ["jeanne.martin@example.org"]
    assert shown["reasons"] == [{"rule": "a-rule", "score": 6.0, "text": "Se présente comme Mutuelle Azur."}]
    assert call("show", held) == 0
    assert "Se présente comme Mutuelle Azur." in capsys.readouterr().out

    async def trail() -> list[str]:
        async with await Store.open("data/quarantine") as store:
            return [line.what for line in await store.trail(held)]

    assert asyncio.run(trail()) == ["view", "view"]


def test_raw_is_the_mail_octet_for_octet(held: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`show --raw` can be piped into a file."""
    assert call("show", held, "--raw") == 0
    assert capfdbinary.readouterr().out == RAW


def test_a_release_without_next_hop_fails_and_says_so(held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The mail stays, the exit code is that of an input or output error."""
    assert call("release", held) == 3
    assert "can be released again" in capsys.readouterr().err
    assert call("list", "--state", "failed", "--json") == 0
    assert held in capsys.readouterr().out


def test_an_unknown_entry_does_not_stop_the_others(held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every id gets its own answer."""
    unknown = "0" * 22
    assert call("release", unknown, held) == 3
    errors = capsys.readouterr().err
    assert f"no quarantined mail {unknown}" in errors
    assert f"{held} was not delivered" in errors


def test_delete_and_purge_and_stats(held: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is deleted is not counted any more; a purge spares what is younger."""
    assert call("purge", "--older-than", "1") == 0
    assert capsys.readouterr().out == "0 deleted\n"
    assert call("stats", "--json") == 0
    assert json.loads(capsys.readouterr().out)["by_verdict"] == {"impersonation": 1}
    assert call("delete", held) == 0
    assert call("stats") == 0
    assert "mails\t0" in capsys.readouterr().out
