"""The quarantine: what is in it is on the disk before anybody is told so (promise 2).

Knows the order that makes it safe: the file durable first, then one database transaction (WAL, synchronous=FULL) that makes it exist. A crash
in between leaves an orphan file that nobody lists. Deleting goes the other way round. Every view, release and deletion is written down in the
same transaction. Must not judge, nor log: everything here is personal data.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from milter.actions import edits
from milter.adapters import clock
from milter.errors import QuarantineError
from milter.model.mail import Mail, Params
from milter.model.verdict import Decision
from milter.quarantine import record, rows, schema
from milter.quarantine.database import DamagedError, Database, Event, Now, ReplacedError
from milter.quarantine.entry import Entry, Filter, State, Stats, Trail, checked_id, new_id
from milter.quarantine.files import Before, Files
from milter.quarantine.schema import audit, entries, totals

# One statement, made once: insert unless it would exceed the quota. With each mail, so it must cost no more than a plain insert.
_INSERT = entries.insert().from_select(
    [column.name for column in entries.c],
    sa.select(*(sa.bindparam(f"new_{column.name}", type_=column.type) for column in entries.c)).where(
        sa.select(totals.c.octets).scalar_subquery() + sa.bindparam("new_octets", type_=sa.BigInteger) <= sa.bindparam("most", type_=sa.BigInteger)
    ),
)


@dataclass(frozen=True, slots=True)
class Quota:
    """No mail is stored beyond `most_octets` in all, nor when less than `min_free_octets` of the disk would stay free."""

    most_octets: int = 2**62
    min_free_octets: int = 0


class Store:
    """One quarantine. Made by `Store.open`; must be closed, or the program does not end (aiosqlite's threads).

    Every method raises QuarantineError with a sentence when it cannot do its work; then nothing was changed. Several processes may use one
    folder. Use a store in the event loop that opened it.
    """

    def __init__(self, root: Path, database: Database, files: Files, now: Now, before: Before, quota: Quota) -> None:
        self.root, self.database, self.files, self.now, self.quota = root, database, files, now, quota
        self._before = before

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        quota: Quota | None = None,
        event: Event = lambda name, facts: None,
        heal: bool = False,
        now: Now = clock.now,
        before: Before = lambda step: None,
        busy_seconds: float = 10.0,
    ) -> Self:
        """Open the quarantine in a folder, which is made when only its last part is missing.

        `event` is told what the log should say. `heal`: a damaged database is kept aside and a new one made, at once and while mails are
        stored. `before` is for tests of crashes.
        """
        root = Path(path)
        database = await Database.open(root, now=now, event=event, busy_seconds=busy_seconds, heal=heal)
        return cls(root, database, Files(root, before), now, before, quota or Quota())

    async def close(self) -> None:
        """Let go of the database; its threads end."""
        await self.database.close()

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
        now = self.now()
        entry = rows.new_entry(new_id(now), now, mail, decision, trace + edits.front(kept), places, params or Params())
        await self.put(entry, mail.raw)
        return entry.id

    async def put(self, entry: Entry, octets: bytes, *, who: str = "", what: str = "") -> None:
        """Make an entry exist: its file, then its row. With `who`, it is audited as `what`. Raises QuarantineError; then there is no such entry,
        nor its file unless the disk failed in the middle."""
        try:
            known = await asyncio.to_thread(self._write, entry, octets)
        except OSError as error:
            raise schema.sentence("store the mail", self.root, error) from error
        self._before("commit")
        try:
            try:
                await self._insert(known, who, what)
            except ReplacedError:
                await self._insert(known, who, what)
            except DamagedError as damage:
                if not self.database.heals:
                    raise
                await self.database.replace(damage.file)
                await self._insert(known, who, what)
        except QuarantineError as error:
            if error.__cause__ is None or (isinstance(error.__cause__, Exception) and schema.nothing_written(error.__cause__)):
                with suppress(OSError):
                    await asyncio.to_thread(self.files.remove, (entry.id,))
            raise
        self._before("answer")

    def _write(self, entry: Entry, octets: bytes) -> dict[str, object]:
        known = record.facts(entry, hashlib.sha256(octets).hexdigest())
        head = record.line(known)
        least = self.quota.min_free_octets
        if least and self.files.free() - len(head) - len(octets) < least:
            raise QuarantineError(
                f"cannot store the mail in {self.root}: less than {least} octets of the disk would stay free (`quarantine.min_free_octets`);"
                " make room on the disk"
            )
        self.files.write(entry.id, head, octets)
        return known

    async def _insert(self, known: dict[str, object], who: str, what: str) -> None:
        row = {f"new_{column}": value for column, value in rows.values(known).items()}
        async with self.database.transaction("store the mail") as connection:
            done = await connection.execute(_INSERT, {**row, "most": self.quota.most_octets})
            if done.rowcount < 1:
                raise QuarantineError(
                    f"cannot store the mail in {self.root}: more than {self.quota.most_octets} octets would be held (`quarantine.keep_octets` and"
                    " a quarter); release or delete mails, or raise it"
                )
            if who:
                await self.note(connection, who, what, (str(known["id"]),))

    async def list(self, wanted: Filter | None = None) -> tuple[Entry, ...]:
        """The entries that a filter wants, newest first."""
        async with self.database.reading("list the quarantine") as connection:
            found = (await connection.execute(rows.matching(wanted or Filter()))).mappings().all()
        return tuple(rows.entry(row) for row in found)

    async def get(self, name: str, *, who: str = "") -> Entry:
        """One entry. With `who`, the view is audited; a person must not see an entry without it."""
        if who:
            return (await self._viewed(name, who))[0]
        async with self.database.reading("read the entry") as connection:
            return rows.entry(await _row(connection, checked_id(name)))

    async def octets(self, name: str, *, who: str) -> bytes:
        """The original octets; the view is audited first."""
        entry, digest = await self._viewed(name, who)
        return await self.read(entry.id, digest)

    async def _viewed(self, name: str, who: str) -> tuple[Entry, str]:
        async with self.database.transaction("read the entry") as connection:
            row = await _row(connection, checked_id(name))
            await self.note(connection, who, "view", (name,))
        return rows.entry(row), row["digest"]

    async def read(self, name: str, digest: str) -> bytes:
        """The octets of a (checked) id, unaudited, when they have this digest."""
        try:
            octets = await asyncio.to_thread(self.files.read, name)
        except OSError as error:
            raise schema.sentence(f"read the mail of {name}", self.root, error) from error
        if hashlib.sha256(octets).hexdigest() != digest:
            raise QuarantineError(f"the file of {name} was changed or damaged on the disk; it is not delivered")
        return octets

    async def mark_releasing(self, name: str, *, who: str, again: bool = False) -> tuple[Entry, bytes]:
        """Commit that a release begins and give the entry, with its new attempt, and the original octets.

        An entry that may have been delivered, or was, needs `again`. One that is found `releasing` becomes `in-doubt`: nobody can know whether
        that release still runs or died.
        """
        async with self.database.reading("read the entry") as connection:
            octets = await self.read(name, (await _row(connection, checked_id(name)))["digest"])
        refusal = ""
        async with self.database.transaction("begin the release") as connection:
            entry = rows.entry(await _row(connection, name))
            if entry.state in _DOUBTS and not again:
                refusal = _DOUBTS[entry.state].format(id=name, when=f"{entry.changed:%Y-%m-%d %H:%M:%S} UTC", note=entry.note)
                if entry.state is State.RELEASING:
                    await self._set(connection, name, State.IN_DOUBT, note="a release began and left no outcome")
                    await self.note(connection, who, "in-doubt", (name,))
            else:
                pending = entry.pending or range(len(entry.envelope.rcpt_to))
                await self._set(connection, name, State.RELEASING, note="", attempt=entry.attempt + 1, pending=json.dumps([*pending]))
                await self.note(connection, who, "release", (name,), "again" if again else "")
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
        async with self.database.transaction("record the outcome of the release") as connection:
            entry = rows.entry(await _row(connection, checked_id(name)))
            if entry.attempt == attempt:
                left = entry.pending if pending is None else pending
                await self._set(connection, name, state, note=record.storable(note), pending=json.dumps(left))
            await self.note(connection, who, state.value, (name,), note)

    async def _set(self, connection: AsyncConnection, name: str, state: State, **columns: object) -> None:
        row = {"state": state.value, "changed": self.now().timestamp(), **columns}
        await connection.execute(entries.update().where(entries.c.id == name).values(row))

    async def note(self, connection: AsyncConnection, who: str, what: str, names: Iterable[str], detail: str = "") -> None:
        """Write down who did what to these entries, in the transaction of the deed."""
        about = {"at": self.now().timestamp(), "who": record.storable(who), "what": what, "detail": record.storable(detail)[:500]}
        lines = [{**about, "entry": name} for name in names]
        if lines:
            await connection.execute(audit.insert(), lines)

    async def delete(self, name: str, *, who: str) -> None:
        """Take an entry away for good; refused while a release runs. The audit keeps that it was there."""
        async with self.database.transaction("delete the entry") as connection:
            entry = rows.entry(await _row(connection, checked_id(name)))
            if entry.state is State.RELEASING:
                raise QuarantineError(f"{name} is being released since {entry.changed:%Y-%m-%d %H:%M:%S} UTC; wait, or release it with --again first")
            await connection.execute(entries.delete().where(entries.c.id == name))
            await self.note(connection, who, "delete", (name,))
        await self.unlink((name,))

    async def unlink(self, names: Iterable[str]) -> None:
        """Take files of entries that are gone; one that stays is found by `check`, and swept later."""
        with suppress(OSError):
            await asyncio.to_thread(self.files.remove, tuple(names))

    async def size(self) -> tuple[int, int]:
        """Mails and octets that are held. Costs the same however many there are."""
        async with self.database.reading("count the quarantine") as connection:
            mails, octets = (await connection.execute(sa.select(totals.c.mails, totals.c.octets))).one()
        return mails, octets

    async def stats(self) -> Stats:
        """Counts of what is held."""
        async with self.database.reading("count the quarantine") as connection:
            total = sa.select(sa.func.count(), sa.func.sum(entries.c.octets), sa.func.min(entries.c.received), sa.func.max(entries.c.received))
            number, octets, oldest, newest = (await connection.execute(total)).one()
            groups = []
            for column in (entries.c.state, entries.c.verdict, entries.c.insurer):
                found = (await connection.execute(sa.select(column, sa.func.count()).group_by(column).order_by(column))).all()
                groups.append({key or "": count for key, count in found})
        times = [record.moment(seconds) if seconds is not None else None for seconds in (oldest, newest)]
        return Stats(number, octets or 0, times[0], times[1], *groups)

    async def trail(self, name: str = "", *, since: datetime | None = None) -> tuple[Trail, ...]:
        """What was done, oldest first; to one entry when it is named."""
        query = sa.select(audit).order_by(audit.c.number)
        query = query.where(audit.c.entry == name) if name else query
        query = query.where(audit.c.at >= since.timestamp()) if since else query
        async with self.database.reading("read the audit") as connection:
            found = (await connection.execute(query)).mappings().all()
        return tuple(Trail(record.moment(row["at"]), row["who"], row["what"], row["entry"], row["detail"]) for row in found)


_DOUBTS = {
    State.RELEASING: "a release of {id} began at {when} and left no outcome: it may be running, or was cut off, and the mail may have been"
    " delivered; look at the mail server's log, then release with --again if a second copy does no harm",
    State.IN_DOUBT: "the release of {id} at {when} is in doubt ({note}): the mail may have been delivered; look at the mail server's log, then"
    " release with --again if a second copy does no harm",
    State.RELEASED: "{id} was released at {when} ({note}); --again delivers a second copy",
}


async def _row(connection: AsyncConnection, name: str) -> rows.Row:
    found = (await connection.execute(sa.select(entries).where(entries.c.id == name))).mappings().one_or_none()
    if found is None:
        raise QuarantineError(f"no quarantined mail {name}; `quarantine list` shows what is there")
    return dict(found)
