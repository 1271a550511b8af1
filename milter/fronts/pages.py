"""What `/metrics`, `/healthz` and `/readyz` say of a service, made from its parent's state at the moment they are asked for."""

from __future__ import annotations

from milter.adapters import log
from milter.fronts.crew import State
from milter.fronts.parent import Parent
from milter.fronts.watching import Health, Pages


def of(parent: Parent) -> Pages:
    """The pages of this service."""
    return Pages(
        metrics=lambda: _metrics(parent),
        health=lambda: _health(parent),
        ready=lambda: _ready(parent),
        broke=lambda bug: parent.journal.logger.error("bug", place=log.bug_place(bug)),
    )


def _metrics(parent: Parent) -> bytes:
    settings = parent.in_force.loaded.settings
    parent.collect()
    parent.metrics.set_state(
        workers=len(parent.workers),
        workers_wanted=settings.workers,
        mails_in_flight=len(parent.board.mails()),
        mails_in_flight_bytes=parent.board.octets,
        connections=parent.board.connections,
        paused=parent.pause_left > 0,
        ready=not _ready(parent).problem,
        start_time_seconds=parent.started,
        sets_loaded_time_seconds=parent.in_force.since,
    )
    return parent.metrics.text()


def _health(parent: Parent) -> Health:
    """A restart may help when no worker is left, although new ones are tried."""
    alive = any(one.state is not State.GONE for one in parent.workers)
    return Health("" if alive or parent.is_stopping else "no worker is alive")


def _ready(parent: Parent) -> Health:
    if parent.is_stopping:
        return Health("the service is stopping")
    serving, wanted = len(parent.serving), parent.in_force.loaded.settings.workers
    return Health("" if serving == wanted else f"{serving} of {wanted} workers take mail")
