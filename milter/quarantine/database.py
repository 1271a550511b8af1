"""The open database: transactions, and what happens when its file is broken, replaced or taken away while we run.

Knows the engine and the file's identity (device and inode). Must not know mail. A damaged file is kept aside under another name, never changed;
the mails' files hold all that is needed to build a new one (see `check.repair`). Several processes may find the damage at once: a lock file lets
one of them replace the database, the others see another inode and open that.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from milter.errors import QuarantineError
from milter.quarantine import migrate, schema
from milter.quarantine.files import Files, make_file, make_folder, sync_folder

Now = Callable[[], datetime]
# Called with the name of what happened and facts without personal data, for the log.
Event = Callable[[str, Mapping[str, object]], None]

NAME = "index.sqlite"
_SIDES = ("", "-wal", "-shm")


class DamagedError(QuarantineError):
    """The database's file is broken; the text says what to do, `file` which one it was."""

    def __init__(self, text: str, file: schema.Identity) -> None:
        super().__init__(text)
        self.file = file


class ReplacedError(QuarantineError):
    """Another process put a new database in the place of ours while we wrote; what was written nobody will see."""


class _Opened:
    """One engine on one file. It is let go of when nobody uses it any more: aiosqlite's threads end only with their connections."""

    def __init__(self, engine: AsyncEngine, file: schema.Identity) -> None:
        self.engine, self.file = engine, file
        self.users = 0
        self.is_retired = False

    async def dispose_if_unused(self) -> None:
        if self.is_retired and not self.users:
            await self.engine.dispose()


class Database:
    """The database of one folder. Made by `open`; must be closed. Use it in the event loop that opened it."""

    def __init__(self, root: Path, now: Now, event: Event, busy_seconds: float, *, heals: bool) -> None:
        self.root, self.path, self.heals = root, root / NAME, heals
        self._now, self._event, self._busy_seconds = now, event, busy_seconds
        self._opened: _Opened | None = None
        self._swap = asyncio.Lock()

    @classmethod
    async def open(cls, root: Path, *, now: Now, event: Event, busy_seconds: float, heal: bool) -> Self:
        """Open or make it. `heal`: keep a damaged file aside and make a new one; else raises QuarantineError, as for every other trouble."""
        self = cls(root, now, event, busy_seconds, heals=heal)
        try:
            await self._open()
        except DamagedError as damage:
            if not heal:
                raise
            await self.replace(damage.file)
        return self

    async def close(self) -> None:
        """Let go of the database; its threads end."""
        if self._opened:
            self._opened.is_retired = True
            await self._opened.engine.dispose()

    @asynccontextmanager
    async def transaction(self, doing: str) -> AsyncIterator[AsyncConnection]:
        """One writing transaction, committed at the end. Raises QuarantineError with `doing` in its sentence."""
        async with self._use(doing) as opened:
            async with opened.engine.connect() as plain:
                connection = await plain.execution_options(write=True)
                async with connection.begin():
                    yield connection
            if opened.file != schema.identity(self.path):
                raise _replaced(doing, self.root)

    @asynccontextmanager
    async def reading(self, doing: str) -> AsyncIterator[AsyncConnection]:
        """A connection to read with. Raises QuarantineError with `doing` in its sentence."""
        async with self._use(doing) as opened, opened.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _use(self, doing: str) -> AsyncIterator[_Opened]:
        opened = await self._current()
        opened.users += 1
        try:
            yield opened
        except (SQLAlchemyError, OSError) as error:
            if opened.file != schema.identity(self.path):
                raise _replaced(doing, self.root) from error
            raise self._told(doing, error, opened.file) from error
        finally:
            opened.users -= 1
            await opened.dispose_if_unused()

    async def _current(self) -> _Opened:
        """What is open, opened anew when another file has come in its place: what is written to the old one nobody would see."""
        if self._opened and self._opened.file == schema.identity(self.path):
            return self._opened
        async with self._swap:
            if not self._opened or self._opened.file != schema.identity(self.path):
                await self._open()
                self._event("quarantine reopened", {"meaning": "another process replaced the database"})
            assert self._opened
            return self._opened

    async def replace(self, damaged: schema.Identity) -> str:
        """Keep this very file aside, unless somebody has done it, and open a new one. Gives the name of the kept file, "" if it was done.

        Raises QuarantineError when not even that can be done.
        """
        async with self._swap:
            if self._opened and self._opened.file != damaged:
                return ""
            try:
                kept = await asyncio.to_thread(self._set_aside, damaged)
            except OSError as error:
                raise schema.sentence("replace the damaged database", self.root, error) from error
            await self._open(is_new_told=bool(kept))
        if kept:
            meaning = "the index was damaged; a new one is in use, the mails' files are untouched"
            self._event("quarantine damaged", {"kept_as": kept, "meaning": meaning, "do": "insurer-milter quarantine repair"})
        return kept

    def _set_aside(self, damaged: schema.Identity) -> str:
        with alone(self.root, "replace"):
            if schema.identity(self.path) != damaged:
                return ""
            stamp = f"{self._now():%Y%m%dT%H%M%SZ}"
            numbers = (f"{self.path.name}.corrupt-{stamp}{'' if not number else f'-{number}'}" for number in range(10_000))
            kept = next(self.path.with_name(name) for name in numbers if not self.path.with_name(name).exists())
            for side in _SIDES:
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{side}").rename(f"{kept}{side}")
            sync_folder(self.root)
            return kept.name

    async def _open(self, *, is_new_told: bool = False) -> None:
        """Open what lies there, make what lacks, bring an old schema forward. Raises QuarantineError; then nothing is open that was not.

        `is_new_told`: somebody else says that the database is new.
        """
        try:
            engine, file = await asyncio.to_thread(self._engine)
        except OSError as error:
            raise schema.sentence("open the quarantine", self.root, error) from error
        try:
            async with engine.connect() as plain:
                connection = await plain.execution_options(write=True)
                async with connection.begin():
                    version = await connection.run_sync(migrate.make, self.path)
            if file != schema.identity(self.path):
                raise _replaced("open the quarantine", self.root)
        except BaseException as error:
            await engine.dispose()
            if not isinstance(error, SQLAlchemyError | OSError):
                raise
            raise self._told("open the quarantine", error, file) from error
        old, self._opened = self._opened, _Opened(engine, file)
        if old:
            old.is_retired = True
            await old.dispose_if_unused()
        if 0 < version < schema.VERSION:
            copy = migrate.copy_of(self.path, version).name
            self._event("quarantine migrated", {"from": version, "to": schema.VERSION, "copy": copy})
        elif not version and not is_new_told and not await asyncio.to_thread(Files(self.root).is_empty):
            self._event("quarantine index new", {"meaning": "mails lie there that no index knows", "do": "insurer-milter quarantine repair"})

    def _told(self, doing: str, error: Exception, file: schema.Identity) -> QuarantineError:
        told = schema.sentence(doing, self.root, error)
        return DamagedError(str(told), file) if schema.is_damaged(error) else told

    def _engine(self) -> tuple[AsyncEngine, schema.Identity]:
        make_folder(self.root)
        if self.root.stat().st_mode & 0o077:
            self.root.chmod(0o700)
        return schema.engine(self.path, busy_seconds=self._busy_seconds)

    async def damage(self) -> schema.Identity | None:
        """The database's file when SQLite finds anything wrong in it. Raises QuarantineError when it cannot look."""
        file = (await self._current()).file
        try:
            is_sound = await asyncio.to_thread(self._integrity) == "ok"
        except sqlite3.Error as error:
            if not schema.is_damaged(error):
                raise schema.sentence("check the database", self.root, error) from error
            is_sound = False
        return None if is_sound else file

    def _integrity(self) -> str:
        # A connection of its own: those of the engine may hold pages in memory from before the damage.
        with closing(sqlite3.connect(self.path, timeout=self._busy_seconds)) as connection:
            return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])


def _replaced(doing: str, root: Path) -> ReplacedError:
    return ReplacedError(f"cannot {doing} in {root}: the database was replaced meanwhile; try again")


@contextmanager
def alone(root: Path, deed: str) -> Iterator[None]:
    """The only one, of all processes, who does this deed here; waits for another. The system lets go of the lock when a process dies."""
    path = root / f"lock.{deed}"
    make_file(path)
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
