"""What the quarantine commands share: the store of the settings, and who asks."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import click

from milter import app
from milter.errors import QuarantineError
from milter.quarantine.store import Store
from milter.settings.model import Settings

T = TypeVar("T")


def with_store(config: str | None, work: Callable[[Store, Settings], Awaitable[T]], *, heal: bool = False, may_be_new: bool = False) -> T:
    """Do some work with the quarantine of the settings. Raises QuarantineError when there is none, unless it `may_be_new`.

    What the service would log about the database goes to stderr. `heal`: see `app.open_store`.
    """
    settings = app.load_settings(config).settings
    if not may_be_new and not app.quarantine_folder(settings).is_dir():
        raise QuarantineError(f"no quarantine at {app.quarantine_folder(settings)}; `serve` makes it (is `data_dir` right?)")

    async def run() -> T:
        async with app.open_store(settings, _warn, heal=heal) as store:
            return await work(store, settings)

    return asyncio.run(run())


def _warn(name: str, facts: Mapping[str, object]) -> None:
    click.echo(f"{name}: {', '.join(f'{key} {value}' for key, value in facts.items())}", err=True)


def who() -> str:
    """Who asks, for the audit: the login name, behind sudo the caller's."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER")
    return f"{behind} as {name}" if behind and behind != name else name
