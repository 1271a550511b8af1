"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from milter.settings import check

F = TypeVar("F", bound=Callable[..., Any])  # Any: a click callback of any signature


def config_option(function: F) -> F:
    """`--config FILE`."""
    return click.option("--config", metavar="FILE", help="Settings file (default: /etc/insurer-milter/settings.yml when there is one).")(function)


def json_option(function: F) -> F:
    """`--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(function)


def resolver_option(function: F) -> F:
    """`--resolver IP[:PORT]`."""
    return click.option("--resolver", metavar="IP[:PORT]", callback=_resolver, help="Ask this DNS server.")(function)


def _resolver(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    problem = check.resolver_problem(value) if value is not None else None
    if problem:
        raise click.BadParameter(problem)
    return value
