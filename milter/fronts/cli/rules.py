"""`rules list|lint|test|explain`: what rules there are, whether their files are right, whether they do what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from milter import app
from milter.adapters import files
from milter.errors import UsageError
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import Kind, Rule, Status


@click.group()
def rules() -> None:
    """List, check, test and explain rules."""


@rules.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only of this kind.")
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Only with this status.")
@config_option
@json_option
def list_rules(kind: str | None, status: str | None, config: str | None, *, as_json: bool) -> None:
    """List the rules that are loaded."""
    wanted = [rule for rule in _loaded(config).rules if kind in (None, rule.kind.value) and status in (None, rule.text.status.value)]
    if as_json:
        for rule in wanted:
            output.json_line(_listed(rule))
        return
    output.table(
        ("id", "kind", "status", "score", "title"), ((r.id, r.kind.value, r.text.status.value, f"{r.score:g}", r.text.title) for r in wanted)
    )


def _listed(rule: Rule) -> dict[str, Any]:  # Any: JSON values
    return {
        "id": rule.id,
        "kind": rule.kind.value,
        "status": rule.text.status.value,
        "severity": rule.text.severity.value,
        "score": rule.score,
        "title": rule.text.title,
        "file": rule.file,
    }


def _loaded(config: str | None) -> RuleSet:
    settings = app.load_settings(config).settings
    app.use_suffix_list(settings)
    return app.load_ruleset(settings)


def _of_paths(paths: tuple[str, ...], config: str | None) -> tuple[RuleSet, frozenset[str]]:
    """The rules that are loaded, together with those of `paths`, and the files that were asked about (all without paths)."""
    from milter.ruleset import rule_file

    settings = app.load_settings(config).settings
    app.use_suffix_list(settings)
    sources = dict(files.rule_sources(files.rule_folders(settings.rules)))
    asked: dict[str, bytes] = {}
    for path in paths:
        found = dict(files.rule_sources([Path(path)])) if Path(path).is_dir() else {path: files.read(path)}
        if not found:
            raise UsageError(f"no rule file *.yml in {path}")
        asked.update(found)
    same = {str(Path(file).resolve()) for file in asked}
    others = {file: octets for file, octets in sources.items() if str(Path(file).resolve()) not in same}
    return rule_file.load([*others.items(), *asked.items()]), frozenset(asked or others)


@rules.command(short_help="Check rule files.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER]…")
@config_option
def lint(paths: tuple[str, ...], config: str | None) -> None:
    """Check rule files, together with those that are loaded; all problems come at once."""
    _, asked = _of_paths(paths, config)
    click.echo(f"{len(asked)} rule file{'' if len(asked) == 1 else 's'} in order")


@rules.command(short_help="Run the examples in rule files.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER]…")
@config_option
@json_option
def test(paths: tuple[str, ...], config: str | None, *, as_json: bool) -> int:
    """Run the examples that rule files bring along; exit with 2 when one does not hold."""
    from milter import proving

    ruleset, asked = _of_paths(paths, config)
    settings = replace(app.load_settings(config).settings, registry=("example",))
    registry, policy = app.load_registry(settings), app.load_policy(settings)
    results = [result for rule in ruleset.rules if rule.file in asked for result in proving.prove_rule(rule, ruleset, registry, policy)]
    if as_json:
        for result in results:
            output.json_line({"rule": result.rule, "example": result.example, "expected": result.expected, "failure": result.failure})
    failed = [result for result in results if not result.holds]
    for result in failed:
        click.echo(str(result), err=True)
    if not as_json:
        click.echo(f"{len(results) - len(failed)} of {len(results)} examples of {len({result.rule for result in results})} rules hold")
    return 2 if failed else 0


@rules.command("explain", short_help="Say what a rule does, and when it is wrong.")
@click.argument("name", metavar="ID")
@config_option
@json_option
def explain_rule(name: str, config: str | None, *, as_json: bool) -> None:
    """Say what a rule detects, what it tells people, and when it is wrong."""
    known = {rule.id: rule for rule in _loaded(config).rules}
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(f"no rule {name!r}" + (f"; did you mean `{near[0]}`?" if near else "; `rules list` shows them"))
    rule = known[name]
    text = rule.text
    if as_json:
        noise = [{"when": entry.when, "then": entry.then} for entry in text.false_positives]
        output.json_line({**_listed(rule), "description": text.description, "says": text.says, "tags": list(text.tags), "false_positives": noise})
        return
    click.echo(f"{text.title}\n{rule.id} · {rule.kind.value} · {text.status.value} · {text.severity.value}, score {rule.score:g}")
    click.echo(f"\n{text.description.strip()}\n")
    for language, sentence in text.says.items():
        click.echo(f"Says ({language}): {sentence}")
    for entry in text.false_positives:
        click.echo(f"Wrong when {entry.when}: {entry.then}")
    for kind, examples in (("fires on", text.examples.match), ("does not fire on", text.examples.no_match), ("misses", text.known_miss)):
        for example in examples:
            click.echo(f"{kind.capitalize()}: {example.name}")
    click.echo(f"File: {rule.file}")
