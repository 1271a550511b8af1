"""Export and import: another machine has the same mails, a second time adds nothing, and a hostile archive gets nowhere."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.errors import QuarantineError
from milter.model.mail import Params
from milter.quarantine.archive import Exported, Imported, _next, export, import_all
from milter.quarantine.check import check
from milter.quarantine.entry import State
from milter.quarantine.files import STEPS
from milter.quarantine.store import Quota, Store
from tests.helpers import held
from tests.unit.quarantine.test_faults import Crash

ME = "admin"
NAME = "0" * 22


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A quarantine."""
    async with await Store.open(tmp_path / "one", now=held.Clock()) as opened:
        yield opened


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Store]:
    """The quarantine of another machine."""
    async with await Store.open(tmp_path / "two", now=held.Clock()) as opened:
        yield opened


async def exported(store: Store) -> bytes:
    """The archive of a quarantine."""
    archive = io.BytesIO()
    await export(store, archive.write, who=ME)
    return archive.getvalue()


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of these members."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for info, octets in members:
            info.size = len(octets)
            opened.addfile(info, io.BytesIO(octets))
    return archive.getvalue()


def plain(name: str, octets: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    """A plain file as a member."""
    return tarfile.TarInfo(name), octets


def special(name: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """A link, folder or device as a member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


async def test_another_machine_has_the_same_mails(store: Store, other: Store) -> None:
    """Ids, octets, envelopes and states come over; a release that was under way is in doubt there."""
    names = [
        await store.add(held.mail(recipients=("odd\udcff@example.org",)), held.decision(), b"T: x\r\n", Params((b"RET=HDRS",))) for _ in range(4)
    ]
    await store.mark_releasing(names[1], who=ME)
    await store.mark_releasing(names[2], who=ME)
    await store.mark_released(names[2], "250 Ok", who=ME, attempt=1)
    archive = io.BytesIO()
    assert await export(store, archive.write, who=ME) == Exported(4, ())
    archive.seek(0)
    assert await import_all(other, archive.read, who="paul") == Imported(4, 0)
    before = {entry.id: entry for entry in await store.list()}
    after = {entry.id: entry for entry in await other.list()}
    assert after.pop(names[1]).state is State.IN_DOUBT
    del before[names[1]]
    assert after == before
    for name in names:
        assert await other.octets(name, who=ME) == held.RAW
        assert [(line.who, line.what) for line in await other.trail(name)] == [("paul", "import"), (ME, "view")]
        assert [line.what for line in await store.trail(name)][-1] == "export"
    assert await other.size() == await store.size()


async def test_a_second_import_adds_nothing(store: Store, other: Store) -> None:
    """Importing twice, or into the quarantine itself, adds nothing and changes no state."""
    name = await store.add(held.mail(), held.decision())
    octets = await exported(store)
    await import_all(other, io.BytesIO(octets).read, who=ME)
    await other.mark_releasing(name, who=ME)
    for one in (store, other):
        assert await import_all(one, io.BytesIO(octets).read, who=ME) == Imported(0, 1)
    assert (await other.get(name)).state is State.RELEASING


async def test_any_tar_program_reads_it(store: Store) -> None:
    """The archive is a plain tar with two members a mail, for their owner alone."""
    name = await store.add(held.mail(), held.decision())
    with tarfile.open(fileobj=io.BytesIO(await exported(store))) as opened:
        members = opened.getmembers()
        mail = opened.extractfile(f"{name}.eml")
        assert mail is not None
        assert mail.read() == held.RAW
    assert [(one.name, one.mode, one.isreg()) for one in members] == [(f"{name}.json", 0o600, True), (f"{name}.eml", 0o600, True)]


async def test_what_another_tar_program_packed_is_read(store: Store, other: Store) -> None:
    """An archive that was unpacked and packed again in GNU's format is as good."""
    name = await store.add(held.mail(), held.decision())
    again = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(await exported(store))) as opened,
        tarfile.open(fileobj=again, mode="w", format=tarfile.GNU_FORMAT) as packed,
    ):
        for member in opened.getmembers():
            packed.addfile(member, opened.extractfile(member))
    again.seek(0)
    assert await import_all(other, again.read, who=ME) == Imported(1, 0)
    assert await other.octets(name, who=ME) == held.RAW


async def test_more_than_one_batch(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export goes on over batches."""
    monkeypatch.setattr("milter.quarantine.archive._BATCH", 2)
    for _ in range(4):
        await store.add(held.mail(), held.decision())
    assert await import_all(other, io.BytesIO(await exported(store)).read, who=ME) == Imported(4, 0)


async def test_a_damaged_mail_is_left_out_and_named(store: Store) -> None:
    """An export goes on without a mail that cannot be read, and says which."""
    bad, good = await store.add(held.mail(), held.decision()), await store.add(held.mail(), held.decision())
    store.files.path(bad).unlink()
    archive = io.BytesIO()
    done = await export(store, archive.write, who=ME)
    assert (done.mails, [name for name, _ in done.left_out]) == (1, [bad])
    assert good.encode() in archive.getvalue()


HOSTILE = [
    (plain("../../../etc/cron.d/x"), "../../../etc/cron.d/x"),
    (plain("/etc/passwd"), "/etc/passwd"),
    (plain(f"{NAME}/../{NAME}.json"), f"{NAME}/../{NAME}.json"),
    (plain(f"x/{NAME}.json"), f"x/{NAME}.json"),
    (plain(f"{NAME}.eml"), f"{NAME}.eml"),
    (plain(f"{NAME}.json\n"), f"{NAME}.json\\\\n"),
    (plain("x" * 200), "././@PaxHeader"),
    (special(f"{NAME}.json", tarfile.SYMTYPE), f"{NAME}.json"),
    (special(f"{NAME}.json", tarfile.LNKTYPE), f"{NAME}.json"),
    (special(f"{NAME}.json", tarfile.CHRTYPE), f"{NAME}.json"),
    (special(f"{NAME}.json", tarfile.DIRTYPE), f"{NAME}.json"),
]


@pytest.mark.parametrize(("member", "shown"), HOSTILE, ids=[f"{number}" for number in range(len(HOSTILE))])
async def test_a_member_that_is_none_of_ours_is_refused_by_name(other: Store, member: tuple[tarfile.TarInfo, bytes], shown: str) -> None:
    """Paths, links, devices and folders never touch the disk; the sentence names them."""
    before = sorted(other.root.parent.rglob("*"))
    with pytest.raises(QuarantineError, match="the archive has a member that does not belong here") as refused:
        await import_all(other, io.BytesIO(tar(member)).read, who=ME)
    assert shown.replace("\\\\", "\\") in str(refused.value)
    assert [path for path in sorted(other.root.parent.rglob("*")) if path not in before and not path.name.startswith("lock")] == []


def cut(octets: bytes) -> bytes:
    """An archive that ends within its second member."""
    return octets[: -512 * 3]


BROKEN: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda octets: b"", "cut off, damaged or no tar archive"),
    (lambda octets: b"PK\3\4" + octets, "cut off, damaged or no tar archive"),
    (lambda octets: octets[:700], "ends within its member"),
    (lambda octets: cut(octets), "ends within its member"),
    (lambda octets: octets.replace(b"Cliquez", b"Cliquer"), "was changed or damaged"),
    (lambda octets: octets.replace(b"jean.dupont", b"jane.dupont"), "its facts are damaged"),
    (lambda octets: octets[: len(octets) // 2 // 512 * 512] + b"\0" * 1024, "ends within|where .*eml should be|cut off"),
]


@pytest.mark.parametrize(("harm", "sentence"), BROKEN)
async def test_a_broken_archive_is_refused(store: Store, other: Store, harm: Callable[[bytes], bytes], sentence: str) -> None:
    """What is cut off or changed is refused with a sentence, and nothing half is held; what came before stays."""
    await store.add(held.mail(), held.decision())
    octets = harm(await exported(store))
    with pytest.raises(QuarantineError, match=f"({sentence}).*; added before: 0, there already: 0"):
        await import_all(other, io.BytesIO(octets).read, who=ME)
    assert await other.list() == ()
    assert held.files(other.root) == []


HEADER = plain(f"{NAME}.json")[0].tobuf(tarfile.USTAR_FORMAT)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 511), st.binary(min_size=1, max_size=12)), max_size=4), st.binary(max_size=600), st.booleans())
def test_any_header_is_a_member_or_refused(changes: list[tuple[int, bytes]], rest: bytes, seals: bool) -> None:  # noqa: FBT001  # a drawn value
    """Invariant: whatever a header says, its checksum right or wrong, what comes of it is a member of ours, the end, or QuarantineError."""
    header = bytearray(HEADER)
    for place, octets in changes:
        header[place : place + len(octets)] = octets
    header = header[:512]
    if seals:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    try:
        name, octets = _next(io.BytesIO(bytes(header) + rest).read, ".json", 1_000)
    except QuarantineError:
        return
    assert (len(name), len(octets) <= 600) in ((27, True), (0, True))


async def test_another_mail_under_a_known_id_is_refused(store: Store, other: Store) -> None:
    """An archive cannot change a mail that is held."""
    name = await store.add(held.mail(), held.decision())
    await import_all(other, io.BytesIO(await exported(store)).read, who=ME)
    path = other.files.path(name)
    async with other.database.transaction("another mail") as connection:
        await connection.exec_driver_sql("UPDATE entries SET digest = 'x'")
    before = path.read_bytes()
    with pytest.raises(QuarantineError, match="is held already with other octets"):
        await import_all(other, io.BytesIO(await exported(store)).read, who=ME)
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", STEPS)
async def test_an_import_that_was_killed_is_repeated(store: Store, tmp_path: Path, step: str) -> None:
    """Whatever step of a mail an import dies at, importing again completes it, each mail once and whole."""
    names = {await store.add(held.mail(), held.decision()) for _ in range(3)}
    octets = await exported(store)
    reached: list[str] = []

    def stop(here: str) -> None:
        reached.append(here)
        if reached.count(step) == 2:
            raise Crash

    async with await Store.open(tmp_path / "two", before=stop) as dying:
        with pytest.raises(Crash):
            await import_all(dying, io.BytesIO(octets).read, who=ME)
    async with await Store.open(tmp_path / "two", now=held.Clock()) as again:
        done = await import_all(again, io.BytesIO(octets).read, who=ME)
        assert done.mails + done.known == 3
        assert {entry.id for entry in await again.list()} == names
        assert {path.name for path in held.files(again.root)} == {f"{name}.held" for name in names}
        assert await check(again) == ()


async def test_an_import_keeps_to_the_quota(store: Store, other: Store) -> None:
    """An import stops where nothing more may be held; what was added stays, and the import can be repeated."""
    for _ in range(3):
        await store.add(held.mail(), held.decision())
    octets = await exported(store)
    other.quota = Quota(2 * len(held.RAW))
    with pytest.raises(QuarantineError, match=r"octets would be held.*; added before: 2, there already: 0"):
        await import_all(other, io.BytesIO(octets).read, who=ME)
    other.quota = Quota()
    assert await import_all(other, io.BytesIO(octets).read, who=ME) == Imported(1, 2)
