"""Export and import: a quarantine as a tar archive, for a backup or another machine.

Two members a mail, in this order: `<id>.json` (its facts as they stand, one line, see `record`) and `<id>.eml` (its octets). Knows POSIX.1-1988
ustar. An archive may come from anywhere: headers are read by a strict reader of our own that extracts nothing and looks at names first; every
other member (links, folders, devices, other names) is refused by name. Ids are kept, so an import that is repeated adds nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import sqlalchemy as sa

from milter.errors import QuarantineError
from milter.quarantine import record, rows, schema
from milter.quarantine.database import alone
from milter.quarantine.entry import Entry, State, checked_id
from milter.quarantine.files import HEAD_OCTETS
from milter.quarantine.schema import entries
from milter.quarantine.store import Store

MAIL_OCTETS = 1_073_741_824  # the most that `smtp.max_octets` may say
BLOCK = 512
_BATCH = 100
_END = b"\0" * BLOCK * 2

Read = Callable[[int], bytes]
Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Exported:
    """Mails in the archive, and those that are not, each with the reason."""

    mails: int
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """Mails that were added, and how many were there already."""

    mails: int
    known: int


async def export(store: Store, write: Write, *, who: str) -> Exported:
    """Write every mail; each is audited before it is given out. `write` may block. Raises QuarantineError, and what `write` raises."""
    count = 0
    left_out: list[tuple[str, str]] = []
    last = ""
    while True:
        async with store.database.transaction("export the quarantine") as connection:
            query = sa.select(entries).where(entries.c.id > last).order_by(entries.c.id).limit(_BATCH)
            batch = [dict(row) for row in (await connection.execute(query)).mappings()]
            await store.note(connection, who, "export", [row["id"] for row in batch])
        for row in batch:
            last = row["id"]
            try:
                octets = await store.read(last, row["digest"])
            except QuarantineError as error:
                if await _held(store, last) is not None:  # one that was deleted meanwhile is no trouble
                    left_out.append((last, str(error)))
                continue
            facts = record.line(rows.facts(row))
            await asyncio.to_thread(write, _member(f"{last}.json", facts, row["changed"]) + _member(f"{last}.eml", octets, row["received"]))
            count += 1
        if len(batch) < _BATCH:
            break
    await asyncio.to_thread(write, _END)
    return Exported(count, tuple(left_out))


def _member(name: str, octets: bytes, seconds: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(octets), 0o600, max(0, int(seconds))
    return info.tobuf(tarfile.USTAR_FORMAT) + octets + b"\0" * (-len(octets) % BLOCK)


async def import_all(store: Store, read: Read, *, who: str) -> Imported:
    """Add every mail of an archive that is not there yet. `read(n)` gives up to n octets, fewer only at the end; it may block.

    Raises QuarantineError at the first member that is none of ours or is damaged, by its name; the mails before it stay added.
    """
    added = known = 0
    lock = ExitStack()
    try:
        await asyncio.to_thread(lock.enter_context, alone(store.root, "import"))  # two of the same archive would undo each other's files
        async for entry, digest, octets in _mails(read):
            if await _is_known(store, entry, digest):
                known += 1
                continue
            if entry.state is State.RELEASING:
                entry = replace(entry, state=State.IN_DOUBT, note="exported while it was being released")
            await asyncio.to_thread(store.files.remove_unfinished, entry.id)
            await store.put(entry, octets, who=who, what="import")
            added += 1
    except QuarantineError as error:
        raise QuarantineError(f"{error}; added before: {added}, there already: {known}") from error
    except OSError as error:
        raise schema.sentence("import", store.root, error) from error
    finally:
        lock.close()
    return Imported(added, known)


async def _is_known(store: Store, entry: Entry, digest: str) -> bool:
    there = await _held(store, entry.id)
    if there not in (None, digest):
        raise QuarantineError(f"{entry.id} is held already with other octets, nothing of it was changed")
    return there is not None


async def _mails(read: Read) -> AsyncIterator[tuple[Entry, str, bytes]]:
    """(entry, digest, octets) of each pair of members."""
    while True:
        name, line = await asyncio.to_thread(_next, read, ".json", HEAD_OCTETS)
        if not name:
            return
        try:
            entry, digest = record.read(line)
        except ValueError as error:
            raise QuarantineError(f"the archive's member {name} cannot be used: {error}") from None
        if name != f"{entry.id}.json":
            raise QuarantineError(f"the archive's member {name} tells of another mail than its name says")
        mail, octets = await asyncio.to_thread(_next, read, ".eml", MAIL_OCTETS)
        if mail != f"{entry.id}.eml":
            raise QuarantineError(f"the archive has {mail or 'its end'} where {entry.id}.eml should be")
        if len(octets) != entry.octets or await asyncio.to_thread(_digest, octets) != digest:
            raise QuarantineError(f"the archive's member {mail} was changed or damaged")
        yield entry, digest, octets


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def _next(read: Read, suffix: str, most: int) -> tuple[str, bytes]:
    """Name and octets of the next member, ("", b"") at the end. Refused by its name unless it is a plain file `<id><suffix>` of a fitting size."""
    block = read(BLOCK)
    if block == b"\0" * BLOCK:
        return "", b""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise QuarantineError("the archive is cut off, damaged or no tar archive") from None
    shown = json.dumps(info.name[:200])
    name = info.name.removesuffix(suffix)
    try:
        is_ours = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.name.endswith(suffix) and checked_id(name) == name
    except QuarantineError:
        is_ours = False
    if not is_ours:
        raise QuarantineError(f"the archive has a member that does not belong here: {shown}, where <id>{suffix} should be")
    if not 0 <= info.size <= most:
        raise QuarantineError(f"the archive's member {shown} is too large")
    octets = read(info.size)
    padding = read(-info.size % BLOCK)
    if len(octets) != info.size or len(padding) != -info.size % BLOCK:
        raise QuarantineError(f"the archive ends within its member {shown}")
    return info.name, octets


async def _held(store: Store, name: str) -> str | None:
    """The digest of an entry that is there."""
    async with store.database.reading("look for the entry") as connection:
        return (await connection.execute(sa.select(entries.c.digest).where(entries.c.id == name))).scalar_one_or_none()
