"""`settings check|show`: is the configuration right, and what is in force?"""

from __future__ import annotations

import click

from milter import app
from milter.adapters import clock
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option


@click.group()
def settings() -> None:
    """Check and show the settings."""


@settings.command()
@config_option
def check(config: str | None) -> None:
    """Read the settings and every registry, rule and policy they point to; report all errors at once."""
    loaded = app.load_settings(config)
    parts = app.load_parts(loaded.settings)
    click.echo(f"{loaded.file or 'defaults'}: in order")
    click.echo(
        f"policy {loaded.settings.policy or app.DEFAULT_POLICY}, {len(parts.registry.organisations)} insurers, {len(parts.ruleset.rules)} rules"
    )
    if loaded.settings.policy is None:
        click.echo("no policy is set: `observe` changes nothing but headers", err=True)
    if warning := app.suffix_list_warning(clock.now().date()):
        click.echo(f"warning: {warning}", err=True)


@settings.command()
@config_option
@json_option
@click.option("--example", is_flag=True, help="Print the commented example file instead.")
@click.option("--reference", is_flag=True, help="Print the reference page instead.")
def show(config: str | None, *, as_json: bool, example: bool, reference: bool) -> None:
    """Print the settings in force as a settings file."""
    from milter.settings import reference as texts

    if example or reference:
        click.echo(texts.example() if example else texts.reference(), nl=False)
        return
    loaded = app.load_settings(config)
    if as_json:
        for option in texts.options(loaded.settings):
            output.json_line({"key": option.key, "value": option.value, "default": option.default})
        return
    click.echo(f"# {loaded.file or 'defaults: no settings file'}")
    click.echo(texts.in_force(loaded.settings), nl=False)
