"""Entries as rows and back. Knows both shapes; must not know files or transactions.

Text of a mail may hold octets that are no UTF-8, as surrogates (PEP 383); JSON carries them as escapes, so every column is plain text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Decision
from milter.quarantine.entry import Entry, Filter, Params, Reason, State
from milter.quarantine.schema import entries

Row = Mapping[str, Any]  # Any: a database row is typed by its table


def values(entry: Entry, digest: str) -> dict[str, object]:
    """The row of an entry."""
    envelope, connection = entry.envelope, entry.connection
    return {
        "id": entry.id,
        "received": entry.received.timestamp(),
        "changed": entry.changed.timestamp(),
        "state": entry.state.value,
        "octets": entry.octets,
        "digest": digest,
        "envelope": json.dumps(
            {
                "mail_from": envelope.mail_from,
                "rcpt_to": envelope.rcpt_to,
                "mail_params": [_text(one) for one in entry.params.mail],
                "rcpt_params": [[_text(one) for one in params] for params in entry.params.rcpt],
            }
        ),
        "connection": json.dumps({"client_ip": connection.client_ip, "client_name": connection.client_name, "helo": connection.helo}),
        "queue_id": entry.queue_id,
        "verdict": entry.verdict,
        "insurer": entry.insurer,
        "insurer_name": entry.insurer_name,
        "score": entry.score,
        "language": entry.language,
        "reasons": json.dumps([(reason.rule, reason.score, reason.text) for reason in entry.reasons]),
        "author_domain": entry.author_domain,
        "subject": storable(entry.subject),
        "front": entry.front,
        "cuts": json.dumps(entry.cuts),
        "pending": json.dumps(entry.pending),
        "attempt": entry.attempt,
        "note": storable(entry.note),
    }


def entry(row: Row) -> Entry:
    """The entry of a row."""
    envelope, connection = json.loads(row["envelope"]), json.loads(row["connection"])
    return Entry(
        id=row["id"],
        received=moment(row["received"]),
        changed=moment(row["changed"]),
        state=State(row["state"]),
        octets=row["octets"],
        envelope=Envelope(envelope["mail_from"], tuple(envelope["rcpt_to"])),
        params=Params(
            tuple(_octets(one) for one in envelope["mail_params"]),
            tuple(tuple(_octets(one) for one in params) for params in envelope["rcpt_params"]),
        ),
        connection=Connection(connection["client_ip"], connection["client_name"], connection["helo"]),
        queue_id=row["queue_id"],
        verdict=row["verdict"],
        insurer=row["insurer"],
        insurer_name=row["insurer_name"],
        score=row["score"],
        language=row["language"],
        reasons=tuple(Reason(rule, score, text) for rule, score, text in json.loads(row["reasons"])),
        author_domain=row["author_domain"],
        subject=row["subject"],
        front=row["front"],
        cuts=tuple((start, end) for start, end in json.loads(row["cuts"])),
        pending=tuple(json.loads(row["pending"])),
        attempt=row["attempt"],
        note=row["note"],
    )


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
        query = query.where(sa.func.lower(entries.c.envelope).contains(storable(wanted.address).lower(), autoescape=True))
    if wanted.since:
        query = query.where(entries.c.received >= wanted.since.timestamp())
    if wanted.before:
        query = query.where(entries.c.received < wanted.before.timestamp())
    return query


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def storable(text: str) -> str:
    """Text that every database takes: surrogates written out, no NUL."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
