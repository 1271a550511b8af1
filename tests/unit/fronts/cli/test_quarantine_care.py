"""The commands that keep the quarantine small, sound and backed up, on a real store."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from milter.adapters import clock
from milter.fronts.cli.main import run
from milter.quarantine import check as checking
from milter.quarantine.entry import Entry
from milter.quarantine.store import Store
from tests.helpers import held

Out = pytest.CaptureFixture[str]
ROOT = Path("data/quarantine")


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of three mails, 50, 40 and no days old; the current folder has its settings.yml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checking, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(checking, "UNDER_WAY_SECONDS", 0)
    Path("settings.yml").write_text('data_dir: data\nsmtp: {next_hop: "127.0.0.1:9"}\n')
    Path("data").mkdir()

    async def hold(days: int) -> str:
        async with await Store.open(ROOT, now=lambda: clock.now() - timedelta(days=days)) as store:
            return await store.add(held.mail(), held.decision())

    return [asyncio.run(hold(days)) for days in (50, 40, 0)]


def call(*words: str, config: str = "settings.yml") -> int:
    """Run a quarantine command with the settings of the folder."""
    return run(["quarantine", *words, "--config", config])


def lines(out: Out) -> list[dict[str, Any]]:  # Any: JSON values
    """What was printed, as JSON lines."""
    return [cast("dict[str, Any]", json.loads(line)) for line in out.readouterr().out.splitlines()]


def listed() -> dict[str, Entry]:
    """What is held."""

    async def look() -> dict[str, Entry]:
        async with await Store.open(ROOT) as store:
            return {entry.id: entry for entry in await store.list()}

    return asyncio.run(look())


def forget(name: str) -> None:
    """Take an entry away and leave its file."""
    with closing(sqlite3.connect(ROOT / "index.sqlite")) as database, database:
        database.execute("DELETE FROM entries WHERE id = ?", (name,))


def test_purge_applies_the_settings(names: list[str], capsys: Out) -> None:
    """Without `--older-than` the settings say what goes; with it, the days do."""
    assert call("purge", "--older-than", "45") == 0
    assert capsys.readouterr().out == "1 deleted\n"
    assert call("purge", "--json") == 0
    assert lines(capsys) == [{"deleted": 1, "by_age": 1, "by_number": 0, "by_size": 0, "files": 0, "audit_lines": 0}]
    assert list(listed()) == names[2:]


def test_audit_says_who_did_what(names: list[str], capsys: Out) -> None:
    """Each view, release and deletion has its line, oldest first; one mail's can be asked for."""
    assert call("show", names[0]) == 0
    assert call("show", names[0], "--raw") == 0
    assert call("release", names[1]) == 3
    assert call("delete", names[1]) == 0
    capsys.readouterr()
    assert call("audit", "--json") == 0
    found = lines(capsys)
    assert [(line["what"], line["id"]) for line in found] == [("view", names[0])] * 2 + [(what, names[1]) for what in ("release", "failed", "delete")]
    assert set(found[0]) == {"at", "who", "what", "id", "detail"}
    assert found[0]["who"]
    assert call("audit", names[0]) == 0
    assert capsys.readouterr().out.count("\tview\t") == 2
    assert call("audit", "--days", "0", "--json") == 0
    assert lines(capsys) == []


def test_check_finds_nothing_and_says_so(names: list[str], capsys: Out) -> None:
    """A sound quarantine is exit code 0, with `--exit-code` too."""
    assert call("check", "--exit-code") == 0
    assert capsys.readouterr().out == "nothing is wrong\n"
    assert call("check", "--exit-code", "--json") == 0
    assert capsys.readouterr().out == ""


def test_check_and_repair(names: list[str], capsys: Out) -> None:
    """Faults are printed with what to do; `repair` mends what it can, says what is left, and exits with 3 when something is."""
    forget(names[0])
    (ROOT / names[1][-2:] / f"{names[1]}.held").unlink()
    assert call("check") == 0
    assert call("check", "--exit-code") == 1
    assert "restore it from a backup, or `quarantine delete` the entry" in capsys.readouterr().out
    assert call("check", "--json", "--exit-code", "--quick") == 1
    assert [(line["fault"], line["id"]) for line in lines(capsys)] == [("orphan", names[0]), ("missing", names[1])]
    assert call("repair") == 3
    assert capsys.readouterr().out.startswith(f"entries made again: 1, files rewritten: 0, files deleted: 0\nmissing\t{names[1]}\t")
    assert call("delete", names[1]) == 0
    capsys.readouterr()
    assert call("repair", "--json") == 0
    nothing = {"adopted": [], "rewritten": 0, "removed": 0, "recounted": False, "kept_as": None, "young": 0, "left": []}
    assert lines(capsys) == [nothing]
    assert listed()[names[0]].state == "in-doubt"


def test_orphans_are_deleted_when_asked(names: list[str], capsys: Out) -> None:
    """`--delete-orphans` takes the mail away for good."""
    forget(names[0])
    assert call("repair", "--delete-orphans") == 0
    assert capsys.readouterr().out == "entries made again: 0, files rewritten: 0, files deleted: 1\n"
    assert names[0] not in listed()
    assert call("check", "--exit-code") == 0


def test_a_damaged_database(names: list[str], capsys: Out) -> None:
    """`list` refuses and says what to do, `check` names the fault, `repair` keeps the database aside and brings the mails back."""
    (ROOT / "index.sqlite").write_bytes(b"rubbish" * 1_000)
    assert call("list") == 3
    assert "`insurer-milter quarantine repair` keeps it aside" in capsys.readouterr().err
    assert call("check", "--exit-code", "--json") == 1
    assert lines(capsys)[0]["fault"] == "database"
    assert call("repair") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("quarantine damaged: kept_as index.sqlite.corrupt-")
    assert printed.out.startswith("entries made again: 3")
    assert sorted(listed()) == sorted(names)


def test_young_files_are_told(names: list[str], capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair says when it passed files over because they may be on their way in."""
    monkeypatch.setattr(checking, "UNDER_WAY_SECONDS", 60)
    forget(names[0])
    assert call("repair") == 0
    assert capsys.readouterr().out.endswith("files younger than a minute, passed over: 1; run this again then\n")
    assert call("check") == 0
    assert capsys.readouterr().err == "files younger than a minute, passed over: 1; run this again then\n"


def elsewhere() -> str:
    """The settings of another machine."""
    Path("other.yml").write_text('data_dir: other\nsmtp: {next_hop: "127.0.0.1:9"}\n')
    return "other.yml"


def test_export_and_import(names: list[str], capsys: Out) -> None:
    """A backup is one file for its owner alone; another machine takes it, once."""
    assert call("export", "backup.tar") == 0
    assert capsys.readouterr().out == "3 exported\n"
    assert Path("backup.tar").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in Path().iterdir()) == ["backup.tar", "data", "settings.yml"]
    assert call("import", "backup.tar", config=elsewhere()) == 0
    assert capsys.readouterr().out == "3 added, 0 were there already\n"
    assert call("import", "backup.tar", "--json", config="other.yml") == 0
    assert lines(capsys) == [{"added": 0, "known": 3}]
    assert call("list", "--json", config="other.yml") == 0
    assert {line["id"] for line in lines(capsys)} == set(names)


def test_through_a_pipe(names: list[str], capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """`export -` writes the archive to stdout and its report to stderr; `import -` reads it."""
    assert call("export", "-") == 0
    printed = capfdbinary.readouterr()
    assert printed.err == b"3 exported\n"
    with tarfile.open(fileobj=io.BytesIO(printed.out)) as opened:
        assert len(opened.getnames()) == 6
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(printed.out)))
    assert call("import", "-", config=elsewhere()) == 0
    assert capfdbinary.readouterr().out == b"3 added, 0 were there already\n"


def test_a_mail_that_cannot_be_exported(names: list[str], capsys: Out) -> None:
    """It is named, the others are exported, and the exit code tells."""
    (ROOT / names[1][-2:] / f"{names[1]}.held").unlink()
    assert call("export", "backup.tar") == 3
    printed = capsys.readouterr()
    assert printed.out == "2 exported, 1 left out\n"
    assert f"cannot read the mail of {names[1]}" in printed.err


def test_an_export_that_fails_leaves_the_older_one(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the last backup stays until the new one is whole; nothing unfinished stays."""
    Path("backup.tar").write_bytes(b"the last one")

    async def fail(store: Store, write: Callable[[bytes], object], *, who: str) -> None:
        write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("milter.quarantine.archive.export", fail)
    assert call("export", "backup.tar") == 3
    assert Path("backup.tar").read_bytes() == b"the last one"
    assert sorted(path.name for path in Path().iterdir()) == ["backup.tar", "data", "settings.yml"]


def test_a_hostile_archive(names: list[str], capsys: Out) -> None:
    """A member that is none of ours is named; the exit code is that of an input error."""
    with tarfile.open("evil.tar", "w") as opened:
        opened.addfile(tarfile.TarInfo("../../etc/cron.d/x"))
    assert call("import", "evil.tar") == 3
    assert capsys.readouterr().err == (
        'Error: the archive has a member that does not belong here: "../../etc/cron.d/x", where <id>.json should be; added before: 0,'
        " there already: 0\n"
    )


def test_a_missing_archive(names: list[str], capsys: Out) -> None:
    """A file that is not there is an input error."""
    assert call("import", "nowhere.tar") == 3
    assert capsys.readouterr().err == "Error: nowhere.tar: No such file or directory\n"
