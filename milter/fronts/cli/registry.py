"""`registry list|find|lint`: the insurers that are known, and whether a registry file is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from milter import app
from milter.adapters import files
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option
from milter.settings.model import Settings

if TYPE_CHECKING:
    from milter.identity.organisation import Organisation


@click.group()
def registry() -> None:
    """List, find and check insurers."""


def _organisations(config: str | None, market: tuple[str, ...]) -> tuple[Organisation, ...]:
    settings = app.load_settings(config).settings
    return tuple(app.load_registry(_with_markets(settings, market)).organisations)


def _with_markets(settings: Settings, market: tuple[str, ...]) -> Settings:
    from dataclasses import replace

    return replace(settings, registry=market) if market else settings


market_option = click.option("--market", metavar="NAME", multiple=True, help="This registry instead of those of the settings; may be repeated.")


@registry.command("list")
@market_option
@config_option
@json_option
def list_organisations(market: tuple[str, ...], config: str | None, *, as_json: bool) -> None:
    """List the insurers."""
    found = _organisations(config, market)
    if as_json:
        for organisation in found:
            output.json_line(_whole(organisation))
        return
    output.table(("id", "name", "kind", "domains"), ((o.id, o.name, o.kind.value, " ".join(e.domain.name for e in o.domains)) for o in found))


def _whole(organisation: Organisation) -> dict[str, Any]:  # Any: JSON values
    return {
        "id": organisation.id,
        "name": organisation.name,
        "kind": organisation.kind.value,
        "country": organisation.country,
        "aliases": list(organisation.aliases.distinctive),
        "ambiguous": list(organisation.aliases.ambiguous),
        "domains": [{"domain": e.domain.name, "role": e.role.value, "checked": e.checked} for e in organisation.domains],
    }


@registry.command(short_help="Find insurers by name or domain.")
@click.argument("text")
@market_option
@config_option
@json_option
def find(text: str, market: tuple[str, ...], config: str | None, *, as_json: bool) -> None:
    """Find insurers by a part of their id, a name or a domain; case and accents make no difference."""
    from milter.text.normal import fold

    wanted = fold(text).strip()
    found = [organisation for organisation in _organisations(config, market) if wanted in _searched(organisation)]
    if as_json:
        for organisation in found:
            output.json_line(_whole(organisation))
        return
    if not found:
        click.echo(f"no insurer with {text!r} in its id, names or domains", err=True)
    for organisation in found:
        click.echo(f"{organisation.name} ({organisation.id}, {organisation.kind.value}, {organisation.country})")
        for strength, names in (("also", organisation.aliases.distinctive), ("ambiguous", organisation.aliases.ambiguous)):
            if names:
                click.echo(f"  {strength}: {', '.join(names)}")
        for entry in organisation.domains:
            click.echo(f"  {entry.domain}  {entry.role.value}  {'checked ' + entry.checked if entry.checked else 'not checked'}")


def _searched(organisation: Organisation) -> str:
    from milter.text.normal import fold

    names = [fold(name) for name, _ in organisation.names]
    return "\n".join((organisation.id, *names, *(entry.domain.name for entry in organisation.domains)))


@registry.command(short_help="Check registry files.")
@click.argument("paths", nargs=-1, metavar="[FILE]…")
@config_option
def lint(paths: tuple[str, ...], config: str | None) -> None:
    """Check registry files, those of the settings when none is named; all problems come at once."""
    from milter.identity import registry_file

    settings = app.load_settings(config).settings
    app.use_suffix_list(settings)
    named = [Path(path) for path in paths] or app.registry_paths(settings)
    checked = registry_file.load([(str(path), files.read(path)) for path in named])
    count = len(tuple(checked.organisations))
    click.echo(f"{count} insurer{'' if count == 1 else 's'} in {len(named)} file{'' if len(named) == 1 else 's'}, in order")
