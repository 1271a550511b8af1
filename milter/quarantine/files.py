"""The octets of quarantined mails, one file each: `<root>/<shard>/<id>.eml`, written durably in named steps.

Knows files. Must not know what a mail is. A file appears under its name only when it is whole and on the disk. A file whose id the database
does not know is an orphan of a crash: harmless, nobody lists it, `purge` sweeps it after a day.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# In the order of happening. A test stops the world before any of them; the last two are the store's.
STEPS = ("make folder", "write", "sync file", "rename", "sync folder", "commit", "answer")
Before = Callable[[str], None]


def _go_on(step: str) -> None:
    """Stop nowhere."""


class Files:
    """The folder of files. Raises OSError as the system gives it. `before` is called with each step's name before the step."""

    def __init__(self, root: Path, before: Before = _go_on) -> None:
        self.root = root
        self._before = before

    def path(self, entry: str) -> Path:
        """Where the file of a (checked) id lies. The last two characters are random, so 1,024 shards fill evenly."""
        return self.root / entry[-2:] / f"{entry}.eml"

    def write(self, entry: str, octets: bytes) -> None:
        """Store durably: temporary file, fsync, rename, fsync of the folder. After an OSError nothing is left."""
        path = self.path(entry)
        temporary = path.with_suffix(".tmp")
        self._before("make folder")
        make_folder(path.parent)
        try:
            self._before("write")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                write_all(handle, octets)
                self._before("sync file")
                os.fsync(handle)
            finally:
                os.close(handle)
            self._before("rename")
            temporary.rename(path)
            self._before("sync folder")
            sync_folder(path.parent)
        except OSError:
            for leftover in (temporary, path):
                with suppress(OSError):
                    leftover.unlink()
            raise

    def read(self, entry: str) -> bytes:
        """The octets of a (checked) id."""
        return self.path(entry).read_bytes()

    def remove(self, entry: str) -> None:
        """Take the file away, durably; one that is gone already is no error."""
        path = self.path(entry)
        path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            sync_folder(path.parent)

    def old(self, before: float) -> Iterator[Path]:
        """Files last changed before this time (seconds since 1970), unfinished ones too."""
        for shard in sorted(self.root.iterdir()):
            if not shard.is_dir():
                continue
            for path in sorted(shard.iterdir()):
                with suppress(FileNotFoundError):
                    if path.suffix in (".eml", ".tmp") and path.stat().st_mtime < before:
                        yield path


def make_folder(path: Path) -> None:
    """Make the folder, for us alone (0700), and make its name durable. Its parent must exist."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    sync_folder(path.parent)  # also when it is there: whoever made it may have died, or not be done, before its name was durable


def sync_folder(path: Path) -> None:
    """fsync a folder, so that names in it survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, octets: bytes) -> None:
    """Write everything; the system may take less at a time."""
    view = memoryview(octets)
    while view:
        view = view[os.write(handle, view) :]
