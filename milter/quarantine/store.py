"""The quarantine: what is in it is on the disk before anybody is told so (promise 2).

Knows the order that makes it safe: the file durable first, then one database transaction (WAL, synchronous=FULL) that makes it exist. A crash
in between leaves an orphan file that nobody lists. Deleting goes the other way round. Every view, release and deletion is written down in the
same transaction. Must not judge, nor log: everything here is personal data.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from milter.actions import edits
from milter.adapters import clock
from milter.errors import QuarantineError
from milter.model.mail import Mail
from milter.model.verdict import Decision
from milter.quarantine import rows, schema
from milter.quarantine.entry import Entry, Filter, Params, State, Stats, Trail, checked_id, new_id
from milter.quarantine.files import Before, Files, make_folder
from milter.quarantine.schema import audit, entries

ORPHAN_AGE = timedelta(days=1)
_BATCH = 500
Now = Callable[[], datetime]


class Store:
    """One quarantine. Made by `Store.open`; must be closed, or the program does not end (aiosqlite's threads).

    Every method raises QuarantineError with a sentence when it cannot do its work; then nothing was changed. Several processes may use one
    folder. Use a store in the event loop that opened it.
    """

    def __init__(self, root: Path, engine: AsyncEngine, files: Files, now: Now, before: Before) -> None:
        self._root, self._engine, self._files, self._now, self._before = root, engine, files, now, before

    @classmethod
    async def open(cls, path: str | Path, *, now: Now = clock.now, before: Before = lambda step: None, busy_seconds: float = 10.0) -> Self:
        """Open the quarantine in a folder, which is made when only its last part is missing. `before` is for tests of crashes."""
        root = Path(path)
        try:
            engine = await asyncio.to_thread(_prepare, root, busy_seconds)
        except OSError as error:
            raise schema.sentence("open the quarantine", root, error) from error
        store = cls(root, engine, Files(root, before), now, before)
        try:
            async with store._transaction("open the quarantine") as connection:
                await connection.run_sync(schema.create)
        except BaseException:
            await engine.dispose()
            raise
        return store

    async def close(self) -> None:
        """Let go of the database; its threads end."""
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def add(self, mail: Mail, decision: Decision, trace: bytes = b"", params: Params | None = None) -> str:
        """Hold a mail; when this returns its id, the mail is safe.

        `trace` are header octets (Received) that a release puts before those of the decision.
        """
        kept = edits.without_replacements(decision.edits)
        places = tuple((cut.start, cut.end) for cut in edits.cuts(mail.raw, (), kept))
        now = self._now()
        entry = rows.new_entry(new_id(now), now, mail, decision, trace + edits.front(kept), places, params or Params())
        try:
            digest = await asyncio.to_thread(self._write, entry.id, mail.raw)
        except OSError as error:
            raise schema.sentence("store the mail", self._root, error) from error
        self._before("commit")
        try:
            async with self._transaction("store the mail") as connection:
                await connection.execute(entries.insert().values(rows.values(entry, digest)))
        except QuarantineError as error:
            if isinstance(error.__cause__, Exception) and schema.nothing_written(error.__cause__):
                with suppress(OSError):
                    await asyncio.to_thread(self._files.remove, entry.id)
            raise
        self._before("answer")
        return entry.id

    def _write(self, name: str, octets: bytes) -> str:
        self._files.write(name, octets)
        return hashlib.sha256(octets).hexdigest()

    async def list(self, wanted: Filter | None = None) -> tuple[Entry, ...]:
        """The entries that a filter wants, newest first."""
        async with self._reading("list the quarantine") as connection:
            found = (await connection.execute(rows.matching(wanted or Filter()))).mappings().all()
        return tuple(rows.entry(row) for row in found)

    async def get(self, name: str, *, who: str = "") -> Entry:
        """One entry. With `who`, the view is audited; a person must not see an entry without it."""
        if who:
            return (await self._viewed(name, who))[0]
        async with self._reading("read the entry") as connection:
            return rows.entry(await _row(connection, checked_id(name)))

    async def octets(self, name: str, *, who: str) -> bytes:
        """The original octets; the view is audited first."""
        entry, digest = await self._viewed(name, who)
        return await self._read(entry.id, digest)

    async def _viewed(self, name: str, who: str) -> tuple[Entry, str]:
        async with self._transaction("read the entry") as connection:
            row = await _row(connection, checked_id(name))
            await self._note(connection, who, "view", name)
        return rows.entry(row), row["digest"]

    async def _read(self, name: str, digest: str) -> bytes:
        try:
            octets = await asyncio.to_thread(self._files.read, name)
        except OSError as error:
            raise schema.sentence(f"read the mail of {name}", self._root, error) from error
        if hashlib.sha256(octets).hexdigest() != digest:
            raise QuarantineError(f"the file of {name} was changed or damaged on the disk; it is not delivered")
        return octets

    async def mark_releasing(self, name: str, *, who: str, again: bool = False) -> tuple[Entry, bytes]:
        """Commit that a release begins and give the entry, with its new attempt, and the original octets.

        An entry that may have been delivered, or was, needs `again`. One that is found `releasing` becomes `in-doubt`: nobody can know whether
        that release still runs or died.
        """
        async with self._reading("read the entry") as connection:
            octets = await self._read(name, (await _row(connection, checked_id(name)))["digest"])
        refusal = ""
        async with self._transaction("begin the release") as connection:
            entry = rows.entry(await _row(connection, name))
            if entry.state in _DOUBTS and not again:
                refusal = _DOUBTS[entry.state].format(id=name, when=f"{entry.changed:%Y-%m-%d %H:%M:%S} UTC", note=entry.note)
                if entry.state is State.RELEASING:
                    await self._set(connection, name, State.IN_DOUBT, note="a release began and left no outcome")
                    await self._note(connection, who, "in-doubt", name)
            else:
                pending = entry.pending or range(len(entry.envelope.rcpt_to))
                await self._set(connection, name, State.RELEASING, note="", attempt=entry.attempt + 1, pending=json.dumps([*pending]))
                await self._note(connection, who, "release", name, "again" if again else "")
                entry = rows.entry(await _row(connection, name))
        if refusal:
            raise QuarantineError(refusal)
        return entry, octets

    async def mark_released(self, name: str, reply: str, *, who: str, attempt: int) -> None:
        """The next hop took the mail with this reply."""
        await self._finish(name, State.RELEASED, reply, who, attempt, ())

    async def mark_failed(self, name: str, reply: str, *, who: str, attempt: int, pending: tuple[int, ...] | None = None) -> None:
        """The next hop certainly has not taken the mail, or not for the recipients `pending`."""
        await self._finish(name, State.FAILED, reply, who, attempt, pending)

    async def mark_in_doubt(self, name: str, note: str, *, who: str, attempt: int) -> None:
        """No answer came behind the final dot."""
        await self._finish(name, State.IN_DOUBT, note, who, attempt)

    async def _finish(self, name: str, state: State, note: str, who: str, attempt: int, pending: tuple[int, ...] | None = None) -> None:
        """Set the outcome of an attempt; an attempt that another overtook is only written down."""
        async with self._transaction("record the outcome of the release") as connection:
            entry = rows.entry(await _row(connection, checked_id(name)))
            if entry.attempt == attempt:
                left = entry.pending if pending is None else pending
                await self._set(connection, name, state, note=rows.storable(note), pending=json.dumps(left))
            await self._note(connection, who, state.value, name, note)

    async def _set(self, connection: AsyncConnection, name: str, state: State, **columns: object) -> None:
        row = {"state": state.value, "changed": self._now().timestamp(), **columns}
        await connection.execute(entries.update().where(entries.c.id == name).values(row))

    async def _note(self, connection: AsyncConnection, who: str, what: str, name: str, detail: str = "") -> None:
        row = {"at": self._now().timestamp(), "who": who, "what": what, "entry": name, "detail": rows.storable(detail)[:500]}
        await connection.execute(audit.insert().values(row))

    async def delete(self, name: str, *, who: str) -> None:
        """Take an entry away for good; refused while a release runs. The audit keeps that it was there."""
        async with self._transaction("delete the entry") as connection:
            entry = rows.entry(await _row(connection, checked_id(name)))
            if entry.state is State.RELEASING:
                raise QuarantineError(f"{name} is being released since {entry.changed:%Y-%m-%d %H:%M:%S} UTC; wait, or release it with --again first")
            await connection.execute(entries.delete().where(entries.c.id == name))
            await self._note(connection, who, "delete", name)
        await self._unlink((name,))

    async def purge(self, older_than: datetime, *, who: str) -> int:
        """Delete every entry received before a time, but those being released, and sweep orphans of crashes. Gives the number of entries."""
        count = 0
        doomed = sa.select(entries.c.id).where(entries.c.received < older_than.timestamp(), entries.c.state != State.RELEASING.value)
        while True:
            async with self._transaction("purge the quarantine") as connection:
                names = (await connection.execute(doomed.order_by(entries.c.id).limit(_BATCH))).scalars().all()
                await connection.execute(entries.delete().where(entries.c.id.in_(names)))
                for name in names:
                    await self._note(connection, who, "purge", name)
            await self._unlink(names)
            count += len(names)
            if len(names) < _BATCH:
                break
        await self._sweep()
        return count

    async def _unlink(self, names: Iterable[str]) -> None:
        """Take files of entries that are gone; one that stays is an orphan until the next purge."""
        for name in names:
            with suppress(OSError):
                await asyncio.to_thread(self._files.remove, name)

    async def _sweep(self) -> None:
        before = (self._now() - ORPHAN_AGE).timestamp()
        try:
            for path in await asyncio.to_thread(lambda: tuple(self._files.old(before))):
                async with self._reading("purge the quarantine") as connection:
                    known = (await connection.execute(sa.select(entries.c.id).where(entries.c.id == path.stem))).first()
                if known is None or path.suffix == ".tmp":
                    await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise schema.sentence("sweep orphans", self._root, error) from error

    async def stats(self) -> Stats:
        """Counts of what is held."""
        async with self._reading("count the quarantine") as connection:
            total = sa.select(sa.func.count(), sa.func.sum(entries.c.octets), sa.func.min(entries.c.received), sa.func.max(entries.c.received))
            number, octets, oldest, newest = (await connection.execute(total)).one()
            groups = []
            for column in (entries.c.state, entries.c.verdict, entries.c.insurer):
                found = (await connection.execute(sa.select(column, sa.func.count()).group_by(column).order_by(column))).all()
                groups.append({key or "": count for key, count in found})
        times = [rows.moment(seconds) if seconds is not None else None for seconds in (oldest, newest)]
        return Stats(number, octets or 0, times[0], times[1], *groups)

    async def trail(self, name: str = "") -> tuple[Trail, ...]:
        """What was done, oldest first; to one entry when it is named."""
        query = sa.select(audit).order_by(audit.c.number)
        query = query.where(audit.c.entry == name) if name else query
        async with self._reading("read the audit") as connection:
            found = (await connection.execute(query)).mappings().all()
        return tuple(Trail(rows.moment(row["at"]), row["who"], row["what"], row["entry"], row["detail"]) for row in found)

    @asynccontextmanager
    async def _transaction(self, doing: str) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(write=True)
                async with connection.begin():
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            raise schema.sentence(doing, self._root, error) from error

    @asynccontextmanager
    async def _reading(self, doing: str) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise schema.sentence(doing, self._root, error) from error


_DOUBTS = {
    State.RELEASING: "a release of {id} began at {when} and left no outcome: it may be running, or was cut off, and the mail may have been"
    " delivered; look at the mail server's log, then release with --again if a second copy does no harm",
    State.IN_DOUBT: "the release of {id} at {when} is in doubt ({note}): the mail may have been delivered; look at the mail server's log, then"
    " release with --again if a second copy does no harm",
    State.RELEASED: "{id} was released at {when} ({note}); --again delivers a second copy",
}


def _prepare(root: Path, busy_seconds: float) -> AsyncEngine:
    make_folder(root)
    if root.stat().st_mode & 0o077:
        root.chmod(0o700)
    return schema.engine(root / "index.sqlite", busy_seconds=busy_seconds)


async def _row(connection: AsyncConnection, name: str) -> rows.Row:
    found = (await connection.execute(sa.select(entries).where(entries.c.id == name))).mappings().one_or_none()
    if found is None:
        raise QuarantineError(f"no quarantined mail {name}; `quarantine list` shows what is there")
    return dict(found)
