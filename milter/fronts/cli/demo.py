"""`demo`: a dozen invented mails through a real gateway on this machine's loopback, and what became of each.

What is printed is read from what the receiving server got and from the quarantine; nothing is known beforehand.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click

from milter import app
from milter.fronts.cli import demo_mails, output
from milter.fronts.cli.demo_stage import Stage, StageError, stage
from milter.mime import encoded_words
from milter.mime.fields import scan
from milter.model.limits import Limits
from milter.model.verdict import Action

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mail. `subject` is the recipient's, "" where nothing arrived; `why` the sentences in French."""

    action: str
    verdict: str
    subject: str
    why: tuple[str, ...]


@click.command()
@click.option("--config", metavar="FILE", help="Settings file whose own rules (`rules`) play along; nothing else of it is used.")
def demo(config: str | None) -> None:
    """Show what it does with a dozen invented mails, on this machine alone."""
    asyncio.run(_play(app.load_settings(config).settings.rules if config is not None else ()))


async def _play(rules: tuple[str, ...]) -> None:
    cases = demo_mails.cases()
    click.echo("A gateway, a DNS with made-up zones and a small receiving server start on 127.0.0.1 …")
    with tempfile.TemporaryDirectory(prefix="insurer-milter-demo-") as folder:
        async with stage(Path(folder), demo_mails.zone(), rules=list(rules)) as scene:
            click.echo(f"{len(cases)} invented mails go through it by SMTP.\n")
            counts: dict[str, int] = {}
            for number, case in enumerate(cases, 1):
                outcome = await _send(scene, case)
                counts[outcome.action] = counts.get(outcome.action, 0) + 1
                _show(number, case, outcome)
            held = counts.get("quarantine", 0)
            click.echo(", ".join(f"{count} {action}" for action, count in sorted(counts.items(), key=lambda item: Action(item[0]).rank)) + ".")
            if held:
                click.echo(f"The {held} held mails were safe on disk before the sender read 250; a person may look at them and release them.")
    click.echo("Everything is stopped and removed again. Where to look next:")
    command = _command()
    width = len(command) + 25
    for what, why in (
        (f"{command} scan FILE.eml", "judge a mail of your own"),
        (f"{command} check-domain DOMAIN", "how a domain relates to the insurers of the registry"),
        (f"{command} rules list", "what is looked for, and how much it weighs"),
        ("README.md", "put it in front of your mail, beginning with policy observe"),
    ):
        click.echo(f"  {what:<{width}}{why}")


def _command() -> str:
    """How this program can be called from here: its name, or the path that it was called by."""
    name = "insurer-milter"
    return name if shutil.which(name) or Path(sys.argv[0]).name != name else os.path.relpath(sys.argv[0])


async def _send(scene: Stage, case: demo_mails.Case) -> Outcome:
    helo = f"mail.{case.mail_from.rpartition('@')[2]}"
    code, text, arrived = await scene.send(case.octets(), client_ip=case.client_ip, helo=helo, mail_from=case.mail_from, rcpt_to=demo_mails.RECIPIENT)
    if code != 250:
        raise StageError(f"the gateway answered {code} {text} to “{case.story}”")
    if arrived is not None:
        return _delivered(arrived)
    async with app.open_store(app.load_settings(str(scene.settings)).settings) as store:
        entry = await store.get(text.split()[-1], who="demo")
    return Outcome("quarantine", entry.verdict, "", tuple(reason.text for reason in entry.reasons))


def _delivered(octets: bytes) -> Outcome:
    header = scan(octets, Limits())
    values: dict[str, list[str]] = {}
    for field in header.fields:
        values.setdefault(field.key, []).append(encoded_words.decode(field.value).strip())
    said = dict(part.strip().split("=", 1) for part in values["x-insurer-milter"][0].split(";"))
    why = tuple(" ".join(reason.split("; ", 2)[-1].split()) for reason in values.get("x-insurer-milter-reason", ()))
    return Outcome(said["action"], said["verdict"], values["subject"][0], why)


def _show(number: int, case: demo_mails.Case, outcome: Outcome) -> None:
    action = output.coloured(outcome.action)
    click.echo(f"{number:2}. {action}  ({outcome.verdict})  {case.story}")
    click.echo(f"      From:    {output.clean(case.from_)}")
    if outcome.subject:
        click.echo(f"      Subject: {output.clean(outcome.subject)}")
    else:
        click.echo(f"      Subject: {output.clean(case.subject)}   → held, not delivered")
    for sentence in outcome.why:
        for line in _wrap(f"– {output.clean(sentence, most=400)}"):
            click.echo(line)
    click.echo("")


def _wrap(sentence: str) -> list[str]:
    """Lines of one sentence; neither domain names nor French words with a hyphen are cut."""
    return textwrap.wrap(sentence, WIDTH, initial_indent="      ", subsequent_indent="        ", break_on_hyphens=False, break_long_words=False)
