"""`serve`: start the SMTP proxy with the parts of the settings, say where it listens, and stop without losing a mail."""

from __future__ import annotations

import asyncio
import dataclasses
import signal

import click

from milter import app, pipeline
from milter.adapters import clock, log, memory
from milter.fronts import listen, smtp_proxy
from milter.fronts.cli.options import config_option
from milter.fronts.smtp_contract import MailRecord, Options
from milter.model.mail import Mail
from milter.model.verdict import Decision
from milter.quarantine.store import Store
from milter.settings import addresses
from milter.settings.model import Settings

DRAIN_SECONDS = 60.0
PROBE_SECONDS = 2.0
_RECORD = tuple(field.name for field in dataclasses.fields(MailRecord))


@click.command()
@config_option
def serve(config: str | None) -> None:
    """Run the SMTP proxy until SIGTERM or SIGINT; mails under way are finished first."""
    loaded = app.load_settings(config)
    parts = app.load_parts(loaded.settings)
    memory.settle()
    asyncio.run(_serve(loaded, parts, log.open_log()))


async def _serve(loaded: app.Loaded, parts: app.Parts, logger: log.Logger) -> None:
    settings = loaded.settings
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with app.open_store(settings) as store, app.open_resolver(settings) as resolver:
        kit = app.build_kit(settings, parts, resolver, lambda mail, bug: _broke(logger, bug, mail.queue_id))
        proxy = _proxy(settings, kit, store, logger)
        probing = asyncio.create_task(_probe(proxy, logger))
        await asyncio.wait({probing}, timeout=PROBE_SECONDS)  # so that the first EHLO offers what the next hop offers
        listener = await listen.open_all(map(addresses.host_port, settings.smtp.listen), proxy.session)
        _greet(loaded, parts, listener, logger)
        await stop.wait()
        logger.info("stopping", connections=len(proxy.sessions))
        probing.cancel()
        listener.close()
        await proxy.drain(DRAIN_SECONDS)
    logger.info("stopped")


async def _probe(proxy: smtp_proxy.SmtpProxy, logger: log.Logger) -> None:
    hop = proxy.next_hop
    if trouble := await hop.probe():
        logger.warning("next hop", address=f"{hop.host}:{hop.port}", trouble=trouble, meaning="mail gets 451 until it answers")


def _broke(logger: log.Logger, bug: BaseException, queue_id: str = "") -> None:
    logger.error("bug", **log.facts({"place": log.bug_place(bug), "queue_id": queue_id}))


def _proxy(settings: Settings, kit: pipeline.Kit, store: Store, logger: log.Logger) -> smtp_proxy.SmtpProxy:
    def journal(record: MailRecord) -> None:
        logger.info("mail", **log.facts({name: getattr(record, name) for name in _RECORD}))

    async def hold(mail: Mail, decision: Decision, content: bytes) -> str:
        return await store.add(mail, decision, _top_field(content))

    options = Options(
        hostname=app.hostname(settings),
        trusted_peers=settings.smtp.trusted_peers,
        line_ends=settings.smtp.line_ends,
        max_octets=settings.smtp.max_octets,
        max_recipients=settings.smtp.max_recipients,
        max_connections=settings.smtp.max_connections,
        idle_seconds=settings.smtp.idle_seconds,
    )
    return smtp_proxy.SmtpProxy(
        options, lambda mail: pipeline.judge(mail, kit), hold, app.build_next_hop(settings), journal, broke=lambda bug: _broke(logger, bug)
    )


def _top_field(content: bytes) -> bytes:
    """Our Received field, which a release puts on top again."""
    end = content.find(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.find(b"\r\n", end) + 2
    return content[:end]


def _greet(loaded: app.Loaded, parts: app.Parts, listener: listen.Listener, logger: log.Logger) -> None:
    settings = loaded.settings
    logger.info(
        "listening",
        on=[str(address) for address in listener.addresses],
        next_hop=settings.smtp.next_hop,
        policy=settings.policy or app.DEFAULT_POLICY,
        mode=parts.policy.mode,
        settings=loaded.file or "defaults",
        insurers=len(parts.registry.organisations),
        rules=len(parts.ruleset.rules),
    )
    if settings.policy is None:
        logger.warning(
            "observing", meaning="no policy is set: every mail passes with the verdict in its headers; set `policy: tag` or `quarantine` to act"
        )
    if warning := app.suffix_list_warning(clock.now().date()):
        logger.warning("public suffix list", meaning=warning)
