"""A quarantine of schema 1 in the present program: nothing is lost on the way forward, and there is no way back by accident."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from milter.actions.next_hop import Delivery
from milter.errors import QuarantineError
from milter.model.mail import Params
from milter.model.reply import reply
from milter.quarantine import migrate
from milter.quarantine.check import check, repair
from milter.quarantine.entry import Filter, State
from milter.quarantine.release import release
from milter.quarantine.store import Store
from tests.helpers import held
from tests.unit.quarantine.test_release import Hop

VECTOR = Path(__file__).resolve().parents[2] / "vectors" / "quarantine-1" / "quarantine"
HELD, NULL_SENDER, RELEASED, ODD = "01kf0hktv0c6qpxe6sw3c6", "01kf0hnne0ahxw8b0n420b", "01kf0hsam079knvh6ghndn", "01kf0hytd0e1e70dc001f5"
OK = reply(250, "2.0.0", "Ok: queued as 4Q2W9")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the quarantine of schema 1."""
    return Path(shutil.copytree(VECTOR, tmp_path / "q"))


async def test_it_opens_lists_and_releases(old: Path) -> None:
    """Every entry of schema 1 is there as it was, its octets and its audit too; a held one is released with the client's parameters."""
    told: list[tuple[str, Mapping[str, object]]] = []
    async with await Store.open(old, event=lambda name, facts: told.append((name, facts)), now=held.Clock()) as store:
        entries = {entry.id: entry for entry in await store.list(Filter(limit=100))}
        states = sorted(entry.state.value for entry in entries.values())
        assert states == ["failed", "held", "held", "held", "in-doubt", "released", "releasing"]
        assert await store.size() == (7, 7 * len(held.RAW))
        assert entries[ODD].envelope.rcpt_to == ("odd\udcff@example.org",)
        assert [(line.what, line.entry) for line in await store.trail(HELD)] == [("view", HELD)]
        hop = Hop(Delivery((OK, OK), OK))
        assert (await release(store, hop, NULL_SENDER, who="test")).state is State.RELEASED
        assert hop.got[0][0] == entries[NULL_SENDER].envelope
        assert hop.got[0][1].endswith(held.RAW[held.RAW.index(b"From:") :].replace(b"<1@", b"<2@"))
        assert hop.params == [Params((b"BODY=8BITMIME", b"RET=HDRS"), ((b"NOTIFY=NEVER",), ()))]
        with pytest.raises(QuarantineError, match="was released at 2026-01-15"):
            await release(store, hop, RELEASED, who="test")
        await store.add(held.mail(), held.decision())
        assert (await store.size())[0] == 8
    assert told == [("quarantine migrated", {"from": 1, "to": 2, "copy": "index.sqlite.schema-1"})]


async def test_the_old_database_is_kept_aside(old: Path) -> None:
    """The copy is the database as it was, for its owner alone; opening again changes nothing more."""
    for _ in range(2):
        async with await Store.open(old):
            pass
    copy = old / "index.sqlite.schema-1"
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("select value from meta").fetchall() == [("1",)]
        assert database.execute("select count(*) from entries").fetchone() == (7,)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert held.databases(old) == ["index.sqlite", "index.sqlite.schema-1"]


async def test_a_step_that_fails_leaves_the_old_schema(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way forward is one transaction: a failure in its middle leaves a database that the old program reads, and the next opening succeeds."""

    def fail(connection: sa.Connection) -> None:
        migrate._to_2(connection)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setitem(migrate.STEPS, 1, fail)
        with pytest.raises(QuarantineError, match=r"cannot open the quarantine in .*No space left on device; make room"):
            await Store.open(old)
    with closing(sqlite3.connect(old / "index.sqlite")) as database:
        assert database.execute("select value from meta").fetchall() == [("1",)]
        assert database.execute("select count(*) from sqlite_master where name = 'totals'").fetchone() == (0,)
    async with await Store.open(old) as store:
        assert (await store.size())[0] == 7


async def test_no_copy_no_migration(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the copy cannot be made, the database stays as it is."""

    def fail(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrate, "copy", fail)
    with pytest.raises(QuarantineError, match="No space left on device"):
        await Store.open(old)
    with closing(sqlite3.connect(old / "index.sqlite")) as database:
        assert database.execute("select value from meta").fetchall() == [("1",)]


async def test_a_migrated_database_is_as_a_new_one(old: Path, tmp_path: Path) -> None:
    """Tables, columns, indexes and triggers are those of a new database."""
    shapes = []
    for root in (old, tmp_path / "new"):
        async with await Store.open(root):
            pass
        with closing(sqlite3.connect(root / "index.sqlite")) as database:
            found = database.execute("select type, name, tbl_name from sqlite_master order by 1, 2").fetchall()
            columns = [database.execute(f"pragma table_info({name})").fetchall() for kind, name, _ in found if kind == "table"]
            triggers = database.execute("select sql from sqlite_master where type = 'trigger' order by 1").fetchall()
            shapes.append((found, columns, triggers))
    assert shapes[0] == shapes[1]


async def test_repair_gives_old_files_their_facts(old: Path) -> None:
    """After a repair the mails of schema 1 outlive the loss of the database as new ones do."""
    async with await Store.open(old) as store:
        assert await check(store) == ()
        done = await repair(store, who="test")
        assert (done.rewritten, done.adopted, done.removed, done.left) == (7, (), 0, ())
        assert len(held.files(old)) == 7
        assert [line.detail for line in await store.trail(RELEASED)][-1] == "file rewritten in the present form"
        before = {entry.id: entry for entry in await store.list()}
        assert await store.octets(HELD, who="test") == held.RAW
    (old / "index.sqlite").unlink()
    async with await Store.open(old, now=held.Clock()) as store:
        assert set((await repair(store, who="test")).adopted) == before.keys()
        after = {entry.id: entry for entry in await store.list()}
        assert {name: entry.envelope for name, entry in after.items()} == {name: entry.envelope for name, entry in before.items()}
        assert after[NULL_SENDER].params == before[NULL_SENDER].params
