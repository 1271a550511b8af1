"""`quarantine purge|audit|check|repair|export|import`: keep the quarantine small, sound and backed up.

Reports go to stdout, but those of an export to `-`, where stdout is the archive.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import click

from milter.adapters import clock
from milter.errors import UsageError
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option
from milter.fronts.cli.quarantine_store import who, with_store
from milter.quarantine import archive, care
from milter.quarantine import check as checking
from milter.quarantine.database import DamagedError
from milter.quarantine.files import sync_folder
from milter.quarantine.store import Store
from milter.settings.model import Settings

_LIST = 20


@click.command(short_help="Delete what the settings do not keep.")
@click.option("--older-than", metavar="DAYS", type=click.IntRange(0, 36_500), help="Delete mails received before so many days, nothing else.")
@config_option
@json_option
def purge(older_than: int | None, config: str | None, *, as_json: bool) -> None:
    """Delete what the settings do not keep (`quarantine:`), or what is older; never a mail that is being released."""
    if older_than is not None:
        before = clock.now() - timedelta(days=older_than)
        done = care.CareReport(by_age=with_store(config, lambda store, _: care.purge(store, before, who=who())))
    else:
        done = with_store(config, lambda store, settings: care.care(store, settings.quarantine, who=who(), trust_clock=True))
    if as_json:
        counts = {"by_age": done.by_age, "by_number": done.by_number, "by_size": done.by_size}
        output.json_line({"deleted": done.mails, **counts, "files": done.files, "audit_lines": done.audit_lines})
    else:
        click.echo(f"{done.mails} deleted")


@click.command(short_help="Say who did what to which mail, and when.")
@click.argument("name", metavar="[ID]", default="")
@click.option("--days", metavar="N", type=click.IntRange(0, 36_500), help="Only of the last N days.")
@config_option
@json_option
def audit(name: str, days: int | None, config: str | None, *, as_json: bool) -> None:
    """Say who viewed, released, deleted, exported, imported or repaired what, and when; oldest first."""
    since = clock.now() - timedelta(days=days) if days is not None else None
    lines = with_store(config, lambda store, _: store.trail(name, since=since))
    if as_json:
        for line in lines:
            output.json_line({"at": line.at.isoformat(), "who": line.who, "what": line.what, "id": line.entry or None, "detail": line.detail})
        return
    output.table(
        ("at", "who", "what", "id", "detail"), ((f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.what, one.entry or "-", one.detail) for one in lines)
    )


@click.command(short_help="Compare files and database both ways.")
@click.option("--quick", is_flag=True, help="Compare names only; do not read the mails.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something is wrong.")
@config_option
@json_option
def check(config: str | None, *, quick: bool, exit_code: bool, as_json: bool) -> int:
    """Compare files and database both ways, and read every mail."""

    async def look(store: Store, _: Settings) -> tuple[tuple[checking.Fault, ...], int]:
        return await checking.check(store, reads_mails=not quick), await checking.young(store)

    try:
        faults, young = with_store(config, look)
    except DamagedError as damage:
        click.echo(f"Error: {damage}", err=True)
        faults, young = (checking.Fault(checking.Kind.DATABASE),), 0
    _show(faults, as_json=as_json)
    if young:
        click.echo(f"files younger than a minute, passed over: {young}; run this again then", err=True)
    if not faults and not as_json:
        click.echo("nothing is wrong")
    return 1 if faults and exit_code else 0


def _show(faults: tuple[checking.Fault, ...], *, as_json: bool) -> None:
    if as_json:
        for fault in faults:
            output.json_line({"fault": fault.kind.value, "id": fault.entry or None, "meaning": fault.meaning})
    else:
        output.table(("fault", "id", "meaning"), ((fault.kind.value, fault.entry or "-", fault.meaning) for fault in faults))


@click.command(short_help="Mend what `check` finds.")
@click.option("--delete-orphans", is_flag=True, help="Delete files that no entry names, mails among them, instead of making their entries.")
@config_option
@json_option
def repair(config: str | None, *, delete_orphans: bool, as_json: bool) -> int:
    """Mend what `check` finds. A damaged database is kept aside and built anew from the mails; no mail is deleted.

    A mail that comes back is `in-doubt`: whether it was released before is not known, so `release` wants `--again`.
    """
    done = with_store(config, lambda store, _: checking.repair(store, who=who(), delete_orphans=delete_orphans), heal=True)
    if as_json:
        report = {"adopted": done.adopted, "rewritten": done.rewritten, "removed": done.removed, "recounted": done.recounted}
        output.json_line(
            {
                **report,
                "kept_as": done.kept_as or None,
                "young": done.young,
                "left": [{"fault": one.kind.value, "id": one.entry} for one in done.left],
            }
        )
    else:
        click.echo(f"entries made again: {len(done.adopted)}, files rewritten: {done.rewritten}, files deleted: {done.removed}")
        if done.recounted:
            click.echo("the total of the database was wrong and is counted anew")
        if done.kept_as:
            click.echo(f"the damaged database is kept as {done.kept_as}")
        if done.young:
            click.echo(f"files younger than a minute, passed over: {done.young}; run this again then")
        _show(done.left, as_json=False)
    return 3 if done.left else 0


@click.command(short_help="Write all mails into a tar archive.")
@click.argument("file", metavar="FILE|-")
@config_option
def export(file: str, config: str | None) -> int:
    """Write all mails with what is known of them into a tar archive, for a backup or another machine. It holds personal data.

    FILE is for its owner alone (0600) and appears when it is whole, in the place of an older one.
    """
    if file == "-":
        if output.for_person():
            raise UsageError("an archive is nothing for a terminal; write it to a file or a pipe")
        done = with_store(config, lambda store, _: archive.export(store, sys.stdout.buffer.write, who=who()))
        sys.stdout.buffer.flush()
    else:
        done = _export_to(Path(file), config)
    for _, sentence in done.left_out[:_LIST]:
        click.echo(f"Error: {sentence}", err=True)
    left = f", {len(done.left_out)} left out" if done.left_out else ""
    click.echo(f"{done.mails} exported{left}", err=file == "-")
    return 3 if done.left_out else 0


def _export_to(path: Path, config: str | None) -> archive.Exported:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            done = with_store(config, lambda store, _: archive.export(store, opened.write, who=who()))
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.rename(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    return done


@click.command("import", short_help="Add the mails of an archive.")
@click.argument("file", metavar="FILE|-")
@config_option
@json_option
def import_archive(file: str, config: str | None, *, as_json: bool) -> None:
    """Add the mails of an archive that are not there yet. Ids stay, so a second time adds nothing."""

    async def work(store: Store, source: BinaryIO) -> archive.Imported:
        return await archive.import_all(store, source.read, who=who())

    if file == "-":
        done = with_store(config, lambda store, _: work(store, sys.stdin.buffer), may_be_new=True)
    else:
        with Path(file).open("rb") as opened:
            done = with_store(config, lambda store, _: work(store, opened), may_be_new=True)
    if as_json:
        output.json_line({"added": done.mails, "known": done.known})
    else:
        click.echo(f"{done.mails} added, {done.known} were there already")


COMMANDS = (purge, audit, check, repair, export, import_archive)
