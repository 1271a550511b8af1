"""When the disk, the database or the machine fails while a mail is stored: an error, or an entry, never half of one."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from milter.errors import QuarantineError
from milter.quarantine.files import STEPS, Files
from milter.quarantine.store import Store
from tests.helpers import held


class Crash(BaseException):
    """The machine stops; nothing of ours runs after it."""


def crash_before(step: str) -> Callable[[str], None]:
    """A hook that stops the world before this step."""

    def stop(reached: str) -> None:
        if reached == step:
            raise Crash

    return stop


async def listed(root: Path) -> list[str]:
    """What a quarantine shows that is opened anew."""
    async with await Store.open(root) as store:
        found = await store.list()
        for entry in found:
            await store.octets(entry.id, who="test")
        return [entry.id for entry in found]


@pytest.mark.parametrize("step", STEPS[:-1])
async def test_a_crash_before_any_step_leaves_nothing_visible(tmp_path: Path, step: str) -> None:
    """After a crash before the commit the quarantine opens, shows whole entries only, and takes the mail when it comes again."""
    root = tmp_path / "q"
    async with await Store.open(root) as store:
        whole = await store.add(held.mail(), held.decision())
    async with await Store.open(root, before=crash_before(step)) as store:
        with pytest.raises(Crash):
            await store.add(held.mail(), held.decision())
    assert await listed(root) == [whole]
    async with await Store.open(root) as store:
        again = await store.add(held.mail(), held.decision())
    assert await listed(root) == [again, whole]


async def test_a_crash_after_the_commit_has_the_mail(tmp_path: Path) -> None:
    """A crash before the answer leaves a whole entry; the sender, who heard nothing, brings the mail again."""
    root = tmp_path / "q"
    async with await Store.open(root, before=crash_before("answer")) as store:
        with pytest.raises(Crash):
            await store.add(held.mail(), held.decision())
    assert len(await listed(root)) == 1


def test_every_step_is_passed_in_order(tmp_path: Path) -> None:
    """The file's steps happen in the order that makes the name appear last."""
    passed: list[str] = []
    Files(tmp_path, passed.append).write("0" * 22, b"head\n", b"octets")
    assert (*passed, "commit", "answer") == STEPS


def test_a_shard_that_another_made_is_made_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard's name may not be on the disk yet when somebody else made it and died: each mail makes sure before it is safe."""
    synced: list[Path] = []
    files = Files(tmp_path)
    files.path("0" * 22).parent.mkdir()
    monkeypatch.setattr("milter.quarantine.files.sync_folder", synced.append)
    files.write("0" * 22, b"head\n", b"octets")
    assert synced == [tmp_path, tmp_path / "00"]


@pytest.mark.parametrize("call", ["write", "fsync", "mkdir", "rename"])
@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "No space left on device; make room"), (errno.EROFS, "Read-only file system"), (errno.EIO, "Input/output")]
)
async def test_a_failing_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
) -> None:
    """A disk that is full, read-only or broken gives a sentence, no entry and no file."""

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    root = tmp_path / "q"
    async with await Store.open(root) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(QuarantineError, match=f"cannot store the mail in .*{words}"):
                await store.add(held.mail(), held.decision())
        assert await store.list() == ()
    assert not held.files(root)


async def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a few octets at a time still gets them all."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, octets: write(handle, bytes(octets)[:7]))
    async with await Store.open(tmp_path / "q") as store:
        name = await store.add(held.mail(), held.decision())
        assert await store.octets(name, who="test") == held.RAW


async def test_a_locked_database_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """Another process that holds the database too long makes the mail be refused, without an orphan."""
    root = tmp_path / "q"
    async with await Store.open(root, busy_seconds=0.05) as store:
        other = sqlite3.connect(root / "index.sqlite", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(QuarantineError, match=r"cannot store the mail in .*locked.*try again"):
                await store.add(held.mail(), held.decision())
            assert await store.list() == ()
        finally:
            other.close()
        assert not held.files(root)
        assert await store.add(held.mail(), held.decision())


async def test_a_full_database_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """A database that cannot grow makes the mail be refused, without an orphan."""
    root = tmp_path / "q"
    async with await Store.open(root) as store:
        async with store.database.reading("look") as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        big = held.mail(recipients=tuple(f"user{number}@example.org" for number in range(1000)))
        with pytest.raises(QuarantineError, match="full; make room"):
            await store.add(big, held.decision())
        assert await store.list() == ()
    assert not held.files(root)


async def test_a_crash_while_deleting_leaves_an_orphan_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file of a deleted entry cannot be taken away, the entry is gone all the same."""
    root = tmp_path / "q"
    async with await Store.open(root) as store:
        name = await store.add(held.mail(), held.decision())
        with monkeypatch.context() as patch:
            patch.setattr(Files, "remove", lambda *arguments: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
            await store.delete(name, who="test")
        assert await store.list() == ()
    assert await listed(root) == []
