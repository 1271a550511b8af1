"""Real disks that are full or read-only, and a process that may open no more files: a sentence, nothing half-stored, and then on as before."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from milter.errors import QuarantineError
from milter.quarantine.check import check
from milter.quarantine.entry import Filter
from milter.quarantine.store import Quota, Store
from tests.helpers import held

BIG = held.RAW + b"x" * 70_000
FILES = "let the service open more files (LimitNOFILE) or take fewer connections (`smtp.max_connections`)"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", path], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


async def whole(store: Store, names: list[str]) -> None:
    """The entries are these, each with its octets, and there is nothing else."""
    assert sorted(entry.id for entry in await store.list(Filter(limit=1_000))) == sorted(names)
    assert {path.stem for path in held.files(store.root)} == set(names)
    assert await check(store) == ()


async def fill(store: Store, raw: bytes) -> tuple[list[str], str]:
    """Hold mails until one is refused; the ids and the sentence."""
    names: list[str] = []
    while len(names) < 1_000:
        try:
            names.append(await store.add(held.mail(raw), held.decision()))
        except QuarantineError as error:
            return names, str(error)
    raise AssertionError("never full")


@pytest.mark.parametrize("raw", [BIG, held.RAW], ids=["by files", "by rows"])
async def test_a_full_disk(disk: Path, raw: bytes) -> None:
    """Whether the file or the row finds no room: the sentence, no entry, no file; what is held stays whole; with room again, on as before."""
    (disk / "ballast").write_bytes(bytes(200_000))
    async with await Store.open(disk / "q", now=held.Clock()) as store:
        names, sentence = await fill(store, raw)
        assert sentence in (
            f"cannot store the mail in {disk / 'q'}: No space left on device; make room on the disk or mount it for writing",
            f"cannot store the mail in {disk / 'q'}: database or disk is full; make room on the disk",
        )
        await whole(store, names)
        (disk / "ballast").unlink()
        names.append(await store.add(held.mail(), held.decision()))
        await whole(store, names)
        assert {store.files.read(name) for name in names} == {raw, held.RAW}


async def test_a_disk_that_must_keep_room(disk: Path) -> None:
    """`min_free_octets` stops before the disk is full, so that the database never meets it."""
    async with await Store.open(disk / "q", quota=Quota(min_free_octets=1_000_000)) as store:
        names, sentence = await fill(store, BIG)
        assert "less than 1000000 octets of the disk would stay free (`quarantine.min_free_octets`); make room on the disk" in sentence
        assert store.files.free() >= 900_000
        assert 5 < len(names) < 15


async def test_a_read_only_disk(disk: Path) -> None:
    """A disk that became read-only: the sentence, and what is held can still be listed."""
    async with await Store.open(disk / "q", now=held.Clock()) as store:
        name = await store.add(held.mail(), held.decision())
        remount(disk, "ro")
        try:
            with pytest.raises(QuarantineError) as refused:
                await store.add(held.mail(), held.decision())
            assert str(refused.value) == f"cannot store the mail in {disk / 'q'}: Read-only file system; mount the disk for writing"
            assert [entry.id for entry in await store.list()] == [name]
        finally:
            remount(disk, "rw")
        other = await store.add(held.mail(), held.decision())
        await whole(store, [name, other])


def remount(disk: Path, how: str) -> None:
    """Make a file system read-only although files of it are open for writing (a bind mount), or writable again."""
    if how == "ro":
        subprocess.run(["mount", "--bind", disk, disk], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
    else:
        subprocess.run(["umount", disk], check=True)


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open("/", os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_more_files(tmp_path: Path) -> None:
    """A process that is out of file descriptors: the sentence, nothing stored; afterwards on as before."""
    async with await Store.open(tmp_path / "q", now=held.Clock()) as store:
        name = await store.add(held.mail(), held.decision())
        with no_more_files(), pytest.raises(QuarantineError) as refused:
            await store.add(held.mail(), held.decision())
        assert str(refused.value) == f"cannot store the mail in {tmp_path / 'q'}: Too many open files; {FILES}"
        await whole(store, [name])
        await whole(store, [name, await store.add(held.mail(), held.decision())])


async def test_no_more_files_at_opening(tmp_path: Path) -> None:
    """The same at opening."""
    async with await Store.open(tmp_path / "q"):
        pass
    with no_more_files(), pytest.raises(QuarantineError, match=r"cannot open the quarantine in .*(Too many open files|unable to open database file)"):
        await Store.open(tmp_path / "q")


async def test_no_octet_more(tmp_path: Path) -> None:
    """A file that may not grow (RLIMIT_FSIZE, a quota of the system) is an error that leaves nothing."""
    async with await Store.open(tmp_path / "q", now=held.Clock()) as store:
        name = await store.add(held.mail(), held.decision())
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
        try:
            with pytest.raises(QuarantineError, match=r"cannot store the mail in .*File too large; make room on the disk"):
                await store.add(held.mail(BIG), held.decision())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        await whole(store, [name])
