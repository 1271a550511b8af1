"""`scan`: judge mails from files by the same road as the servers, and print what would become of them."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import click

from milter import app
from milter.adapters import clock, files
from milter.errors import UsageError
from milter.fronts.cli import cases, lines, output, stream
from milter.fronts.cli.cases import Case, CaseError
from milter.fronts.cli.lines import Line
from milter.fronts.cli.options import json_option, resolver_option
from milter.model.mail import Connection, Envelope, Mail
from milter.settings.model import Settings

Item = Case | tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """What every process needs to judge items: a case, or a numbered batch line that `default` completes."""

    settings: Settings
    parts: app.Parts
    default: Case
    explain: bool

    @asynccontextmanager
    async def workshop(self) -> AsyncIterator[Callable[[Item], Awaitable[Line]]]:
        """Opens a resolver of this event loop and gives the function that judges one item."""
        from milter import pipeline

        async with app.open_resolver(self.settings) as resolver:
            kit = app.build_kit(self.settings, self.parts, resolver, _broke)

            async def answer(item: Item) -> Line:
                try:
                    case = item if isinstance(item, Case) else cases.from_line(item[1], item[0], self.default)
                except CaseError as wrong:
                    return lines.failed(_id(item), str(wrong))
                try:
                    mail = cases.mail_of(case, self.settings.smtp.max_octets)
                except CaseError as wrong:
                    return lines.failed(case.id, str(wrong))
                start = clock.monotonic()
                decision = await pipeline.judge(mail, kit)
                return lines.judged(case.id, decision, clock.monotonic() - start, parts=self.parts if self.explain else None)

            yield answer


def _id(item: Item) -> object:
    return item.id if isinstance(item, Case) else cases.id_of(item[1])


def _broke(mail: Mail, bug: BaseException) -> None:
    from milter.adapters import log

    click.echo(f"insurer-milter: our own error, please report: {log.bug_place(bug)}", err=True)


def _lost(item: Item) -> Line:
    return lines.failed(_id(item), "the process that judged it died")


@click.command()
@click.argument("paths", nargs=-1, metavar="[FILE… | -]")
@click.option("--batch", metavar="CASES.jsonl", help="Judge every line: id, path, client_ip, helo, mail_from, rcpt_to; `-` reads stdin.")
@click.option("--jobs", metavar="N", type=click.IntRange(1, 512), default=1, help="Use N processes; the order is kept.")
@click.option("--client-ip", metavar="A", help="The SMTP client's address; without it SPF is `none`.")
@click.option("--helo", metavar="H", default="", help="The name that the client gave.")
@click.option("--mail-from", metavar="S", default="", help="Envelope sender.")
@click.option("--rcpt-to", metavar="R", multiple=True, help="Envelope recipient; may be repeated.")
@resolver_option
@click.option("--config", metavar="FILE", help="Settings file (default: policy `quarantine`, registry `fr`).")
@json_option
@click.option("--explain", is_flag=True, help="Show what each finding changed.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when a mail would not pass.")
def scan(
    paths: tuple[str, ...],
    *,
    batch: str | None,
    jobs: int,
    client_ip: str | None,
    helo: str,
    mail_from: str,
    rcpt_to: tuple[str, ...],
    resolver: str | None,
    config: str | None,
    as_json: bool,
    explain: bool,
    exit_code: bool,
) -> int:
    """Judge mails from files, from stdin (`-`), or from a batch, and say why."""
    if bool(paths) == bool(batch):
        raise UsageError("name mail files, `-` for stdin, or one --batch file")
    default = _default(client_ip, helo, mail_from, rcpt_to)
    source, total = _batch_items(batch) if batch else (iter([replace(default, id=path, path=path) for path in paths]), len(paths))
    if batch and batch != "-":
        default = replace(default, folder=os.path.dirname(os.path.abspath(batch)))
    job = _job(config, resolver, default, explain=explain)
    printed = _Printed(as_json=as_json, short=bool(batch))
    with _progress(total if batch else 0) as advance:

        def emit(line: Line) -> None:
            printed.emit(line)
            advance()

        if jobs == 1 or "-" in paths:  # a process of its own has no stdin
            stream.in_one_process(source, job.workshop, emit)
        else:
            stream.in_processes(source, job.workshop, emit, _lost, min(jobs, max(total, 1) if total else jobs))
    return printed.exit_code(found_matters=exit_code, failures_matter=not batch)


def _default(client_ip: str | None, helo: str, mail_from: str, rcpt_to: tuple[str, ...]) -> Case:
    try:
        address = cases.ip_address(client_ip) if client_ip else None
    except CaseError:
        raise click.BadParameter(f"not an IP address: {client_ip!r}", param_hint="'--client-ip'") from None
    return Case(None, "", Connection(address, "", helo), Envelope(cases.mailbox(mail_from), tuple(cases.mailbox(item) for item in rcpt_to)))


def _job(config: str | None, resolver: str | None, default: Case, *, explain: bool) -> Job:
    settings = app.load_settings(config, default=app.SCAN_DEFAULTS).settings
    if resolver:
        settings = replace(settings, dns=replace(settings.dns, resolvers=(resolver,)))
    parts = app.load_parts(settings)
    if warning := app.suffix_list_warning(clock.now().date()):
        click.echo(f"warning: {warning}", err=True)
    return Job(settings, parts, default, explain)


def _batch_items(batch: str) -> tuple[Iterator[Item], int]:
    """Numbered lines without the blank ones, and how many there are (0 when unknown)."""
    if batch == "-":
        return ((number, line) for number, line in enumerate(sys.stdin.buffer, 1) if line.strip()), 0
    octets = files.read(batch, most=1 << 31)
    every = [(number, line) for number, line in enumerate(octets.split(b"\n"), 1) if line.strip()]
    return iter(every), len(every)


@dataclass(slots=True)
class _Printed:
    """Prints answers and remembers what the exit code needs."""

    as_json: bool
    short: bool
    found: bool = False
    failures: int = 0

    def emit(self, line: Line) -> None:
        self.found = self.found or line.found
        self.failures += line.error is not None
        if self.as_json:
            output.json_line(line.fields)
        else:
            sys.stdout.write(lines.short(line) + "\n" if self.short else lines.block(line))

    def exit_code(self, *, found_matters: bool, failures_matter: bool) -> int:
        if self.failures and failures_matter:
            return 3
        if self.failures:
            click.echo(f"{self.failures} lines could not be judged; see their `error`", err=True)
        return 1 if self.found and found_matters else 0


def _progress(total: int) -> AbstractContextManager[Callable[[], None]]:
    """A bar on stderr for a long batch watched on a terminal; nothing otherwise."""
    if total < 20 or not sys.stderr.isatty() or sys.stdout.isatty():
        return nullcontext(lambda: None)
    return _bar(total)


def _bar(total: int) -> AbstractContextManager[Callable[[], None]]:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    @contextmanager
    def shown() -> Iterator[Callable[[], None]]:
        with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=total)
            yield lambda: progress.advance(task)

    return shown()
