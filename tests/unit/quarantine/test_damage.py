"""A database that is broken, taken away or replaced, before we open it and while we use it: mails are held all the same, and none is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from milter.errors import QuarantineError
from milter.quarantine import check as checking
from milter.quarantine.check import Fault, Kind, check, repair
from milter.quarantine.database import DamagedError
from milter.quarantine.store import Store
from tests.helpers import held

ME = "admin"
KEPT = "index.sqlite.corrupt-20260115T100000Z"
Told = list[tuple[str, Mapping[str, object]]]


@pytest.fixture
def told() -> Told:
    """What the store said for the log."""
    return []


async def opened(root: Path, told: Told) -> Store:
    """A store as the service opens it."""
    return await Store.open(root, heal=True, event=lambda name, facts: told.append((name, facts)), now=held.Clock(), busy_seconds=2)


async def settled(store: Store) -> None:
    """All that is committed stands in the database's own file."""
    async with store.database.reading("settle") as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def spoil(root: Path) -> None:
    """Write rubbish over the database, as a broken disk would."""
    path = root / "index.sqlite"
    handle = os.open(path, os.O_WRONLY)
    os.pwrite(handle, os.urandom(path.stat().st_size), 0)
    os.close(handle)


def spoil_inside(root: Path) -> None:
    """Write rubbish over all but the first page."""
    path = root / "index.sqlite"
    handle = os.open(path, os.O_WRONLY)
    os.pwrite(handle, os.urandom(path.stat().st_size - 4096), 4096)
    os.close(handle)


DAMAGED = {
    "kept_as": KEPT,
    "meaning": "the index was damaged; a new one is in use, the mails' files are untouched",
    "do": "insurer-milter quarantine repair",
}


@pytest.mark.parametrize("harm", [spoil, spoil_inside])
async def test_damage_at_opening(tmp_path: Path, told: Told, harm: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service keeps the damaged database aside, says so, and goes on; a repair brings every mail back."""
    monkeypatch.setattr(checking, "LOOK_AGAIN_SECONDS", 0)
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        names = {await store.add(held.mail(), held.decision()) for _ in range(3)}
    assert callable(harm)
    harm(root)
    spoilt = (root / "index.sqlite").read_bytes()
    async with await opened(root, told) as store:
        later = await store.add(held.mail(), held.decision())
        assert (root / KEPT).read_bytes() == spoilt
        assert ("quarantine damaged", DAMAGED) in told
        assert (await check(store))[-1].kind is Kind.ORPHAN
        assert set((await repair(store, who=ME)).adopted) == names
        assert {entry.id for entry in await store.list()} == names | {later}
        assert await check(store) == ()


@pytest.mark.parametrize("harm", [spoil, spoil_inside])
async def test_damage_while_running(tmp_path: Path, told: Told, harm: object) -> None:
    """No mail is refused: one that meets the damage is held in a new database, and so is every later one; a repair brings the others back.

    SQLite may go on with what it has in memory: then nobody meets the damage before the repair, which looks at the disk.
    """
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        names = {await store.add(held.mail(), held.decision()) for _ in range(3)}
        await settled(store)
        assert callable(harm)
        harm(root)
        later = set(await asyncio.gather(*(store.add(held.mail(), held.decision()) for _ in range(8))))
        later.add(await store.add(held.mail(), held.decision()))
        await repair(store, who=ME)
        assert {entry.id for entry in await store.list()} == names | later
        assert told == [("quarantine damaged", DAMAGED)]
        assert await check(store) == ()
        for name in names | later:
            assert await store.octets(name, who=ME) == held.RAW


async def test_two_processes_find_the_damage(tmp_path: Path, told: Told) -> None:
    """One keeps the database aside, the other opens the new one: both hold mails in the same."""
    root = tmp_path / "q"
    async with await opened(root, told) as one, await opened(root, told) as two:
        for store in (one, two):
            await store.add(held.mail(), held.decision())
        await settled(one)
        spoil(root)
        names = await asyncio.gather(*(store.add(held.mail(), held.decision()) for store in (one, two) * 8))
        last = [await store.add(held.mail(), held.decision()) for store in (one, two)]
        await repair(one, who=ME)
        for store in (one, two):
            listed = {entry.id for entry in await store.list()}
            assert listed >= {*names, *last}
            assert len(listed) == 20
    assert [path for path in held.databases(root) if "corrupt" in path and not path.endswith(("-wal", "-shm"))] == [KEPT]
    assert [name for name, _ in told].count("quarantine damaged") == 1


async def test_who_is_late_replaces_nothing(tmp_path: Path, told: Told) -> None:
    """Somebody who met the damage before another replaced the database does not put the new one aside."""
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        status = (root / "index.sqlite").stat()
        damaged = (status.st_dev, status.st_ino)
        assert await store.database.replace(damaged) == KEPT
        name = await store.add(held.mail(), held.decision())
        assert await store.database.replace(damaged) == ""
        assert [entry.id for entry in await store.list()] == [name]


async def test_a_person_who_looks_replaces_nothing(tmp_path: Path) -> None:
    """Without `heal` a damaged database is an error that says what to do, at opening and later, and stays where it is."""
    root = tmp_path / "q"
    sentence = (
        f"cannot open the quarantine in {root}: file is not a database; `insurer-milter quarantine repair` keeps it aside and builds a new one"
        " from the mails' files"
    )
    async with await Store.open(root) as store:
        await store.add(held.mail(), held.decision())
        await settled(store)
        spoil_inside(root)
        assert await check(store) == (Fault(Kind.DATABASE),)
    with pytest.raises(DamagedError, match=r"database disk image is malformed; `insurer-milter quarantine repair`"):
        await Store.open(root)
    spoil(root)
    with pytest.raises(QuarantineError) as refused:
        await Store.open(root)
    assert str(refused.value) == sentence
    assert held.databases(root) == ["index.sqlite"]


async def test_a_damaged_database_is_repaired_by_a_person(tmp_path: Path, told: Told) -> None:
    """`repair` keeps a damaged database aside itself, while a service runs, which then uses the new one too."""
    root = tmp_path / "q"
    async with await opened(root, told) as service, await Store.open(root, now=held.Clock()) as person:
        name = await service.add(held.mail(), held.decision())
        await settled(service)
        spoil_inside(root)
        done = await repair(person, who=ME)
        assert (done.adopted, done.kept_as, done.left) == ((name,), KEPT, ())
        later = await service.add(held.mail(), held.decision())
        assert {entry.id for entry in await person.list()} == {name, later}
    assert ("quarantine reopened", {"meaning": "another process replaced the database"}) in told


async def test_a_database_that_is_taken_away_while_running(tmp_path: Path, told: Told) -> None:
    """When somebody deletes the database under us, the next mail is held in a new one, and the log says that mails lie there unlisted."""
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        lost = await store.add(held.mail(), held.decision())
        for path in root.glob("index.sqlite*"):
            path.unlink()
        name = await store.add(held.mail(), held.decision())
        assert [entry.id for entry in await store.list()] == [name]
        assert [name for name, _ in told] == ["quarantine index new", "quarantine reopened"]
        assert (await repair(store, who=ME)).adopted == (lost,)


async def test_an_emptied_database_is_told(tmp_path: Path, told: Told) -> None:
    """A database that a crash of the disk left empty is made anew, and the log says that mails lie there unlisted."""
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        await store.add(held.mail(), held.decision())
    (root / "index.sqlite").write_bytes(b"")
    async with await opened(root, told) as store:
        assert await store.list() == ()
    assert told == [("quarantine index new", {"meaning": "mails lie there that no index knows", "do": "insurer-milter quarantine repair"})]


async def test_a_crash_while_the_damaged_one_is_kept_aside(tmp_path: Path, told: Told) -> None:
    """When only the database was renamed and its write-ahead log stayed, the new database takes nothing of that log; a repair brings all mails."""
    root = tmp_path / "q"
    async with await opened(root, told) as store:
        names = {await store.add(held.mail(), held.decision()) for _ in range(3)}
        (root / "index.sqlite").rename(root / KEPT)
        assert (root / "index.sqlite-wal").stat().st_size > 10_000
        shutil.copytree(root, tmp_path / "crashed")
    async with await opened(tmp_path / "crashed", told) as store:
        assert await store.list() == ()
        name = await store.add(held.mail(), held.decision())
        assert set((await repair(store, who=ME)).adopted) == names
        assert {entry.id for entry in await store.list()} == {name, *names}
        assert await check(store) == ()


async def test_each_damage_is_kept(tmp_path: Path, told: Told) -> None:
    """A second damage in the same second does not overwrite what was kept of the first."""
    root = tmp_path / "q"
    for _ in range(2):
        async with await opened(root, told):
            pass
        spoil(root)
    async with await opened(root, told):
        pass
    assert [name for name in held.databases(root) if not name.endswith(("-wal", "-shm"))] == ["index.sqlite", KEPT, f"{KEPT}-1"]
