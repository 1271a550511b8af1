"""`check-domain`: how domains relate to the registry. Asks no DNS: it is about how a name is read, not whether it exists."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from milter import app
from milter.errors import UsageError
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option
from milter.model.evidence import DomainMatch, DomainMatcher

MAX_LINE = 4_096
_UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")  # what was not UTF-8, in stdin or on the command line, is no name


@click.command("check-domain")
@click.argument("names", nargs=-1, metavar="[DOMAIN… | -]")
@config_option
@json_option
def check_domain(names: tuple[str, ...], config: str | None, *, as_json: bool) -> int:
    """Say whether a domain is an insurer's, made to be read as one, or neither; `-` reads one domain a line."""
    if not names:
        raise UsageError("name domains, or `-` to read one a line from stdin")
    registry = app.load_registry(app.load_settings(config).settings)
    wrong = 0
    for name in _stdin() if names == ("-",) else names:
        wrong += not _answer(name, registry, as_json=as_json)
    return 2 if wrong and names != ("-",) else 0


def _stdin() -> Iterator[str]:
    """One name a line; empty lines are skipped, and of a line that is too long only the beginning is kept."""
    is_rest = False
    while line := sys.stdin.buffer.readline(MAX_LINE):
        text = line.decode("utf-8", "replace").strip()
        if text and not is_rest:
            yield text
        is_rest = not line.endswith(b"\n")


def _answer(name: str, registry: DomainMatcher, *, as_json: bool) -> bool:
    """Print the answer for one name; False when it is no domain."""
    from milter.text.domains import parse_domain

    domain = parse_domain(name) if not _UNREADABLE.search(name) else None
    if domain is None:
        if as_json:
            output.json_line({"domain": name, "error": "not a domain name"})
        else:
            hint = "; write it without http:// and without what stands before @" if "/" in name or "@" in name else ""
            click.echo(f"{output.clean(name) or '(empty)'}: not a domain name{hint}", err=True)
        sys.stdout.flush()
        return False
    found = registry.match(domain)
    if as_json:
        output.json_line(_fields(name, found))
    else:
        words = (output.coloured(found.match.value), found.insurer or "-", found.technique or "-", f"{found.score:g}")
        sys.stdout.write("\t".join((output.clean(name), *words)) + "\n")
    sys.stdout.flush()
    return True


def _fields(name: str, found: DomainMatch) -> dict[str, Any]:  # Any: JSON values
    from milter.text.domains import registrable

    owner = found.registrable or registrable(found.domain)
    return {
        "domain": name,
        "registrable": owner.name if owner else None,
        "match": found.match.value,
        "insurer": found.insurer,
        "technique": found.technique,
        "score": round(found.score, 3),
    }
