"""Retention: what is too old or too much goes, oldest first; nothing goes because a clock is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from milter.errors import QuarantineError
from milter.quarantine import care as caring
from milter.quarantine.care import CareReport, care, quota
from milter.quarantine.store import Quota, Store
from milter.settings import model
from tests.helpers import held
from tests.helpers.held import Clock

KEEP = model.Quarantine()
SIZE = len(held.RAW)


@pytest.fixture
def clock() -> Clock:
    """The store's clock; it begins now, as the disk's does."""
    clock = Clock()
    clock.time = datetime.now(UTC)
    return clock


@pytest.fixture
async def store(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """An empty quarantine that is looked after in batches of two."""
    monkeypatch.setattr(caring, "_BATCH", 2)
    monkeypatch.setattr(caring, "_PAUSE_SECONDS", 0)
    async with await Store.open(tmp_path / "q", now=clock) as opened:
        yield opened


async def fill(store: Store, clock: Clock, days: int) -> list[str]:
    """One mail a day."""
    names = []
    for _ in range(days):
        names.append(await store.add(held.mail(), held.decision()))
        clock.pass_by(days=1)
        await care(store, replace(KEEP, keep_days=36_500))
    return names


async def left(store: Store) -> list[str]:
    """The ids that are there, oldest first, each with its file."""
    names = [entry.id for entry in reversed(await store.list())]
    assert sorted(path.stem for path in held.files(store.root)) == sorted(names)
    assert await store.size() == (len(names), SIZE * len(names))
    return names


async def test_age(store: Store, clock: Clock) -> None:
    """Mails older than `keep_days` go, in batches, with an audit line each."""
    names = await fill(store, clock, 8)
    assert await care(store, replace(KEEP, keep_days=3)) == CareReport(by_age=5)
    assert await left(store) == names[5:]
    assert [(line.who, line.what, line.entry) for line in await store.trail()] == [("insurer-milter", "purge", name) for name in names[:5]]


@pytest.mark.parametrize(
    ("keep", "report"),
    [
        (replace(KEEP, keep_mails=5), CareReport(by_number=3)),
        (replace(KEEP, keep_octets=5 * SIZE), CareReport(by_size=3)),
        (replace(KEEP, keep_octets=5 * SIZE - 1), CareReport(by_size=4)),
        (replace(KEEP, keep_mails=6, keep_octets=5 * SIZE), CareReport(by_number=2, by_size=1)),
        (replace(KEEP, keep_days=7, keep_mails=5), CareReport(by_age=1, by_number=2)),
        (replace(KEEP, keep_mails=1), CareReport(by_number=5)),
        (KEEP, CareReport()),
    ],
    ids=["number", "size", "size by one octet", "both", "age first", "spared", "nothing"],
)
async def test_number_and_size(store: Store, clock: Clock, keep: model.Quarantine, report: CareReport) -> None:
    """The oldest go until number and size fit, but none that is younger than `spare_days`."""
    names = await fill(store, clock, 8)
    assert await care(store, keep) == report
    assert await left(store) == names[report.mails :]


async def test_a_flood_pushes_nothing_out(store: Store, clock: Clock) -> None:
    """What nobody could look at yet stays, however much comes in: newcomers are refused instead, with the sentence."""
    store.quota = quota(replace(KEEP, keep_octets=4 * SIZE))
    names = [await store.add(held.mail(), held.decision()) for _ in range(5)]
    for _ in range(2):
        with pytest.raises(QuarantineError) as refused:
            await store.add(held.mail(), held.decision())
        assert str(refused.value) == (
            f"cannot store the mail in {store.root}: more than {5 * SIZE} octets would be held (`quarantine.keep_octets` and a quarter);"
            " release or delete mails, or raise it"
        )
        assert await care(store, replace(KEEP, keep_octets=4 * SIZE)) == CareReport()
    assert sorted(await left(store)) == sorted(names)
    clock.pass_by(days=1)
    assert (await care(store, replace(KEEP, keep_octets=4 * SIZE, spare_days=0))).by_size == 1
    await store.add(held.mail(), held.decision())


async def test_a_mail_that_is_being_released_stays(store: Store, clock: Clock) -> None:
    """Neither age nor number nor size takes a mail that is on its way."""
    first, second, third = await fill(store, clock, 3)
    await store.mark_releasing(first, who="test")
    assert await care(store, replace(KEEP, keep_days=1, keep_mails=1, keep_octets=1, spare_days=0)) == CareReport(by_age=1, by_number=1)
    assert await left(store) == [first]
    assert {second, third} == {line.entry for line in await store.trail() if line.what == "purge"}


async def test_a_clock_that_jumps_ahead_deletes_nothing(store: Store, clock: Clock) -> None:
    """A time far beyond the last run is believed only after it has stood for an hour; a clock that is set right before that does no harm."""
    names = await fill(store, clock, 3)
    clock.pass_by(days=400)
    for _ in range(3):
        assert await care(store, KEEP) == CareReport(clock_in_doubt=True)
        clock.pass_by(minutes=19)
    clock.pass_by(days=-400)
    assert await care(store, KEEP) == CareReport()
    assert await left(store) == names


async def test_a_long_stop_ends_in_retention(store: Store, clock: Clock) -> None:
    """After a month in which nothing ran, retention goes on an hour late; who purges by hand is believed at once."""
    await fill(store, clock, 2)
    clock.pass_by(days=40)
    assert (await care(store, KEEP)).clock_in_doubt
    clock.pass_by(minutes=61)
    assert await care(store, KEEP) == CareReport(by_age=2)
    await store.add(held.mail(), held.decision())
    clock.pass_by(days=40)
    assert await care(store, KEEP, trust_clock=True) == CareReport(by_age=1)


async def test_a_clock_that_jumps_back_deletes_nothing_and_ids_stay_apart(store: Store, clock: Clock) -> None:
    """With a clock that went back mails are held as ever, no id comes twice, and what came before stays its time."""
    names = await fill(store, clock, 2)
    clock.pass_by(days=-4000)
    names += [await store.add(held.mail(), held.decision()) for _ in range(20)]
    assert await care(store, KEEP) == CareReport()
    assert sorted(await left(store)) == sorted(set(names))


async def test_the_audit_is_shortened(store: Store, clock: Clock) -> None:
    """Lines of the audit go after `keep_audit_days`."""
    (name,) = await fill(store, clock, 1)
    await store.get(name, who="test")
    clock.pass_by(hours=23)
    assert await care(store, replace(KEEP, keep_audit_days=1)) == CareReport()
    clock.pass_by(hours=2)
    assert await care(store, replace(KEEP, keep_audit_days=1)) == CareReport(audit_lines=1)
    assert await store.trail() == ()


async def test_files_without_entry(tmp_path: Path, clock: Clock) -> None:
    """Unfinished files and those of deleted entries go after a day; a whole mail without entry stays as long as a mail is kept."""
    async with await Store.open(tmp_path / "q", now=clock) as store:
        unfinished, deleted, orphan, kept = [await store.add(held.mail(), held.decision()) for _ in range(4)]
        saved = store.files.path(deleted).read_bytes()
        await store.delete(deleted, who="test")
        store.files.path(deleted).write_bytes(saved)
        async with store.database.transaction("forget") as connection:
            await connection.exec_driver_sql(f"DELETE FROM entries WHERE id IN ('{orphan}', '{unfinished}')")
        store.files.path(unfinished).rename(store.files.path(unfinished).with_suffix(".tmp"))

        async def swept() -> set[str]:
            await caring.sweep(store, clock.time - timedelta(days=30))
            return {path.stem for path in held.files(store.root)}

        assert await swept() == {unfinished, deleted, orphan, kept}
        clock.pass_by(days=2)
        assert await swept() == {orphan, kept}
        clock.pass_by(days=29)
        assert await swept() == {kept}


async def test_copies_of_the_database_go_too(store: Store, clock: Clock) -> None:
    """What was kept aside holds personal data: it goes when mails of its age go."""
    kept = [
        store.root / name for name in ("index.sqlite.schema-1", "index.sqlite.corrupt-20260115T100000Z", "index.sqlite.corrupt-20260115T100000Z-wal")
    ]
    for path in kept:
        path.write_bytes(b"x")
    assert await care(store, KEEP) == CareReport()
    clock.pass_by(days=31)
    assert await care(store, KEEP, trust_clock=True) == CareReport(files=3)
    assert not any(path.exists() for path in kept)


async def test_a_sweep_is_rare(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking through all files is done every six hours, not at each run."""
    sweeps: list[object] = []

    async def count(*arguments: object) -> int:
        sweeps.append(arguments)
        return 0

    monkeypatch.setattr(caring, "sweep", count)
    for _ in range(5):
        await care(store, KEEP)
        clock.pass_by(hours=2)
    assert len(sweeps) == 2


async def test_the_disk_keeps_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that would leave too little of the disk free is refused before anything is written."""
    async with await Store.open(tmp_path / "q", quota=Quota(min_free_octets=1_000_000)) as store:
        monkeypatch.setattr(type(store.files), "free", lambda files: 1_000_000 + SIZE)
        with pytest.raises(QuarantineError) as refused:
            await store.add(held.mail(), held.decision())
        assert str(refused.value) == (
            f"cannot store the mail in {tmp_path / 'q'}: less than 1000000 octets of the disk would stay free (`quarantine.min_free_octets`);"
            " make room on the disk"
        )
        assert await left(store) == []
        monkeypatch.setattr(type(store.files), "free", lambda files: 1_100_000)
        await store.add(held.mail(), held.decision())


async def test_the_total_is_true_whoever_writes(store: Store) -> None:
    """An old program that knows nothing of the total keeps it true all the same."""
    name = await store.add(held.mail(), held.decision())
    await store.add(held.mail(), held.decision())
    async with store.database.transaction("delete by hand") as connection:
        await connection.exec_driver_sql(f"DELETE FROM entries WHERE id = '{name}'")
    assert await store.size() == (1, SIZE)


def test_the_wall_stands_behind_the_mark() -> None:
    """A quarter more than what is kept may be held before newcomers are refused."""
    assert quota(KEEP) == Quota(13_421_772_800, 268_435_456)
