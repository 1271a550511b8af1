"""What the SMTP proxy is handed and what it reports: options, judge, quarantine, journal.

Must not know how these are made; `app` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Literal, TypeVar

from milter.model.mail import Mail, Params
from milter.model.quick import quick
from milter.model.verdict import Decision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that the proxy needs; their meaning is documented in `settings.model`.

    `answer_seconds` bounds the whole time from the final dot to our answer, judging included: below the 100 s that Postfix gives a
    before-queue filter. `own_connections` are those that this worker has file descriptors for.
    """

    hostname: str
    trusted_peers: tuple[str, ...] = ("127.0.0.1", "::1")
    line_ends: Literal["reject", "normalise"] = "reject"
    max_octets: int = 52_428_800
    max_recipients: int = 1_000
    max_connections: int = 200
    max_client_connections: int = 50
    max_mails: int = 1_000
    max_errors: int = 20
    max_received: int = 50
    max_in_flight: int = 100
    large_octets: int = 1_048_576
    memory_octets: int = 134_217_728
    wait_seconds: float = 20.0
    idle_seconds: float = 300.0
    min_octets_per_second: int = 500
    grace_seconds: float = 60.0
    answer_seconds: float = 95.0
    own_connections: int = 100_000
    bypass_clients: tuple[str, ...] = ()
    bypass_authenticated: bool = False
    log_addresses: Literal["masked", "full"] = "masked"

    @property
    def small_octets(self) -> int:
        """A mail up to this size needs no room of its own: all connections together cannot hold more of them than `memory_octets`."""
        return min(262_144, self.memory_octets // max(self.max_connections, 1))


def _key(default: T, doc: str) -> T:
    return field(default=default, metadata={"doc": doc})


@quick
@dataclass(frozen=True, slots=True)
class MailRecord:
    """What became of one mail: the log's line about it, a key a field, and all that the counters know. The schema is stable: keys are only added.

    No personal data but the client's IP address: addresses are masked (unless `log.addresses` is `full`), and no subject, quote, name or text of the
    mail is in it, nor what a next hop's reply repeats of it.
    """

    queue_id: str = _key("", "Our id of the mail; it is in our `Received` field too.")
    client: str = _key("", "IP address of the SMTP client, XFORWARD's where the peer is trusted. Absent when it is not known.")
    peer: str = _key("", "IP address of who handed the mail to us, where that is not the client.")
    sender: str = _key("", "Envelope sender, masked: `j…@example.org`. Absent for the null sender.")
    to: tuple[str, ...] = _key((), "The first 20 envelope recipients that were taken, masked.")
    recipients: int = _key(0, "Number of recipients that were taken.")
    octets: int = _key(0, "Size of the mail as received. Absent when it was not received whole.")
    spf: str = _key("", "SPF result for the envelope sender.")
    spf_domain: str = _key("", "The domain that it is about.")
    dkim: str = _key("", "`pass` when a signature verifies and proves the content, else the result of the first one, or `none`.")
    dkim_domains: tuple[str, ...] = _key((), "The domains (d=) of all signatures that pass so.")
    dmarc: str = _key("", "DMARC result.")
    author_domain: str = _key("", "Domain of the From field; proven only where `dmarc` is `pass`.")
    verdict: str = _key("", "`genuine`, `mention`, `suspect`, `impersonation` or `none`. Absent when the mail was not judged.")
    insurer: str = _key("", "Registry id of the insurer that the verdict is about.")
    score: float = _key(0.0, "Sum of the findings that count.")
    rules: tuple[str, ...] = _key((), "Ids of the rules that fired.")
    action: str = _key("", "What was decided: `pass`, `tag`, `quarantine`, `reject` or `defer`. Absent when the mail was not judged.")
    would: str = _key("", "What enforcing would have done: differs from `action` in observe mode.")
    incomplete: tuple[str, ...] = _key((), "What could not be looked at, in fixed words; of a check whose DNS failed its name alone.")
    unscanned: str = _key("", "Why the mail went through unjudged: `paused`, a bypass, or the type of our own error.")
    code: int = _key(0, "SMTP code of our answer to the mail. Absent when the client was gone before.")
    next_hop: str = _key("", "The next hop's own last reply to the mail: code, enhanced code, and of its text the usual words (`…` for all others).")
    next_hop_id: str = _key("", "The queue id that the next hop named in it.")
    in_doubt: bool = _key(
        False,
        "True when nobody knows whether the mail arrived: no answer after the final dot (RFC 1047) or none of the quarantine in time, or its worker"
        " died then.",
    )
    quarantine_id: str = _key("", "The id in the quarantine when it was held.")
    cause: str = _key("", "What went wrong on the way, in our own words.")
    sets: str = _key("", "Short hashes of registry, rules and policy that judged it.")
    ms: Mapping[str, float] | None = _key(None, "Milliseconds by stage; see below.")

    def line(self) -> dict[str, object]:
        """The keys of the log line in this order: a field that is empty, zero or false is left out."""
        return {name: value for name, value in zip(_NAMES, _VALUES(self), strict=True) if value}


_NAMES = tuple(one.name for one in fields(MailRecord))
_VALUES = attrgetter(*_NAMES)

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "receive": "from our 354 to the end of the mail, as fast as the client sends",
        "mime": "reading headers, parts, texts and links",
        "auth": "SPF, DKIM, DMARC and ARC, waiting for the DNS included",
        "identity": "whom it claims to be, and whom its names look like",
        "engine": "what it wants, the rules, the decision and its header fields",
        "deliver": "the next hop, from DATA to its last reply",
        "store": "the quarantine, until the mail is safe on the disk",
        "total": "from our 354 to our answer",
    }
)
"""The stages of `MailRecord.ms`: those that a mail did not reach are absent."""


Judge = Callable[[Mail], Awaitable[Decision]]
"""Never raises (but for cancellation): `pipeline.judge` with its kit."""

Unjudged = Callable[[Mail, str], Decision]
"""The decision for a mail that goes through unjudged, and why."""

Quarantine = Callable[[Mail, Decision, bytes, Params], Awaitable[str]]
"""Store durably and give the id. The octets are the mail as it would have been delivered, edits and Received included and fit for DATA
(of a large mail only its beginning, with all that is inserted);
`mail.raw` is the mail as received. Raises QuarantineError: then the client gets 451."""

Journal = Callable[[MailRecord], None]
"""Called once a mail: after its answer is decided, or when it was given up."""

NO_HANDLES = "file descriptors"
Limited = Callable[[str, str], None]
"""Told of a limit that a client has reached: the key of the setting (or NO_HANDLES) and the client's IP address."""

Broke = Callable[[BaseException], None]
"""Told of our own bugs in the session; the client gets 451 4.3.0."""
