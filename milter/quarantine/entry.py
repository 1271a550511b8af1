"""One quarantined mail as a value: what is known of it, its states, its id.

Knows the model. Must not know files or databases. Addresses and subject are personal data: `masked` is what a list may show.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from milter.errors import QuarantineError
from milter.model.mail import Connection, Envelope, Params
from milter.model.mask import masked

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_DIGITS = 10
_RANDOM_DIGITS = 12  # 60 bits
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{22}")


class State(StrEnum):
    """Where a quarantined mail stands.

    `releasing` is committed before the next hop is asked, so whoever finds it later cannot know whether the mail was delivered; `in-doubt`
    says the same after a conversation that broke behind the final dot. `failed`: certainly not delivered, may be released again.
    """

    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    FAILED = "failed"
    IN_DOUBT = "in-doubt"


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding as it was told when the mail came in; `text` is in the entry's language."""

    rule: str
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One quarantined mail without its octets. Times are UTC.

    `front` are the octets that a release puts before the mail, `cuts` the places (start, end) of forged copies that it leaves out, `pending` the
    indexes of recipients whom no release has reached. `note` is the last reply of the next hop or the doubt, `attempt` counts the releases
    begun, `octets` is the size.
    """

    id: str
    received: datetime
    changed: datetime
    state: State
    octets: int
    envelope: Envelope
    params: Params
    connection: Connection
    queue_id: str
    verdict: str
    insurer: str | None
    insurer_name: str
    score: float
    language: str
    reasons: tuple[Reason, ...]
    author_domain: str
    subject: str
    front: bytes
    cuts: tuple[tuple[int, int], ...]
    pending: tuple[int, ...] = ()
    attempt: int = 0
    note: str = ""

    @property
    def masked_sender(self) -> str:
        """The envelope sender with its local part hidden; `<>` for the null sender."""
        return masked(self.envelope.mail_from) or "<>"

    @property
    def masked_recipients(self) -> tuple[str, ...]:
        """The recipients with their local parts hidden."""
        return tuple(masked(recipient) for recipient in self.envelope.rcpt_to)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries to list, newest first. None and "" do not restrict; `address` is a part of the sender's or a recipient's address."""

    state: State | None = None
    verdict: str = ""
    insurer: str = ""
    address: str = ""
    since: datetime | None = None
    before: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of what is held. `octets` is the size of all mails together."""

    entries: int
    octets: int
    oldest: datetime | None
    newest: datetime | None
    by_state: dict[str, int]
    by_verdict: dict[str, int]
    by_insurer: dict[str, int]


@dataclass(frozen=True, slots=True)
class Trail:
    """One line of the audit: who did what to which entry.

    `what`: view, release, released, failed, in-doubt, delete, purge, export, import, repair.
    """

    at: datetime
    who: str
    what: str
    entry: str
    detail: str


def new_id(now: datetime) -> str:
    """An id that sorts by time (to the millisecond) and cannot be guessed (60 random bits)."""
    ticks = int(now.timestamp() * 1000)
    time = "".join(_DIGITS[ticks >> 5 * place & 31] for place in reversed(range(_TIME_DIGITS)))
    return time + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS))


def checked_id(text: str) -> str:
    """The id when it has the form of one; nothing else ever becomes part of a path. Raises QuarantineError."""
    if not _ID.fullmatch(text):
        raise QuarantineError(f"not a quarantine id: {text[:40]!r}; ids have 22 characters, `quarantine list` shows them")
    return text
