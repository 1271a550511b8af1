"""The store: what it takes it keeps, and gives back as it came."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from milter.errors import QuarantineError
from milter.model.mail import Envelope, Params
from milter.quarantine.care import purge
from milter.quarantine.entry import Filter, State
from milter.quarantine.store import Store
from tests.helpers import held
from tests.helpers.held import Clock

ME = "admin"


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """An empty quarantine."""
    async with await Store.open(tmp_path / "quarantine", now=clock) as opened:
        yield opened


async def test_a_mail_comes_back_octet_for_octet(store: Store) -> None:
    """The original octets are kept as received, forged fields and odd octets too."""
    raw = held.RAW + bytes(range(256))
    name = await store.add(held.mail(raw), held.decision())
    assert await store.octets(name, who=ME) == raw


async def test_an_entry_keeps_all_that_was_known(store: Store, clock: Clock) -> None:
    """Envelope, parameters, connection, verdict and reasons come back as they were."""
    params = Params((b"BODY=8BITMIME", b"ENVID=\xff"), ((b"NOTIFY=NEVER",), ()))
    recipients = ("jean.dupont@example.org", "odd\udcff@example.org")
    name = await store.add(held.mail(recipients=recipients), held.decision(), b"Received: here\r\n", params)
    entry = await store.get(name)
    assert (entry.state, entry.received, entry.octets) == (State.HELD, clock.time, len(held.RAW))
    assert (entry.envelope, entry.params) == (Envelope("rebond@lilas-remboursement.example", recipients), params)
    assert (entry.connection, entry.queue_id) == (held.mail().connection, "4Q2W1")
    assert (entry.verdict, entry.insurer, entry.score) == ("impersonation", "mutuelle-des-lilas", 9.5)
    assert [(reason.rule, reason.text) for reason in entry.reasons] == [
        ("insurer-display-name-unauthenticated", "Se présente comme Mutuelle des Lilas.")
    ]
    assert (entry.author_domain, entry.subject, entry.pending) == ("lilas-remboursement.example", "Votre remboursement", (0, 1))
    assert entry.front == b"Received: here\r\n" + held.FRONT
    assert entry.cuts == ((0, held.RAW.index(b"From:")),)


async def test_hostile_text_is_stored(store: Store) -> None:
    """A subject with surrogates and NUL does not stop a mail from being held."""
    name = await store.add(held.mail(), replace(held.decision(), subject="a\udcff\0b"))
    assert (await store.get(name)).subject == "a\\udcffb"


async def test_what_is_held_survives_closing(tmp_path: Path) -> None:
    """A quarantine that is opened anew holds what was there."""
    async with await Store.open(tmp_path / "q") as first:
        name = await first.add(held.mail(), held.decision())
    async with await Store.open(tmp_path / "q") as second:
        assert [entry.id for entry in await second.list()] == [name]
        assert await second.octets(name, who=ME) == held.RAW


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, whatever the folder was before."""
    root = tmp_path / "q"
    root.mkdir(mode=0o755)
    async with await Store.open(root) as store:
        await store.add(held.mail(), held.decision())
        modes = {path.relative_to(root).suffix or "folder": path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")]}
    assert modes.pop("folder") == 0o700
    assert set(modes) >= {".held", ".sqlite", ".sqlite-wal"}
    assert set(modes.values()) == {0o600}


async def test_a_list_is_newest_first_and_limited(store: Store, clock: Clock) -> None:
    """A list shows the newest entries first and no more than asked for."""
    names = []
    for _ in range(4):
        names.append(await store.add(held.mail(), held.decision()))
        clock.pass_by(seconds=1)
    assert [entry.id for entry in await store.list(Filter(limit=3))] == names[:0:-1]


async def test_filters(store: Store, clock: Clock) -> None:
    """Each filter leaves out what it does not want, and hostile patterns mean themselves."""
    first = await store.add(held.mail(), held.decision())
    start = clock.time
    clock.pass_by(days=1)
    second = await store.add(held.mail(recipients=("anne@example.net",)), held.decision())
    everything = {first, second}
    wanted = {
        Filter(address="ANNE@"): {second},
        Filter(address="rebond@"): everything,
        Filter(address="%"): set(),
        Filter(address="j_an"): set(),
        Filter(state=State.HELD): everything,
        Filter(state=State.RELEASED): set(),
        Filter(verdict="impersonation"): everything,
        Filter(verdict="suspect"): set(),
        Filter(insurer="mutuelle-des-lilas"): everything,
        Filter(insurer="other"): set(),
        Filter(since=start + timedelta(hours=1)): {second},
        Filter(before=start + timedelta(hours=1)): {first},
    }
    found = {one: {entry.id for entry in await store.list(one)} for one in wanted}
    assert found == wanted


async def test_stats_count(store: Store, clock: Clock) -> None:
    """Statistics count entries, octets, states, verdicts and insurers."""
    empty = await store.stats()
    assert (empty.entries, empty.octets, empty.oldest) == (0, 0, None)
    await store.add(held.mail(), held.decision())
    clock.pass_by(hours=1)
    await store.add(held.mail(), held.decision())
    stats = await store.stats()
    assert (stats.entries, stats.octets) == (2, 2 * len(held.RAW))
    assert (stats.newest, stats.by_state, stats.by_verdict, stats.by_insurer) == (
        clock.time,
        {"held": 2},
        {"impersonation": 2},
        {"mutuelle-des-lilas": 2},
    )


async def test_deleting_takes_everything_but_the_audit(store: Store, tmp_path: Path) -> None:
    """A deleted mail is gone from the list and from the disk; the audit says who did it."""
    name = await store.add(held.mail(), held.decision())
    await store.delete(name, who=ME)
    assert await store.list() == ()
    assert not held.files(tmp_path)
    with pytest.raises(QuarantineError, match="no quarantined mail"):
        await store.get(name)
    assert [(line.who, line.what) for line in await store.trail(name)] == [(ME, "delete")]


async def test_views_are_audited(store: Store) -> None:
    """Who looks at an entry or at its octets is written down, with the time."""
    name = await store.add(held.mail(), held.decision())
    await store.get(name, who="anne")
    await store.octets(name, who="paul")
    assert [(line.who, line.what, line.entry) for line in await store.trail()] == [("anne", "view", name), ("paul", "view", name)]


async def test_purging_takes_what_is_old(store: Store, clock: Clock, tmp_path: Path) -> None:
    """A purge deletes entries received before the time, never one that is being released."""
    old = await store.add(held.mail(), held.decision())
    busy = await store.add(held.mail(), held.decision())
    await store.mark_releasing(busy, who=ME)
    clock.pass_by(days=40)
    new = await store.add(held.mail(), held.decision())
    assert await purge(store, clock.time - timedelta(days=30), who=ME) == 1
    assert {entry.id for entry in await store.list()} == {busy, new}
    assert {path.stem for path in held.files(tmp_path)} == {busy, new}
    assert [line.what for line in await store.trail(old)] == ["purge"]


async def test_purging_goes_on_in_batches(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge of more than one batch takes all of them."""
    monkeypatch.setattr("milter.quarantine.care._BATCH", 2)
    for _ in range(5):
        await store.add(held.mail(), held.decision())
    clock.pass_by(days=1)
    assert await purge(store, clock.time, who=ME) == 5


@pytest.mark.parametrize("what", ["get", "octets", "mark_releasing", "delete"])
async def test_an_unknown_id_is_an_error_and_a_crooked_one_too(store: Store, what: str) -> None:
    """Every command refuses an id that is unknown, and never makes a path of one that is none."""
    for name, sentence in (("0" * 22, "no quarantined mail"), ("../../../etc/passwd", "not a quarantine id")):
        with pytest.raises(QuarantineError, match=sentence):
            await getattr(store, what)(name, who=ME)


async def test_a_damaged_file_is_not_given_out(store: Store, tmp_path: Path) -> None:
    """A file that is not what was stored is an error, and so is one that is gone."""
    name = await store.add(held.mail(), held.decision())
    (path,) = held.files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(QuarantineError, match="changed or damaged"):
        await store.octets(name, who=ME)
    path.unlink()
    with pytest.raises(QuarantineError, match="No such file"):
        await store.mark_releasing(name, who=ME)
    assert (await store.get(name)).state is State.HELD


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database that a newer program made is left alone, with a sentence that says so."""
    async with await Store.open(tmp_path / "q"):
        pass
    with sqlite3.connect(tmp_path / "q" / "index.sqlite") as database:
        database.execute("update meta set value = '3' where name = 'schema_version'")
    database.close()
    with pytest.raises(QuarantineError, match="schema version 3, this program knows 2"):
        await Store.open(tmp_path / "q")


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    """A database file of rubbish gives a sentence, not a traceback."""
    root = tmp_path / "q"
    root.mkdir()
    (root / "index.sqlite").write_bytes(b"rubbish" * 1000)
    with pytest.raises(QuarantineError, match="file is not a database; `insurer-milter quarantine repair`"):
        await Store.open(root)


async def test_a_missing_parent_is_an_error(tmp_path: Path) -> None:
    """A data folder that does not exist gives a sentence that names the setting."""
    with pytest.raises(QuarantineError, match=r"cannot open the quarantine in .*No such file.*data_dir"):
        await Store.open(tmp_path / "absent" / "q")


async def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    """A quarantine whose folder is a file gives a sentence."""
    (tmp_path / "q").write_bytes(b"")
    with pytest.raises(QuarantineError, match="cannot open the quarantine"):
        await Store.open(tmp_path / "q")


async def test_two_stores_write_at_once(tmp_path: Path) -> None:
    """Two stores on one folder, as two processes have them, wait for each other and lose nothing."""
    async with await Store.open(tmp_path / "q") as one, await Store.open(tmp_path / "q") as other:
        names = await asyncio.gather(*(store.add(held.mail(), held.decision()) for _ in range(10) for store in (one, other)))
        assert {entry.id for entry in await one.list()} == set(names)
        assert len(set(names)) == 20


async def test_two_stores_may_be_opened_at_once(tmp_path: Path) -> None:
    """Opening a new quarantine from several sides at once makes one."""
    stores = await asyncio.gather(*(Store.open(tmp_path / "q") for _ in range(4)))
    try:
        name = await stores[0].add(held.mail(), held.decision())
        assert [(await store.get(name)).id for store in stores] == [name] * 4
    finally:
        for store in stores:
            await store.close()


async def test_the_store_syncs_fully(store: Store) -> None:
    """Each connection has WAL, synchronous=FULL and a busy timeout: a commit is on the disk."""
    async with store.database.reading("look") as connection:
        found = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "busy_timeout")]
    assert found == ["wal", 2, 10_000]
