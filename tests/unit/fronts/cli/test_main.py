"""The command line as a whole: help, version, exit codes, real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest

from milter.fronts.cli import main
from milter.fronts.cli.main import COMMANDS, run

HEAVY = {"dns", "sqlalchemy", "selectolax", "structlog", "aiosmtpd", "cryptography", "rich", "dkim"}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the contract, and no others."""
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^  ([a-z-]+)  ", printed.partition("Commands:")[2], re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("words", [["--help"], ["settings", "show"], ["check-domain", "example.org"]])
def test_small_commands_start_without_heavy_libraries(words: list[str]) -> None:
    """Whoever asks a small question does not wait for DNS, HTML and databases to load."""
    code = f"import sys; from milter.fronts.cli.main import run; run({words!r}); print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version of the installed distribution."""
    assert run(["--version"]) == 0
    assert re.fullmatch(r"insurer-milter \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` works everywhere and every leaf command takes --config."""
    assert run([command, "--help"]) == 0
    printed = capsys.readouterr().out
    leaves = re.findall(r"^  ([a-z]+)  ", printed.partition("Commands:")[2], re.MULTILINE)
    for leaf in leaves:
        assert run([command, leaf, "--help"]) == 0
        assert "--config FILE" in capsys.readouterr().out
    assert leaves or "--config FILE" in printed


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with one word."""

    def interrupted(**options: object) -> None:
        raise click.Abort

    monkeypatch.setattr(main.cli, "main", interrupted)
    assert run(["settings", "show"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`… | head` ends quietly."""
    command = f"{sys.executable} -m milter registry list --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines()[1:], done.stderr) == (["3"], "")


def test_output_in_a_pipe_has_no_colour() -> None:
    """Colour is for terminals alone."""
    done = subprocess.run([sys.executable, "-m", "milter", "check-domain", "example.org"], capture_output=True, text=True, check=True)
    assert done.stdout == "example.org\tnone\t-\t-\t0\n"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("check-domain example.org >&-", (3, "", "Error: Bad file descriptor\n")),
        ("check-domain - <&-", (3, "", "Error: Bad file descriptor\n")),
        ("check-domain example.org --json 2>&- | wc -l", (0, "1\n", "")),
        ("scan - <&-", (3, "-\n  error: stdin: Bad file descriptor\n", "")),
    ],
)
def test_a_closed_stream_is_no_traceback(command: str, answer: tuple[int, str, str]) -> None:
    """What cannot be read or written is an error of input or output."""
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m milter {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == answer


def test_answers_are_utf8_in_every_locale() -> None:
    """An ASCII locale does not stop a list at its first accent."""
    words = [sys.executable, "-m", "milter", "registry", "find", "--market", "fr", "Société"]
    done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Société" in done.stdout.decode("utf-8")
