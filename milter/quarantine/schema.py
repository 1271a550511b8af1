"""The tables, the engine, and the sentences for what a database does wrong.

Knows SQLAlchemy Core and SQLite's pragmas; the tables hold nothing that PostgreSQL lacks. Must not know mail.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from milter.errors import QuarantineError
from milter.quarantine import files

VERSION = 2
BUSY_SECONDS = 10
_TRIES = 100
Identity = tuple[int, int]

metadata = sa.MetaData()

meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("received", sa.Double, nullable=False, index=True),  # seconds since 1970, as `changed` and `audit.at`
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("octets", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # SHA-256 of the mail's octets
    sa.Column("envelope", sa.Text, nullable=False),  # JSON: mail_from, rcpt_to, mail_params, rcpt_params
    sa.Column("connection", sa.Text, nullable=False),  # JSON: client_ip, client_name, helo
    sa.Column("queue_id", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("insurer", sa.Text),
    sa.Column("insurer_name", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),  # JSON: [rule, score, text] each
    sa.Column("author_domain", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("front", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text, nullable=False),  # JSON: [start, end] each
    sa.Column("pending", sa.Text, nullable=False),  # JSON: indexes into rcpt_to
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("entry", sa.Text, nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),
)

# One row: what is held in all. Triggers keep it true whoever writes, so that asking costs nothing (the quota asks with each mail).
totals = sa.Table(
    "totals",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("mails", sa.BigInteger, nullable=False),
    sa.Column("octets", sa.BigInteger, nullable=False),
)


def engine(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> tuple[AsyncEngine, Identity]:
    """An engine for the SQLite file, which is made for us alone (0600) when absent, and the file's identity. The caller must dispose of it.

    Transactions of connections with the execution option `write` begin IMMEDIATE: they wait for the lock before they read, so they never
    fail halfway for want of it. All connections are to this very file: when another has come in its place, a new connection is refused with
    OSError (ESTALE). Raises OSError.
    """
    # Never open an existing database beside SQLite: closing any handle of a file drops the process's locks on it (fcntl(2)).
    files.make_file(path)
    status = os.stat(path)
    file = (status.st_dev, status.st_ino)
    result = create_async_engine(sa.URL.create("sqlite+aiosqlite", database=str(path)), pool_size=4, max_overflow=0)
    pragmas = (f"busy_timeout={int(busy_seconds * 1000)}", "synchronous=FULL", "secure_delete=ON")

    @event.listens_for(result.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:  # Any: the driver's connection, adapted by SQLAlchemy
        try:
            if identity(path) != file:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            connection.isolation_level = None  # transactions begin where we say
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            _write_ahead(cursor)
            cursor.close()
        except BaseException:
            connection.close()  # else its thread would never end
            raise

    @event.listens_for(result.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return result, file


def _write_ahead(cursor: Any) -> None:  # Any: the driver's cursor, adapted by SQLAlchemy
    """Switch to the write-ahead log. In a new file two processes that do this at once hinder each other, and the pragma itself does not wait."""
    for _ in range(_TRIES):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not code(error).startswith("SQLITE_BUSY"):
                raise
            cursor.execute("BEGIN IMMEDIATE")  # this does wait
            cursor.execute("ROLLBACK")
        else:
            return
    cursor.execute("PRAGMA journal_mode=WAL")


def identity(path: Path) -> Identity | None:
    """What tells a file from another that comes under its name; None when there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def sentence(doing: str, root: Path, error: Exception) -> QuarantineError:
    """What went wrong and what to do, from an OSError or a database error. Quotes no value of any mail."""
    if isinstance(error, OSError):
        return QuarantineError(f"cannot {doing} in {root}: {error.strerror or type(error).__name__}; {_advice(error)}")
    if isinstance(error, exc.TimeoutError):
        return QuarantineError(f"cannot {doing} in {root}: too much waits for the database; try again")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    text = str(cause) if isinstance(cause, sqlite3.Error) else type(cause).__name__
    name = code(error)
    advice = next((known for start, known in _ADVICE.items() if name.startswith(start)), "see the log of the system")
    return QuarantineError(f"cannot {doing} in {root}: {text}; {advice}")


_RESCUE = "`insurer-milter quarantine repair` keeps it aside and builds a new one from the mails' files"
_FILES = "let the service open more files (LimitNOFILE) or take fewer connections (`smtp.max_connections`)"
_ADVICE = {
    "SQLITE_BUSY": "another process holds it; try again",
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_READONLY": "make the folder writable for this user",
    "SQLITE_CANTOPEN": f"make the folder writable for this user, or {_FILES}",
    "SQLITE_NOTADB": _RESCUE,
    "SQLITE_CORRUPT": _RESCUE,
}
_ADVICE_OS = {
    errno.EACCES: "give the folder to this user",
    errno.EPERM: "give the folder to this user",
    errno.ENOENT: "make the folder, or correct `data_dir`",
    errno.EROFS: "mount the disk for writing",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
}


def _advice(error: OSError) -> str:
    return _ADVICE_OS.get(error.errno or 0, "make room on the disk or mount it for writing")


def is_damaged(error: BaseException | None) -> bool:
    """Whether the database's file is no database any more, or broken inside."""
    return isinstance(error, Exception) and code(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def code(error: Exception) -> str:
    """SQLite's name of the error (`SQLITE_BUSY`), "" when it is none of SQLite's."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    return str(getattr(cause, "sqlite_errorname", ""))


def nothing_written(error: Exception) -> bool:
    """True when SQLite certainly undid the transaction, or never began. After an I/O error a later recovery may still find it committed."""
    return isinstance(error, exc.TimeoutError) or code(error).startswith(
        ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_LOCKED", "SQLITE_CONSTRAINT")
    )
