"""`quarantine list|show|release|delete|stats`: look at the mails that are held, and decide about them.

A list hides local parts and shows no subject; whoever opens an entry is written down in the audit.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from milter import app
from milter.adapters import clock
from milter.errors import QuarantineError
from milter.fronts.cli import output, quarantine_care
from milter.fronts.cli.options import config_option, json_option
from milter.fronts.cli.quarantine_store import who, with_store
from milter.quarantine.entry import Entry, Filter, State
from milter.quarantine.store import Store
from milter.settings.model import Settings


@click.group()
def quarantine() -> None:
    """List, show, release and delete quarantined mails; keep, check and back them up."""


for command in quarantine_care.COMMANDS:
    quarantine.add_command(command)


@quarantine.command("list")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only in this state.")
@click.option("--verdict", type=click.Choice(["suspect", "impersonation"]), default=None, help="Only with this verdict.")
@click.option("--insurer", metavar="ID", default="", help="Only about this insurer.")
@click.option("--address", metavar="TEXT", default="", help="Only with this text in the sender's or a recipient's address.")
@click.option("--days", metavar="N", type=click.IntRange(0, 36_500), help="Only of the last N days.")
@click.option("--limit", metavar="N", type=click.IntRange(1), default=100, show_default=True, help="At most N, the newest.")
@config_option
@json_option
def list_entries(
    state: str | None, verdict: str | None, insurer: str, address: str, days: int | None, limit: int, config: str | None, *, as_json: bool
) -> None:
    """List what is held, newest first, without personal data."""
    since = clock.now() - timedelta(days=days) if days is not None else None
    wanted = Filter(State(state) if state else None, verdict or "", insurer, address, since=since, limit=limit)
    entries = with_store(config, lambda store, _: store.list(wanted))
    if as_json:
        for entry in entries:
            output.json_line(_listed(entry))
        return
    columns = ("id", "received", "state", "verdict", "insurer", "score", "from", "to")
    output.table(columns, (_row(entry) for entry in entries))
    if not entries and output.for_person():
        click.echo("nothing is held")


def _listed(entry: Entry) -> dict[str, Any]:  # Any: JSON values
    return {
        "id": entry.id,
        "received": entry.received.isoformat(),
        "state": entry.state.value,
        "verdict": entry.verdict,
        "insurer": entry.insurer,
        "score": entry.score,
        "from": entry.masked_sender,
        "to": list(entry.masked_recipients),
        "octets": entry.octets,
    }


def _row(entry: Entry) -> tuple[str, ...]:
    listed = _listed(entry)
    to = ", ".join(listed["to"][:2]) + (f" +{len(listed['to']) - 2}" if len(listed["to"]) > 2 else "")
    when = f"{entry.received:%Y-%m-%d %H:%M}"
    return (entry.id, when, listed["state"], entry.verdict, entry.insurer or "-", f"{entry.score:g}", listed["from"], to)


@quarantine.command()
@click.argument("name", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the mail's original octets instead.")
@config_option
@json_option
def show(name: str, config: str | None, *, raw: bool, as_json: bool) -> None:
    """Show one mail's envelope, subject and reasons. The view is written down."""
    if raw:
        sys.stdout.buffer.write(with_store(config, lambda store, _: store.octets(name, who=who())))
        return
    entry = with_store(config, lambda store, _: store.get(name, who=who()))
    details = {
        **_listed(entry),
        "from": entry.envelope.mail_from,
        "to": list(entry.envelope.rcpt_to),
        "client_ip": entry.connection.client_ip,
        "helo": entry.connection.helo,
        "queue_id": entry.queue_id,
        "author_domain": entry.author_domain,
        "subject": entry.subject,
        "reasons": [asdict(reason) for reason in entry.reasons],
        "changed": entry.changed.isoformat(),
        "note": entry.note,
    }
    if as_json:
        output.json_line(details)
        return
    for key, value in details.items():
        if key == "reasons":
            for reason in entry.reasons:
                click.echo(f"{'reason':<14}{output.clean(reason.text, most=400)} ({reason.rule} {reason.score:+g})")
        elif value not in (None, "", []):
            click.echo(f"{key:<14}{output.clean(', '.join(value) if isinstance(value, list) else str(value), most=1_000)}")


@quarantine.command(short_help="Deliver mails after all.")
@click.argument("names", metavar="ID…", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Also when it may have been delivered already: a second copy may arrive.")
@config_option
def release(names: tuple[str, ...], config: str | None, *, again: bool) -> int:
    """Deliver mails to their recipients through the next hop of the settings."""
    from milter.quarantine import release as releasing

    async def work(store: Store, settings: Settings) -> bool:
        hop = app.build_next_hop(settings)
        try:
            return all([await one(store, hop, name) for name in names])
        finally:
            hop.close()

    async def one(store: Store, hop: releasing.Hop, name: str) -> bool:
        try:
            outcome = await releasing.release(store, hop, name, who=who(), again=again)
        except QuarantineError as wrong:
            click.echo(f"Error: {wrong}", err=True)
            return False
        released = outcome.state is State.RELEASED
        click.echo(output.clean(outcome.sentence, most=1_000), err=not released)
        return released

    return 0 if with_store(config, work) else 3


@quarantine.command()
@click.argument("names", metavar="ID…", nargs=-1, required=True)
@config_option
def delete(names: tuple[str, ...], config: str | None) -> None:
    """Delete mails for good; the audit keeps that they were there."""

    async def work(store: Store, _: Settings) -> None:
        for name in names:
            await store.delete(name, who=who())
            click.echo(f"{name} deleted")

    with_store(config, work)


@quarantine.command()
@config_option
@json_option
def stats(config: str | None, *, as_json: bool) -> None:
    """Count what is held."""
    found = with_store(config, lambda store, _: store.stats())
    moments = {key: moment.isoformat() if (moment := getattr(found, key)) else None for key in ("oldest", "newest")}
    if as_json:
        output.json_line({**asdict(found), **moments})
        return
    rows = [("mails", str(found.entries)), ("octets", str(found.octets)), *((key, value or "-") for key, value in moments.items())]
    for title, counts in (("state", found.by_state), ("verdict", found.by_verdict), ("insurer", found.by_insurer)):
        rows += [(f"{title} {name or '-'}", str(count)) for name, count in counts.items()]
    output.table(("what", "count"), rows)
