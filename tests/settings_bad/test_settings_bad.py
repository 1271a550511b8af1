"""Every folder here is one wrong configuration, with the exact message that its user reads."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from milter.adapters import files
from milter.fronts.cli.main import run

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/command.txt"))


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_configuration_is_told_in_exact_words(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file, the place, what is wrong and what to write instead; the exit code says of what kind it is."""
    folder = tmp_path / case
    shutil.copytree(HERE / case, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(files, "SITE", tmp_path / "no-site")
    code = run(shlex.split((folder / "command.txt").read_text(encoding="utf-8")))
    printed = capsys.readouterr().err.replace(str(folder), "{folder}").replace(str(files.shipped("config")), "{config}")
    assert f"exit {code}\n{printed}" == (HERE / case / "expected.txt").read_text(encoding="utf-8")
