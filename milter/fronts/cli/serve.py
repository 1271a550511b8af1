"""`serve`: start the service with the parts of the settings, say where it listens, and stop without losing a mail."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket

import click

from milter import app
from milter.adapters import clock
from milter.adapters.files import system_resolvers
from milter.errors import ListenError
from milter.fronts import control, listen, notify, pages, watching
from milter.fronts.cli.options import config_option
from milter.fronts.journal import Journal
from milter.fronts.parent import InForce, Parent
from milter.settings import addresses, check
from milter.settings.model import Settings


@click.command()
@config_option
def serve(config: str | None) -> None:
    """Run the service until SIGTERM or SIGINT; mails under way are finished first. SIGHUP reads settings, registry, rules and policy anew."""
    loaded = app.load_settings(config)
    settings = loaded.settings
    parts = app.load_parts(settings)
    app.quarantine_folder(settings).parent.mkdir(mode=0o700, exist_ok=True)
    with control.alone(settings):
        sockets = _sockets(settings)
        _allow_files()
        asyncio.run(_serve(Parent(config, InForce(loaded, parts), sockets, Journal())))


def _sockets(settings: Settings) -> list[list[socket.socket]]:
    """Those of each worker: the service manager's, which all workers share, or our own. Raises ListenError."""
    wanted = [addresses.host_port(text) for text in settings.smtp.listen]
    handed = notify.handed_sockets()
    if not handed:
        return listen.bind(wanted, settings.workers)
    given = [listen.address(one) for one in handed]
    if set(given) != set(wanted):
        raise ListenError(
            f"the service manager listens on {', '.join(map(str, given))}, but `smtp.listen` says {', '.join(map(str, wanted))};"
            " let the settings and the lines ListenStream= of insurer-milter.socket name the same"
        )
    return [handed] * settings.workers


def _allow_files() -> None:
    """As many open files as the system lets us have."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(parent: Parent) -> None:
    address = parent.in_force.loaded.settings.metrics.listen
    async with control.open_control(parent):
        watched = None if address == check.OFF else await watching.serve(addresses.host_port(address), pages.of(parent))
        try:
            await parent.run(lambda: _greet(parent))
        finally:
            if watched is not None:
                watched.close()


def _greet(parent: Parent) -> None:
    loaded, parts, logger = parent.in_force.loaded, parent.in_force.parts, parent.journal.logger
    settings = loaded.settings
    logger.info(
        "listening",
        on=[str(address) for address in parent.addresses],
        next_hop=settings.smtp.next_hop,
        policy=settings.policy or app.DEFAULT_POLICY,
        mode=parts.policy.mode,
        settings=loaded.file or "defaults",
        insurers=len(parts.registry.organisations),
        rules=len(parts.ruleset.rules),
        sets=parts.sets,
        workers=[one.pid for one in parent.workers],
        metrics=settings.metrics.listen,
        resolvers=settings.dns.resolvers or system_resolvers(),
    )
    if settings.policy is None:
        logger.warning(
            "observing", meaning="no policy is set: every mail passes with the verdict in its headers; set `policy: tag` or `quarantine` to act"
        )
    if warning := app.suffix_list_warning(clock.now().date()):
        logger.warning("public suffix list", meaning=warning)
