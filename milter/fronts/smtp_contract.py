"""What the SMTP proxy is handed and what it reports: options, judge, quarantine, journal.

Must not know how these are made; `app` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from milter.model.mail import Mail
from milter.model.verdict import Decision


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that the proxy needs; their meaning is documented in `settings.model`.

    `answer_seconds` bounds the whole time from the final dot to our answer, judging included: below the 100 s that Postfix gives a
    before-queue filter.
    """

    hostname: str
    trusted_peers: tuple[str, ...] = ("127.0.0.1", "::1")
    line_ends: Literal["reject", "normalise"] = "reject"
    max_octets: int = 52_428_800
    max_recipients: int = 1_000
    max_connections: int = 200
    idle_seconds: float = 300.0
    answer_seconds: float = 95.0


@dataclass(frozen=True, slots=True)
class MailRecord:
    """What became of one mail, for log and counters. No personal data: no address, subject or text of the mail in it.

    `action`, `would` and `verdict` are "" when the mail was not judged. `code` is what the client heard (0: it was gone), `next_hop` the
    last reply of the next hop with addresses taken out ("" when it was not asked), `cause` what went wrong ("" when nothing did).
    `queue_id` is also in our Received field. `rules` are the ids of the findings.
    """

    queue_id: str
    action: str = ""
    would: str = ""
    verdict: str = ""
    insurer: str | None = None
    score: float = 0.0
    rules: tuple[str, ...] = ()
    code: int = 0
    next_hop: str = ""
    cause: str = ""
    recipients: int = 0
    octets: int = 0
    milliseconds: float = 0.0
    quarantine_id: str = ""
    unscanned: str = ""


Judge = Callable[[Mail], Awaitable[Decision]]
"""Never raises (but for cancellation): `pipeline.judge` with its kit."""

Quarantine = Callable[[Mail, Decision, bytes], Awaitable[str]]
"""Store durably and give the id. The octets are the mail as it would have been delivered, edits and Received included and fit for DATA;
`mail.raw` is the mail as received. Raises QuarantineError: then the client gets 451."""

Journal = Callable[[MailRecord], None]
"""Called once a mail: after its answer is decided, or when it was given up."""

Broke = Callable[[BaseException], None]
"""Told of our own bugs in the session; the client gets 451 4.3.0."""
