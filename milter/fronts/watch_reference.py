"""The reference pages of the log and of the metrics, made from the code that writes them (`make generate`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from milter.adapters import metrics
from milter.fronts.smtp_contract import STAGES, MailRecord

_LOG_HEAD = """\
# Log

Generated from the code; do not edit by hand. How to read it: [read the log](../howto/read-the-log.md).

`serve` writes to stderr: one JSON object a line, or short coloured lines when stderr is a terminal. Every line has `event`, `level` (`info`,
`warning`, `error`) and `timestamp` (UTC). The schema is stable: keys are added, never renamed or given another meaning.

A mail's line is its only one, and every mail that came to DATA has one (one whose recipients were all refused has none): what is logged and what
the [metrics](metrics.md) count are the same events. Addresses are masked (`log.addresses`), domains are shown in lower case, with `#` for their
digits when there are nine or more. No subject, quote, name or text of a mail is in any line; of a next hop's reply only words that servers say are
shown, everything else is `…`.

## `mail`

A key whose value would be empty, zero or false is left out.
"""
_EVENTS: Mapping[str, str] = {
    "listening": "it takes mail: `on`, `next_hop`, `policy`, `mode`, `settings`, `insurers`, `rules`",
    "observing": "no policy is set, so nothing is done with mails but headers",
    "public suffix list": "the list is old, see `meaning`",
    "next hop": "the next hop did not answer at the start: `address`, `trouble`",
    "reloading": "a reload begins: `why`",
    "reload": "how it ended: `result` is `done` (`sets`, `kept`: settings that need a restart) or `refused` (`problems`; the old sets stay in force)",
    "pause": "judging is switched off for `seconds`; mails pass with `unscanned` set to `paused`",
    "resume": "judging is on again",
    "limit": "a limit stopped clients: `limit` (the setting's key), `client` (the last one), `times`",
    "worker started": "a worker took a dead one's place: `pid`, `instead_of`",
    "worker died": "a worker ended by itself: `pid`, `exit_code` (negative: the signal), `mails` it had under way, each with a line of"
    " its own; `trouble` where it said why",
    "answer lost": "a worker died before its answer to a mail was surely sent: `queue_id`; the mail has its own line, its client may send it again",
    "sandbox": "a worker can make no children for large mails any more (`trouble`) and is replaced",
    "worker hangs": "a worker said nothing for `seconds` and is killed",
    "worker": "a worker could not be started: `trouble`",
    "quarantine care": "what the quarantine's own upkeep deleted: `by_age`, `by_number`, `by_size`, and `files` nobody knew",
    "quarantine": "its upkeep could not work: `trouble`",
    "quarantine damaged": "the database is broken: it was kept as `kept_as` and a new one made; `do` says what brings the mails back into it",
    "quarantine migrated": "the database was brought from one schema to the next; `copy` is the one before",
    "quarantine index new": "a new database was made although mails lie there; `do` says what brings them into it",
    "quarantine reopened": "another process replaced the database",
    "bug": "an error of ours: its type and `place` in the code, and the `queue_id`",
    "stopping": "told to stop: `connections` and `mails` under way",
    "stopped": "nothing is under way any more",
}
_METRICS_HEAD = f"""\
# Metrics

Generated from the code; do not edit by hand. Alert rules and a dashboard: [deploy/monitoring](../../deploy/monitoring/README.md).

`http://127.0.0.1:9825/metrics` (setting `metrics.listen`) shows the sums of all workers in Prometheus's text format. Beside it `/healthz` answers 200
while the service lives, `/readyz` 200 while it takes mail, else 503 with `{{"status": "unready", "reason": …}}`. Only GET and HEAD; no password, no
personal data.

Counters are made from the log's events alone (see [log](log.md)): they begin at 0 with the service, and never go back when a worker is replaced. Each
label has a fixed list of values; anything else would count as `{metrics.OTHER}`. All names begin with `{metrics.PREFIX}`.

| name | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def log_page() -> str:
    """docs/reference/log.md."""
    return "\n".join(
        [
            _LOG_HEAD,
            *_table(
                ("key", "type", "meaning"), ((f"`{one.name}`", _kind(str(one.type)), one.metadata["doc"]) for one in dataclasses.fields(MailRecord))
            ),
            "",
            "`ms` has these stages; those that a mail did not reach are absent:",
            "",
            *_table(("stage", "what takes the time"), ((f"`{stage}`", meaning) for stage, meaning in STAGES.items())),
            "",
            "## Other events",
            "",
            *_table(("event", "says"), ((f"`{event}`", meaning) for event, meaning in _EVENTS.items())),
            "",
        ]
    )


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    return _METRICS_HEAD + "\n".join([*(_row(_metric(family)) for family in metrics.FAMILIES), ""])


def _metric(family: metrics.Family) -> tuple[str, ...]:
    labels = "; ".join(f"`{name}`: {_values(values)}" for name, values in family.labels.items())
    return f"`{family.name}`", family.kind, labels, family.help


def _values(values: tuple[str, ...]) -> str:
    return "an id of the registry" if values == ("insurers",) else ", ".join(f"`{value}`" for value in values)


def _kind(hint: str) -> str:
    return {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true",
        "tuple[str, ...]": "list of texts",
        "Mapping[str, float] | None": "object of numbers",
    }[hint]


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(tuple("---" for _ in head)), *map(_row, rows)]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
