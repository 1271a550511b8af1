"""The files of quarantined mails, one each, written durably in named steps.

`<root>/<shard>/<id>.held`: the head (one line: all that is known of the mail, see `record`), then the mail's octets. Quarantines of schema 1 have
`<id>.eml`, the octets alone; both are read. Knows files. Must not know what a mail is. A file appears under its name only when it is whole and on
the disk; until then it is `<id>.tmp`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# In the order of happening. A test stops the world before any of them; the last two are the store's.
STEPS = ("make folder", "write", "sync file", "rename", "sync folder", "commit", "answer")
HEAD_OCTETS = 16_777_216
HELD, OLD, UNFINISHED = ".held", ".eml", ".tmp"
Before = Callable[[str], None]

_NAME = re.compile(r"([0-9a-hjkmnp-tv-z]{22})\.(?:held|eml|tmp)")


def _go_on(step: str) -> None:
    """Stop nowhere."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of ours: the id in its name, and when it was last changed (seconds since 1970)."""

    path: Path
    entry: str
    changed: float

    @property
    def is_unfinished(self) -> bool:
        """A mail that was never whole; nobody was told that it is held."""
        return self.path.suffix == UNFINISHED


class Files:
    """The folder of files. Raises OSError as the system gives it. `before` is called with each step's name before the step."""

    def __init__(self, root: Path, before: Before = _go_on) -> None:
        self.root = root
        self._before = before

    def path(self, entry: str) -> Path:
        """Where the file of a (checked) id is written. The last two characters are random, so 1,024 shards fill evenly."""
        return self.root / entry[-2:] / f"{entry}{HELD}"

    def write(self, entry: str, head: bytes, octets: bytes) -> None:
        """Store durably: temporary file, fsync, rename, fsync of the folder. `head` is one line. After an OSError nothing is left."""
        path = self.path(entry)
        temporary = path.with_suffix(UNFINISHED)
        self._before("make folder")
        make_folder(path.parent)
        try:
            self._before("write")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                _give_to_owner(handle, path.parent)
                write_all(handle, head)
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
        """The mail's octets of a (checked) id."""
        return self.read_both(entry)[1]

    def read_both(self, entry: str) -> tuple[bytes, bytes]:
        """The head (empty for a file of schema 1) and the octets."""
        path = self.path(entry)
        try:
            with path.open("rb") as opened:
                return opened.readline(HEAD_OCTETS), opened.read()
        except FileNotFoundError:
            return b"", path.with_suffix(OLD).read_bytes()

    def exists(self, entry: str) -> bool:
        """Whether there is a whole file of the (checked) id."""
        path = self.path(entry)
        return path.exists() or path.with_suffix(OLD).exists()

    def remove(self, entries: Iterable[str]) -> None:
        """Take files away, durably; one that is gone already is no error."""
        self._unlink(path.with_suffix(suffix) for path in map(self.path, entries) for suffix in (HELD, OLD))

    def remove_found(self, found: Iterable[Found]) -> None:
        """Take these very files away, durably."""
        self._unlink(one.path for one in found)

    def remove_unfinished(self, entry: str) -> None:
        """Take away what a writer of this id left who died. Only for who knows that none is alive."""
        self._unlink([self.path(entry).with_suffix(UNFINISHED)])

    def remove_old_form(self, entry: str) -> None:
        """Take the file of schema 1 away, once there is one of the present form."""
        self._unlink([self.path(entry).with_suffix(OLD)])

    def _unlink(self, paths: Iterable[Path]) -> None:
        folders: dict[Path, None] = {}
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                folders[path.parent] = None
        for folder in folders:
            with suppress(FileNotFoundError):
                sync_folder(folder)

    def walk(self) -> Iterator[list[Found]]:
        """All files of ours, shard by shard."""
        for shard in sorted(self.root.iterdir()):
            if not shard.is_dir() or len(shard.name) != 2:
                continue
            found = []
            for path in sorted(shard.iterdir()):
                name = _NAME.fullmatch(path.name)
                with suppress(FileNotFoundError):
                    if name:
                        found.append(Found(path, name[1], path.stat().st_mtime))
            yield found

    def is_empty(self) -> bool:
        """Whether there is no file of ours."""
        return not any(self.walk())

    def free(self) -> int:
        """Octets of the disk that are free for us."""
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize


def make_folder(path: Path) -> None:
    """Make the folder, for us alone (0700), and make its name durable. Its parent must exist."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        _give_to_owner(path, path.parent)
    sync_folder(path.parent)  # also when it is there: whoever made it may have died, or not be done, before its name was durable


def _give_to_owner(made: Path | int, like: Path) -> None:
    """What root makes belongs to the owner of the folder: the service could not read it otherwise."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def make_file(path: Path) -> bool:
    """Make an empty file for us alone (0600), durably. False when there is one already."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        _give_to_owner(handle, path.parent)
    finally:
        os.close(handle)
    sync_folder(path.parent)
    return True


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
