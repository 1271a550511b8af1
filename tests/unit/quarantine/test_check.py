"""Check and repair: every fault is found by its name, nothing is deleted unasked, nobody gets a mail twice by mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milter.actions.next_hop import Delivery
from milter.errors import QuarantineError
from milter.model.mail import Params
from milter.model.reply import reply
from milter.quarantine import check as checking
from milter.quarantine.check import Fault, Kind, check, repair
from milter.quarantine.entry import State
from milter.quarantine.release import release
from milter.quarantine.store import Store
from tests.helpers import held
from tests.unit.quarantine.test_release import Hop

ME = "admin"
OK = reply(250, "2.0.0", "Ok")
RECIPIENTS = ("jean.dupont@example.org", "odd\udcff@example.org")
PARAMS = Params((b"RET=HDRS",), ((b"NOTIFY=NEVER",), ()))


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A quarantine whose clock is not the disk's, so that no file is too young to be a fault."""
    monkeypatch.setattr(checking, "LOOK_AGAIN_SECONDS", 0)
    async with await Store.open(tmp_path / "q", now=held.Clock()) as opened:
        yield opened


async def add(store: Store) -> str:
    """One mail with all that an envelope can have."""
    return await store.add(held.mail(recipients=RECIPIENTS), held.decision(), b"Received: here\r\n", PARAMS)


async def forget(store: Store, name: str) -> None:
    """Take the entry away and leave the file."""
    async with store.database.transaction("forget") as connection:
        await connection.exec_driver_sql(f"DELETE FROM entries WHERE id = '{name}'")


async def make(store: Store, kind: Kind) -> str:
    """Make one fault; the id it is about."""
    name = await add(store)
    path = store.files.path(name)
    match kind:
        case Kind.MISSING:
            path.unlink()
        case Kind.DAMAGED:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        case Kind.ORPHAN:
            await forget(store, name)
        case Kind.LOST:
            await forget(store, name)
            path.write_bytes(path.read_bytes()[:-1])
        case Kind.DELETED:
            saved = path.read_bytes()
            await store.delete(name, who=ME)
            path.write_bytes(saved)
        case Kind.UNFINISHED:
            await forget(store, name)
            path.rename(path.with_suffix(".tmp"))
        case Kind.DATABASE:
            async with store.database.transaction("count wrongly") as connection:
                await connection.exec_driver_sql("UPDATE totals SET mails = 77")
            return ""
    return name


MENDED = {Kind.ORPHAN, Kind.DELETED, Kind.UNFINISHED, Kind.DATABASE}


AUDITED = {
    Kind.ORPHAN: ["entry made again from its file"],
    Kind.DELETED: ["file without entry deleted"],
    Kind.UNFINISHED: ["file without entry deleted"],
    Kind.DATABASE: ["total counted anew"],
}


async def test_a_sound_quarantine_has_no_fault(store: Store) -> None:
    """Nothing wrong, nothing said; a repair changes nothing."""
    name = await add(store)
    assert await check(store) == ()
    done = await repair(store, who=ME)
    assert (done.adopted, done.rewritten, done.removed, done.recounted, done.kept_as, done.left) == ((), 0, 0, False, "", ())
    assert await store.octets(name, who=ME) == held.RAW


@pytest.mark.parametrize("kind", list(Kind))
async def test_each_fault_is_found_and_mended_if_it_can_be(store: Store, kind: Kind) -> None:
    """A fault is named with its mail; after a repair it is gone, or left with its mail untouched; the sound mail beside it stays as it was."""
    sound = await add(store)
    name = await make(store, kind)
    fault = Fault(kind, name)
    assert await check(store) == (fault,)
    before = {path: path.read_bytes() for path in held.files(store.root)}
    done = await repair(store, who=ME)
    assert done.left == (() if kind in MENDED else (fault,))
    assert (done.adopted, done.removed) == ((name,) if kind is Kind.ORPHAN else (), 1 if kind in (Kind.DELETED, Kind.UNFINISHED) else 0)
    gone = {path.stem for path in before} - {path.stem for path in held.files(store.root)}
    assert gone == ({name} if kind in (Kind.DELETED, Kind.UNFINISHED) else set())
    assert all(path.read_bytes() == before[path] for path in held.files(store.root))
    assert await store.octets(sound, who=ME) == held.RAW
    lines = [line.detail for line in await store.trail() if line.what == "repair"]
    assert lines == AUDITED.get(kind, [])
    assert await store.size() == ((await store.stats()).entries, (await store.stats()).octets)


@pytest.mark.parametrize("kind", [Kind.ORPHAN, Kind.LOST])
async def test_orphans_go_only_when_that_is_asked(store: Store, kind: Kind) -> None:
    """With `delete_orphans` files that no entry names are deleted, and that is written down."""
    name = await make(store, kind)
    done = await repair(store, who=ME, delete_orphans=True)
    assert (done.adopted, done.removed, done.left) == ((), 1, ())
    assert held.files(store.root) == []
    assert [(line.who, line.what, line.detail) for line in await store.trail(name)] == [(ME, "repair", "file without entry deleted")]


async def test_names_can_be_compared_alone(store: Store) -> None:
    """A check that reads no mail finds what is missing, not what is damaged."""
    missing = await make(store, Kind.MISSING)
    await make(store, Kind.DAMAGED)
    assert await check(store, reads_mails=False) == (Fault(Kind.MISSING, missing),)


async def test_what_comes_in_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """A young file without an entry may be on its way in: it is neither reported nor touched."""
    async with await Store.open(tmp_path / "q") as store:
        name = await make(store, Kind.ORPHAN)
        unfinished = await make(store, Kind.UNFINISHED)
        assert await check(store) == ()
        assert (await repair(store, who=ME, delete_orphans=True)).removed == 0
        assert {path.stem for path in held.files(store.root)} == {name, unfinished}


async def test_a_mail_outlives_its_database(store: Store) -> None:
    """When the database is lost, a repair brings every mail back with all that was known, and the release sends it as it would have been sent.

    Whether it was released before nobody knows: so it is in doubt, and goes out only with `again`.
    """
    name = await add(store)
    before = await store.get(name)
    for path in store.root.glob("index.sqlite*"):
        path.unlink()
    async with await Store.open(store.root, now=held.Clock()) as anew:
        assert await anew.list() == ()
        assert (await repair(anew, who=ME)).adopted == (name,)
        entry = await anew.get(name)
        assert (entry.state, entry.note) == (State.IN_DOUBT, "found again by repair; it may have been released before")
        assert (entry.envelope, entry.params, entry.connection) == (before.envelope, before.params, before.connection)
        assert (entry.front, entry.cuts, entry.reasons, entry.subject) == (before.front, before.cuts, before.reasons, before.subject)
        assert [(line.who, line.what) for line in await anew.trail(name)] == [(ME, "repair")]
        hop = Hop(Delivery((OK, OK), OK))
        with pytest.raises(QuarantineError, match=r"in doubt.*--again"):
            await release(anew, hop, name, who=ME)
        assert (await release(anew, hop, name, who=ME, again=True)).state is State.RELEASED
        assert hop.got == [(before.envelope, before.front + held.RAW[held.RAW.index(b"From:") :])]


async def test_a_file_under_another_name_is_not_taken_for_that_mail(store: Store) -> None:
    """A file whose head tells of another id is lost, not adopted."""
    first, second = await add(store), await add(store)
    await forget(store, second)
    store.files.path(second).write_bytes(store.files.path(first).read_bytes())
    assert await check(store) == (Fault(Kind.LOST, second),)
    assert (await repair(store, who=ME)).adopted == ()


async def test_strange_files_are_left_alone(store: Store) -> None:
    """What is none of ours is neither reported nor touched."""
    await add(store)
    (store.root / "zz").mkdir()
    strange = [store.root / "zz" / "README", store.root / "lost+found.held", store.root / "zz" / "x.held"]
    for path in strange:
        path.write_bytes(b"x")
    assert await check(store) == ()
    await repair(store, who=ME, delete_orphans=True)
    assert all(path.read_bytes() == b"x" for path in strange)
