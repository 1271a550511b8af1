"""Entries as rows and back. Knows both shapes; must not know files or transactions.

What JSON columns hold is written as ASCII, so every column is plain text, whatever octets a mail has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from milter.model.mail import Mail, Params
from milter.model.verdict import Decision
from milter.quarantine import record
from milter.quarantine.entry import Entry, Filter, Reason, State
from milter.quarantine.schema import entries

Row = Mapping[str, Any]  # Any: a database row is typed by its table


def values(known: Mapping[str, Any]) -> dict[str, object]:  # Any: see `record.facts`
    """The row of an entry's facts."""
    return {**known, **{name: json.dumps(known[name]) for name in record.JSON_COLUMNS}}


def facts(row: Row) -> dict[str, Any]:  # Any: see `record.facts`
    """The facts of a row."""
    return {**row, **{name: json.loads(row[name]) for name in record.JSON_COLUMNS}}


def entry(row: Row) -> Entry:
    """The entry of a row."""
    return record.from_facts(facts(row))


def new_entry(name: str, now: datetime, mail: Mail, decision: Decision, front: bytes, cuts: tuple[tuple[int, int], ...], params: Params) -> Entry:
    """The entry of a mail that has just been judged."""
    verdict = decision.verdict
    author = decision.auth.dmarc.author_domain if decision.auth else None
    return Entry(
        id=name,
        received=now,
        changed=now,
        state=State.HELD,
        octets=len(mail.raw),
        envelope=mail.envelope,
        params=params,
        connection=mail.connection,
        queue_id=mail.queue_id,
        verdict=verdict.kind.value,
        insurer=verdict.insurer,
        insurer_name=verdict.insurer_name,
        score=verdict.score,
        language=decision.language,
        reasons=tuple(Reason(finding.rule, finding.score, finding.text(decision.language)) for finding in verdict.findings),
        author_domain=author.name if author else "",
        subject=decision.subject,
        front=front,
        cuts=cuts,
        pending=tuple(range(len(mail.envelope.rcpt_to))),
    )


def matching(wanted: Filter) -> sa.Select[Any]:  # Any: the row's columns
    """The query of a filter, newest first."""
    query = sa.select(entries).order_by(entries.c.id.desc()).limit(max(1, wanted.limit))
    exact = {entries.c.state: wanted.state, entries.c.verdict: wanted.verdict, entries.c.insurer: wanted.insurer}
    for column, value in exact.items():
        query = query.where(column == value) if value else query
    if wanted.address:
        query = query.where(sa.func.lower(entries.c.envelope).contains(record.storable(wanted.address).lower(), autoescape=True))
    if wanted.since:
        query = query.where(entries.c.received >= wanted.since.timestamp())
    if wanted.before:
        query = query.where(entries.c.received < wanted.before.timestamp())
    return query
