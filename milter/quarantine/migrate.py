"""The schema: made in a new database, brought forward in an old one, refused when a newer program made it.

Knows each version's step to the next. A step is frozen when it is released: it says in SQL what it does and asks no table of `schema`, which
describes the present. All steps run in the one transaction of the caller, so a database has its old schema or the new one, nothing between; it
is copied aside before.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from milter.errors import QuarantineError
from milter.quarantine import files
from milter.quarantine.schema import VERSION, entries, meta, metadata

# SQLite's words; PostgreSQL has the same triggers in its own.
_TRIGGERS = (
    "CREATE TRIGGER entries_come AFTER INSERT ON entries BEGIN UPDATE totals SET mails = mails + 1, octets = octets + NEW.octets; END",
    "CREATE TRIGGER entries_go AFTER DELETE ON entries BEGIN UPDATE totals SET mails = mails - 1, octets = octets - OLD.octets; END",
)
_COUNT = "INSERT INTO totals (one, mails, octets) SELECT 1, count(*), coalesce(sum(octets), 0) FROM entries"


def _to_2(connection: sa.Connection) -> None:
    """What is held in all is counted once and kept."""
    connection.exec_driver_sql("CREATE TABLE totals (one INTEGER NOT NULL PRIMARY KEY, mails BIGINT NOT NULL, octets BIGINT NOT NULL)")
    connection.exec_driver_sql(_COUNT)
    for trigger in _TRIGGERS:
        connection.exec_driver_sql(trigger)


STEPS: dict[int, Callable[[sa.Connection], None]] = {1: _to_2}


def make(connection: sa.Connection, path: Path) -> int:
    """Make the tables in a new database, or bring those of an old one forward. Gives the version that was found, 0 for none.

    The connection must be in a writing transaction. Raises QuarantineError for a newer schema, OSError when the copy cannot be made.
    """
    if not sa.inspect(connection).has_table("meta"):
        metadata.create_all(connection)
        connection.exec_driver_sql(_COUNT)
        for trigger in _TRIGGERS:
            connection.exec_driver_sql(trigger)
        connection.execute(meta.insert().values(name="schema_version", value=str(VERSION)))
        return 0
    text = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema_version")).scalar_one_or_none() or ""
    found = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= found <= VERSION:
        raise QuarantineError(
            f"the quarantine's database has schema version {text or 'unknown'}, this program knows {VERSION};"
            " use the version of insurer-milter that made it, or a newer one"
        )
    if found < VERSION:
        copy(path, copy_of(path, found))
        for version in range(found, VERSION):
            STEPS[version](connection)
        connection.execute(meta.update().where(meta.c.name == "schema_version").values(value=str(VERSION)))
    return found


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a database lies that was brought forward from this version."""
    return path.with_name(f"{path.name}.schema-{version}")


def copy(path: Path, target: Path) -> None:
    """Copy a database as it is committed, durably, for us alone. A copy under this name is replaced. Raises OSError."""
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    files.make_file(unfinished)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as copied:
            source.backup(copied)
            copied.execute("PRAGMA journal_mode=DELETE")  # one file, whole without a journal
        handle = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except sqlite3.Error as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(0, f"the database could not be copied aside: {error}") from error
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.rename(target)
    files.sync_folder(target.parent)


def recount(connection: sa.Connection) -> bool:
    """Set the totals to what is there. True when they were wrong."""
    kept = connection.exec_driver_sql("SELECT mails, octets FROM totals WHERE one = 1").one_or_none()
    there = connection.execute(sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(entries.c.octets), 0))).one()
    if kept is not None and tuple(kept) == tuple(there):
        return False
    connection.exec_driver_sql("DELETE FROM totals")
    connection.exec_driver_sql(_COUNT)
    return True
