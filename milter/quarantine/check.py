"""Files against database, both ways, and what can be mended.

Knows what a healthy quarantine looks like. Must never delete a mail unless it is told to: a file without an entry may be all that is left. Nor
must it guess: whoever comes back without its entry may have been released already, so it comes back `in-doubt`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa

from milter.quarantine import migrate, record, rows, schema
from milter.quarantine.care import deleted, unlisted
from milter.quarantine.database import DamagedError
from milter.quarantine.entry import Entry, State
from milter.quarantine.files import OLD, Found
from milter.quarantine.schema import entries
from milter.quarantine.store import Store

UNDER_WAY_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 1.0
NOTE = "found again by repair; it may have been released before"
_BATCH = 200


class Kind(StrEnum):
    """What can be wrong. `repair` mends all but missing, damaged and lost."""

    DATABASE = "database"
    MISSING = "missing"
    DAMAGED = "damaged"
    ORPHAN = "orphan"
    LOST = "lost"
    DELETED = "deleted"
    UNFINISHED = "unfinished"


MEANING = {
    Kind.DATABASE: "the database is damaged or counts wrongly; `quarantine repair` mends it",
    Kind.MISSING: "the file of this mail is gone; restore it from a backup, or `quarantine delete` the entry",
    Kind.DAMAGED: "the file of this mail was changed or damaged on the disk; restore it from a backup, or `quarantine delete` the entry",
    Kind.ORPHAN: "a whole mail that no entry names; `quarantine repair` makes its entry",
    Kind.LOST: "a file that no entry names and that lacks its envelope or is damaged; `quarantine repair --delete-orphans` deletes it",
    Kind.DELETED: "the file of a deleted mail that could not be taken away; `quarantine repair` deletes it, and so does retention",
    Kind.UNFINISHED: "a mail that was never whole, left by a crash; the sender was not told that it is held; `quarantine repair` deletes it",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `entry` is "" for the database."""

    kind: Kind
    entry: str = ""

    @property
    def meaning(self) -> str:
        """What it is and what to do."""
        return MEANING[self.kind]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was mended: entries made again, files rewritten in the present form, files deleted; `kept_as`: the damaged database.

    `young`: files without entry that were passed over because they may be on their way in; `left`: faults.
    """

    adopted: tuple[str, ...]
    rewritten: int
    removed: int
    recounted: bool
    kept_as: str
    young: int
    left: tuple[Fault, ...]


async def check(store: Store, *, reads_mails: bool = True) -> tuple[Fault, ...]:
    """Every fault, in the order of ids. Without `reads_mails` a damaged file is not noticed, and nothing but names is read.

    Mails that come, go or are released meanwhile are no faults: what looks wrong is looked at twice. Raises QuarantineError.
    """
    try:
        faults = await _faults(store, reads_mails=reads_mails)
        if any(fault.entry for fault in faults):
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            again = set(await _faults(store, reads_mails=reads_mails, only=frozenset(fault.entry for fault in faults)))
            faults = [fault for fault in faults if fault in again]
        is_wrong = await store.database.damage() is not None or await _miscounts(store)
    except DamagedError:
        return (Fault(Kind.DATABASE),)
    found = sorted(faults, key=lambda fault: (fault.entry, fault.kind))
    return (Fault(Kind.DATABASE), *found) if is_wrong else tuple(found)


async def young(store: Store) -> int:
    """How many files without an entry are passed over, because they may be mails on their way in."""
    count = 0
    for shard in await _shards(store):
        count += sum(_may_be_under_way(store, one) for one in await unlisted(store, shard))
    return count


async def _faults(store: Store, *, reads_mails: bool, only: frozenset[str] | None = None) -> list[Fault]:
    faults: list[Fault] = []
    there: set[str] = set()
    for files in await _shards(store):
        shard = [one for one in files if only is None or one.entry in only]
        there.update(one.entry for one in shard if not one.is_unfinished)
        faults += [Fault(kind, one.entry) for one, kind in await _strays(store, shard)]
    last = ""
    while batch := await _digests(store, last):
        for name, digest in batch:
            if only is not None and name not in only:
                continue
            if name not in there and not await asyncio.to_thread(store.files.exists, name):
                faults.append(Fault(Kind.MISSING, name))
            elif reads_mails and not await asyncio.to_thread(_is_whole, store, name, digest):
                faults.append(Fault(Kind.DAMAGED, name))
        last = batch[-1][0]
    return faults


async def _shards(store: Store) -> list[list[Found]]:
    try:
        return await asyncio.to_thread(lambda: list(store.files.walk()))
    except OSError as error:
        raise schema.sentence("check the files", store.root, error) from error


async def _strays(store: Store, shard: Sequence[Found]) -> list[tuple[Found, Kind]]:
    """The files of a shard that no entry names, but those that may be on their way in."""
    unknown = [one for one in await unlisted(store, shard) if not _may_be_under_way(store, one)]
    gone = await deleted(store, unknown)
    found = []
    for one in unknown:
        if one.is_unfinished:
            found.append((one, Kind.UNFINISHED))
        elif one.entry in gone:
            found.append((one, Kind.DELETED))
        else:
            found.append((one, Kind.ORPHAN if await asyncio.to_thread(_adoptable, store, one) else Kind.LOST))
    return found


def _may_be_under_way(store: Store, found: Found) -> bool:
    return abs(store.now().timestamp() - found.changed) <= UNDER_WAY_SECONDS


async def _digests(store: Store, after: str) -> list[tuple[str, str]]:
    query = sa.select(entries.c.id, entries.c.digest).where(entries.c.id > after).order_by(entries.c.id).limit(_BATCH)
    async with store.database.reading("check the database") as connection:
        return [(name, digest) for name, digest in await connection.execute(query)]


async def _miscounts(store: Store) -> bool:
    async with store.database.transaction("check the database") as connection:
        is_wrong = await connection.run_sync(migrate.recount)
        await connection.rollback()
    return is_wrong


def _is_whole(store: Store, name: str, digest: str) -> bool:
    """Whether the octets are those that were stored. One that goes away meanwhile is found missing at the second look, or is no fault."""
    try:
        return hashlib.sha256(store.files.read(name)).hexdigest() == digest
    except OSError:
        return False


def _adoptable(store: Store, found: Found) -> Entry | None:
    """The entry that a file's head tells of, when head and octets are whole and belong to its name."""
    try:
        head, octets = store.files.read_both(found.entry)
        entry, digest = record.read(head)
    except (OSError, ValueError):
        return None
    is_right = (entry.id, entry.octets, digest) == (found.entry, len(octets), hashlib.sha256(octets).hexdigest())
    return entry if is_right else None


async def repair(store: Store, *, who: str, delete_orphans: bool = False) -> Repair:
    """Mend what can be mended. A damaged database is kept aside and built anew from the mails' files.

    `delete_orphans`: files that no entry names are deleted instead, mails among them. Raises QuarantineError.
    """
    damaged = await store.database.damage()
    kept = await store.database.replace(damaged) if damaged else ""
    async with store.database.transaction("count the quarantine") as connection:
        recounted = await connection.run_sync(migrate.recount)
        for detail in ([f"damaged database kept as {kept}"] if kept else []) + (["total counted anew"] if recounted else []):
            await store.note(connection, who, "repair", ("",), detail)
    adopted: list[str] = []
    removed = 0
    passed_over = await young(store)
    for shard in await _shards(store):
        doomed = []
        for one, kind in await _strays(store, shard):
            if kind in (Kind.UNFINISHED, Kind.DELETED) or delete_orphans:
                doomed.append(one)
            elif kind is Kind.ORPHAN and await _adopt(store, one, who):
                adopted.append(one.entry)
        await _remove(store, doomed, who)
        removed += len(doomed)
    rewritten = await _rewrite(store, who)
    return Repair(tuple(adopted), rewritten, removed, recounted, kept, passed_over, await check(store))


async def _adopt(store: Store, found: Found, who: str) -> bool:
    """Make the entry of a file that has none. Whether it was released nobody can know any more."""
    entry = await asyncio.to_thread(_adoptable, store, found)
    if entry is None:
        return False
    entry = replace(entry, state=State.IN_DOUBT, note=NOTE, changed=store.now(), pending=tuple(range(len(entry.envelope.rcpt_to))))
    _, digest = record.read((await asyncio.to_thread(store.files.read_both, entry.id))[0])
    async with store.database.transaction("make the entry again") as connection:
        if (await connection.execute(sa.select(entries.c.id).where(entries.c.id == entry.id))).first():
            return False
        await connection.execute(entries.insert().values(rows.values(record.facts(entry, digest))))
        await store.note(connection, who, "repair", (entry.id,), "entry made again from its file")
    return True


async def _remove(store: Store, doomed: Sequence[Found], who: str) -> None:
    if not doomed:
        return
    async with store.database.transaction("delete what no entry names") as connection:
        await store.note(connection, who, "repair", [one.entry for one in doomed], "file without entry deleted")
    try:
        await asyncio.to_thread(store.files.remove_found, doomed)
    except OSError as error:
        raise schema.sentence("delete what no entry names", store.root, error) from error


async def _rewrite(store: Store, who: str) -> int:
    """Put the facts beside the octets of files of schema 1, so that they too can be released when the database is lost."""
    count = 0
    for shard in await _shards(store):
        for one in shard:
            if one.path.suffix == OLD and await _rewrite_one(store, one.entry, who):
                count += 1
    return count


async def _rewrite_one(store: Store, name: str, who: str) -> bool:
    async with store.database.reading("read the entry") as connection:
        row = (await connection.execute(sa.select(entries).where(entries.c.id == name))).mappings().one_or_none()
    if row is None or not await asyncio.to_thread(_is_whole, store, name, row["digest"]):
        return False

    def write() -> None:
        if not store.files.path(name).exists():
            store.files.write(name, record.line(rows.facts(dict(row))), store.files.read(name))
        store.files.remove_old_form(name)

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise schema.sentence("rewrite a file", store.root, error) from error
    async with store.database.transaction("rewrite a file") as connection:
        if (await connection.execute(sa.select(entries.c.id).where(entries.c.id == name))).first():
            await store.note(connection, who, "repair", (name,), "file rewritten in the present form")
            return True
    await store.unlink((name,))  # deleted meanwhile: the new file must not stay
    return False
