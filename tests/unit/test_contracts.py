"""The layer contracts of pyproject.toml bite: a forbidden import in a copy of the package is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint_copy(folder: Path, module: str, line: str) -> subprocess.CompletedProcess[str]:
    """Copy the package, append one import to one module, and run the contracts on the copy."""
    shutil.copytree(ROOT / "milter", folder / "milter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    target = folder / "milter" / module
    target.write_text(target.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        pytest.param("model/domain.py", "import milter.engine.decide", id="upward"),
        pytest.param("auth/resolver.py", "import milter.identity.registry", id="sideways"),
        pytest.param("engine/decide.py", "import socket", id="input-output-in-the-core"),
        pytest.param("fronts/listen.py", "import milter.fronts.cli.main", id="door-above-door"),
    ],
)
@pytest.mark.slow
def test_contract_bites(tmp_path: Path, module: str, line: str) -> None:
    """One forbidden import breaks exactly the contracts that the unchanged package keeps."""
    result = lint_copy(tmp_path, module, line)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def test_contracts_hold_without_the_import(tmp_path: Path) -> None:
    """The untouched copy passes, so a broken contract above is the import's doing."""
    result = lint_copy(tmp_path, "errors.py", "")
    assert result.returncode == 0, result.stdout + result.stderr
