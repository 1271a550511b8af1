"""`scan` from the command line to its output."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milter.fronts.cli.main import run
from milter.identity import collect
from tests.helpers.dns import DictResolver

KEYS = ["id", "action", "would", "verdict", "insurer", "score", "reasons", "auth", "incomplete", "subject", "elapsed_ms"]
PLAIN = b"From: Anna <anna@colleague.example>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"

UseDns = Callable[..., DictResolver]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dns: UseDns) -> None:
    """A folder with one mail, an empty DNS."""
    dns()
    monkeypatch.chdir(tmp_path)
    Path("plain.eml").write_bytes(PLAIN)


def objects(capsys: Capture) -> list[dict[str, Any]]:
    """The JSON lines that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_mail_one_object_with_the_keys_of_the_contract(capsys: Capture) -> None:
    """The id of a file is its path."""
    assert run(["scan", "--json", "plain.eml"]) == 0
    (found,) = objects(capsys)
    assert list(found) == KEYS
    assert (found["id"], found["action"], found["verdict"], found["insurer"]) == ("plain.eml", "pass", "none", None)
    assert set(found["auth"]) == {"spf", "dkim", "dmarc", "dmarc_reason", "arc"}
    assert found["subject"] == "Lunch"


def test_without_a_client_address_spf_is_none(capsys: Capture, dns: UseDns) -> None:
    """SPF is never guessed from Received; with an address it is evaluated."""
    dns({"colleague.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
    Path("plain.eml").write_bytes(b"Received: from x (x [192.0.2.1])\r\n" + PLAIN)
    assert run(["scan", "--json", "--mail-from", "anna@colleague.example", "plain.eml"]) == 0
    assert run(["scan", "--json", "--mail-from", "<anna@colleague.example>", "--client-ip", "192.0.2.1", "plain.eml"]) == 0
    assert [found["auth"]["spf"] for found in objects(capsys)] == ["none", "pass"]


def test_stdin(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads the mail from stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN)))
    assert run(["scan", "--json", "-"]) == 0
    assert objects(capsys)[0]["id"] == "-"


def test_a_person_gets_a_block(capsys: Capture) -> None:
    """Without --json there is text, with the authentication in it."""
    assert run(["scan", "plain.eml"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("plain.eml\n  pass · none · score 0\n")
    assert "SPF none" in printed


def test_explain_adds_the_steps(capsys: Capture) -> None:
    """--explain adds one key and changes no other."""
    assert run(["scan", "--json", "--explain", "plain.eml"]) == 0
    assert list(objects(capsys)[0]) == [*KEYS, "explain"]


def test_files_that_cannot_be_read_are_said_and_the_others_judged(capsys: Capture) -> None:
    """A missing file gives an error object in its place, and the exit code of an input error."""
    assert run(["scan", "--json", "nowhere.eml", "plain.eml", "."]) == 3
    first, second, third = objects(capsys)
    assert first == {"id": "nowhere.eml", "error": "nowhere.eml: No such file or directory"}
    assert second["id"] == "plain.eml"
    assert third == {"id": ".", "error": ".: is a folder"}


@pytest.fixture
def batch(request: pytest.FixtureRequest) -> Path:
    """A batch of everything that can go wrong among mails that are in order: 30, or as many as the test's parameter says."""
    count = getattr(request, "param", 30)
    for number in range(count):
        Path(f"m{number}.eml").write_bytes(PLAIN.replace(b"Lunch", f"Lunch {number}".encode()))
    Path("binary").write_bytes(os.urandom(50_000))
    Path("empty").touch()
    with Path("giant").open("wb") as giant:
        giant.truncate(100_000_000)  # a hole: no disk is used
    lines = [json.dumps({"id": f"id{number}", "path": f"m{number}.eml"}) for number in range(count)]
    lines[3:3] = ['{"id": "broken"', json.dumps({"id": "gone", "path": "nowhere"}), json.dumps({"id": "folder", "path": "."}), ""]
    lines[20:20] = [json.dumps({"id": name, "path": name}) for name in ("giant", "binary", "empty")]
    path = Path("cases.jsonl")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_batch_survives_everything_in_order(batch: Path, jobs: str, capsys: Capture) -> None:
    """One object a line in the order of the lines; broken ones say which line and why."""
    assert run(["scan", "--batch", str(batch), "--json", "--jobs", jobs]) == 0
    found = objects(capsys)
    wanted = [f"id{number}" for number in range(30)]
    wanted[3:3] = [None, "gone", "folder"]  # type: ignore[list-item]  # a broken line has no id
    wanted[19:19] = ["giant", "binary", "empty"]
    assert [line["id"] for line in found] == wanted
    errors = {line["id"]: line["error"] for line in found if "error" in line}
    assert errors == {
        None: "line 4: not JSON: Expecting ',' delimiter at column 16",
        "gone": "nowhere: No such file or directory",
        "folder": ".: is a folder",
        "giant": "giant: 100000000 octets, larger than 52428800",
    }
    assert all(list(line) == KEYS for line in found if "error" not in line)
    assert found[-1]["subject"] == "Lunch 29"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1_000], indirect=True)
def test_a_batch_of_a_thousand_on_all_cores(batch: Path, capsys: Capture) -> None:
    """1,000 mails, and beside them a missing file, a folder, 100 MB, octets of any kind: one line each, in order, whatever process judged it."""
    assert run(["scan", "--batch", str(batch), "--json", "--jobs", str(max(2, os.cpu_count() or 1))]) == 0
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    wanted = [json.loads(line).get("id") for line in batch.read_text().splitlines() if line.endswith("}")]
    wanted.insert(3, None)  # the line that is no JSON
    assert [line["id"] for line in found] == wanted
    assert len(found) == 1_006
    assert [line["id"] for line in found if "error" in line] == [None, "gone", "folder", "giant"]
    mails = [line for line in found if str(line["id"]).startswith("id")]
    assert [line["subject"] for line in mails] == [f"Lunch {number}" for number in range(1_000)]
    assert {line["action"] for line in mails} == {"pass"}
    assert not any(line["incomplete"] for line in mails)
    assert printed.err == "4 lines could not be judged; see their `error`\n"


def test_a_batch_without_json_prints_short_lines(batch: Path, capsys: Capture) -> None:
    """Text is one line a mail, and stderr counts what went wrong."""
    assert run(["scan", "--batch", str(batch)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "id0\tpass\tnone\t-\t0"
    assert printed.err == "4 lines could not be judged; see their `error`\n"


def test_a_batch_from_stdin(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--batch -` reads the lines from stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"path": "plain.eml"}\n\n{"path": "plain.eml", "id": 2}')))
    assert run(["scan", "--json", "--batch", "-"]) == 0
    assert [found["id"] for found in objects(capsys)] == ["plain.eml", 2]


def test_our_own_bug_is_told_without_the_mail(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail is passed as unscanned; stderr names the place, not the content."""

    def broken(*arguments: object) -> None:
        raise ValueError("anna@colleague.example")

    monkeypatch.setattr(collect, "collect", broken)
    assert run(["scan", "--json", "plain.eml"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["incomplete"] == ["not judged, our own error: ValueError"]
    assert "our own error, please report: ValueError at" in printed.err
    assert "anna" not in printed.err


def test_stdin_is_read_whatever_the_jobs(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked processes have no stdin: the mail is judged, not an empty one in its place."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN)))
    assert run(["scan", "--json", "--jobs", "2", "-", "plain.eml"]) == 0
    assert [found["subject"] for found in objects(capsys)] == ["Lunch", "Lunch"]


def test_an_id_that_is_no_unicode_does_not_end_the_batch(capsys: Capture) -> None:
    """A lone surrogate comes back as it was written."""
    Path("cases.jsonl").write_bytes(b'{"id": "\\ud800", "path": "plain.eml"}\n{"id": 2, "path": "plain.eml"}\n')
    assert run(["scan", "--json", "--batch", "cases.jsonl"]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert [json.loads(line)["id"] for line in printed.splitlines()] == ["\ud800", 2]
