"""Retention: what is too old, or too much, goes, the oldest first; and what crashes left behind.

Knows the settings of retention. Must not judge or log. Deleting goes in batches with a pause between, so that mails that come in are stored
meanwhile: first the rows, with an audit line each, in one transaction, then the files. A mail that is being released never goes.

A clock that jumps ahead makes everything look old. So `care` believes a time that is more than `DOUBT` beyond its last run only when an hour has
gone by since and it still stands; who calls `purge` is believed at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from milter.quarantine import schema
from milter.quarantine.database import NAME
from milter.quarantine.entry import State
from milter.quarantine.files import Found
from milter.quarantine.schema import audit, entries, meta, totals
from milter.quarantine.store import Quota, Store
from milter.settings import model

DOUBT = timedelta(days=1)
PROOF = timedelta(hours=1)
SWEEP_EVERY = timedelta(hours=6)
ORPHAN_AGE = timedelta(days=1)
ME = "insurer-milter"
_BATCH = 200
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class CareReport:
    """What one run deleted: mails by age, because of their number, because of their size; files that no entry names; lines of the audit.

    `clock_in_doubt`: nothing was deleted, because the clock is far ahead of the last run.
    """

    by_age: int = 0
    by_number: int = 0
    by_size: int = 0
    files: int = 0
    audit_lines: int = 0
    clock_in_doubt: bool = False

    @property
    def mails(self) -> int:
        """Mails deleted in all."""
        return self.by_age + self.by_number + self.by_size


def quota(settings: model.Quarantine) -> Quota:
    """The wall behind the mark: retention deletes beyond `keep_octets`; what comes in faster, or is too young to go, is refused a quarter later."""
    return Quota(settings.keep_octets + settings.keep_octets // 4, settings.min_free_octets)


async def care(store: Store, settings: model.Quarantine, *, who: str = ME, trust_clock: bool = False) -> CareReport:
    """Delete what the settings do not keep. Cheap when there is nothing to do; call it every few minutes, in one process. Raises QuarantineError."""
    now = store.now()
    if not await _believes(store, now, trust_clock=trust_clock):
        return CareReport(clock_in_doubt=True)
    aged = await purge(store, now - timedelta(days=settings.keep_days), who=who)
    spared = now - timedelta(days=settings.spare_days)
    number = size = 0
    while batch := await _beyond(store, settings, spared, who):
        number, size = number + batch[0], size + batch[1]
        await asyncio.sleep(_PAUSE_SECONDS)
    files = await sweep(store, now - timedelta(days=settings.keep_days)) if await _is_due(store, now) else 0
    async with store.database.transaction("shorten the audit") as connection:
        old = audit.delete().where(audit.c.at < (now - timedelta(days=settings.keep_audit_days)).timestamp())
        lines = (await connection.execute(old)).rowcount
    return CareReport(aged, number, size, files, max(0, lines))


async def purge(store: Store, older_than: datetime, *, who: str) -> int:
    """Delete every entry received before a time, but those being released. Gives their number. Raises QuarantineError."""
    count = 0
    doomed = _oldest().where(entries.c.received < older_than.timestamp())
    while True:
        async with store.database.transaction("purge the quarantine") as connection:
            names = (await connection.execute(doomed)).scalars().all()
            await _delete(store, connection, names, who)
        await store.unlink(names)
        count += len(names)
        if len(names) < _BATCH:
            return count
        await asyncio.sleep(_PAUSE_SECONDS)


def _oldest() -> sa.Select[str]:
    return sa.select(entries.c.id).where(entries.c.state != State.RELEASING.value).order_by(entries.c.received, entries.c.id).limit(_BATCH)


async def _delete(store: Store, connection: AsyncConnection, names: Sequence[str], who: str) -> None:
    if names:
        await connection.execute(entries.delete().where(entries.c.id.in_(names)))
        await store.note(connection, who, "purge", names)


async def _beyond(store: Store, settings: model.Quarantine, spared: datetime, who: str) -> tuple[int, int] | None:
    """Delete a batch of what is beyond the number or the size that is kept; (because of number, because of size), None when there is nothing."""
    async with store.database.reading("count the quarantine") as connection:
        mails, octets = (await connection.execute(sa.select(totals.c.mails, totals.c.octets))).one()
    if mails <= settings.keep_mails and octets <= settings.keep_octets:
        return None
    async with store.database.transaction("purge the quarantine") as connection:
        mails, octets = (await connection.execute(sa.select(totals.c.mails, totals.c.octets))).one()
        query = _oldest().add_columns(entries.c.octets).where(entries.c.received < spared.timestamp())
        names: list[str] = []
        by_number = 0
        for name, size in (await connection.execute(query)).all():
            if mails <= settings.keep_mails and octets <= settings.keep_octets:
                break
            by_number += mails > settings.keep_mails
            mails, octets = mails - 1, octets - size
            names.append(name)
        await _delete(store, connection, names, who)
    await store.unlink(names)
    return (by_number, len(names) - by_number) if names else None


async def sweep(store: Store, older_than: datetime) -> int:
    """Take away files that no entry names: unfinished ones and those of deleted entries, and mails last changed before a time;
    none that is not a day old.

    A younger whole file without an entry stays: when the database was lost, it is all that is left of a mail (`check.repair` brings it back).
    Copies of the database of that age go too. Gives the number of files. Raises QuarantineError.
    """
    recent = (store.now() - ORPHAN_AGE).timestamp()
    limit = min(older_than.timestamp(), recent)
    count = 0
    try:
        shards = await asyncio.to_thread(lambda: list(store.files.walk()))
        for shard in shards:
            unknown = await unlisted(store, shard)
            gone = await deleted(store, unknown)
            doomed = [one for one in unknown if one.changed < (recent if one.is_unfinished or one.entry in gone else limit)]
            await asyncio.to_thread(store.files.remove_found, doomed)
            count += len(doomed)
        return count + await asyncio.to_thread(_sweep_copies, store, limit)
    except OSError as error:
        raise schema.sentence("sweep what no entry names", store.root, error) from error


def _sweep_copies(store: Store, limit: float) -> int:
    doomed = [path for kind in ("corrupt", "schema") for path in store.root.glob(f"{NAME}.{kind}-*") if path.stat().st_mtime < limit]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


async def unlisted(store: Store, found: Sequence[Found]) -> list[Found]:
    """Those of one shard's files that no entry names, the unfinished ones among them."""
    known: set[str] = set()
    async with store.database.reading("look for files that no entry names") as connection:
        for start in range(0, len(found), _BATCH):
            names = [one.entry for one in found[start : start + _BATCH]]
            known.update((await connection.execute(sa.select(entries.c.id).where(entries.c.id.in_(names)))).scalars())
    return [one for one in found if one.is_unfinished or one.entry not in known]


async def deleted(store: Store, found: Sequence[Found]) -> set[str]:
    """The ids of those of which the audit says that they were deleted."""
    gone: set[str] = set()
    async with store.database.reading("look for files that no entry names") as connection:
        for start in range(0, len(found), _BATCH):
            names = [one.entry for one in found[start : start + _BATCH]]
            query = sa.select(audit.c.entry).where(audit.c.entry.in_(names), audit.c.what.in_(("delete", "purge")))
            gone.update((await connection.execute(query)).scalars())
    return gone


async def _believes(store: Store, now: datetime, *, trust_clock: bool) -> bool:
    """Whether the clock may be believed; keeps the time of the last run, and of the first doubt."""
    async with store.database.transaction("look after the quarantine") as connection:
        last, doubt = await _kept(connection, "cared"), await _kept(connection, "doubted")
        seconds = now.timestamp()
        believed = trust_clock or last is None or seconds - last <= DOUBT.total_seconds()
        if not believed and doubt is not None and PROOF.total_seconds() <= seconds - doubt <= DOUBT.total_seconds():
            believed = True
        if believed:
            await _keep(connection, "cared", seconds)
            await _keep(connection, "doubted", None)
        elif doubt is None or not 0 <= seconds - doubt <= DOUBT.total_seconds():
            await _keep(connection, "doubted", seconds)
    return believed


async def _is_due(store: Store, now: datetime) -> bool:
    """Whether to look through all files now; that is not cheap. Keeps that it was done."""
    async with store.database.transaction("look after the quarantine") as connection:
        last = await _kept(connection, "swept")
        if last is not None and 0 <= now.timestamp() - last < SWEEP_EVERY.total_seconds():
            return False
        await _keep(connection, "swept", now.timestamp())
    return True


async def _kept(connection: AsyncConnection, name: str) -> float | None:
    text = (await connection.execute(sa.select(meta.c.value).where(meta.c.name == name))).scalar_one_or_none()
    return float(text) if text is not None else None


async def _keep(connection: AsyncConnection, name: str, seconds: float | None) -> None:
    await connection.execute(meta.delete().where(meta.c.name == name))
    if seconds is not None:
        await connection.execute(meta.insert().values(name=name, value=repr(seconds)))
