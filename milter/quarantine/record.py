"""An entry as one line of JSON: the head of its file, and its member in an archive.

Knows the form and refuses every other. Must not know files, archives or databases. A line may come from elsewhere (an archive, a damaged disk):
whatever is in it, reading gives an entry that can be released safely, or ValueError. Text of a mail may hold octets that are no UTF-8, as
surrogates (PEP 383); JSON carries them as escapes, so a line is ASCII.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from milter.errors import QuarantineError
from milter.model.mail import Connection, Envelope, Params
from milter.quarantine.entry import Entry, Reason, State, checked_id

JSON_COLUMNS = ("envelope", "connection", "reasons", "cuts", "pending")
_NUMBER = int | float
_SHAPE: dict[str, object] = {
    "id": str,
    "received": _NUMBER,
    "changed": _NUMBER,
    "state": str,
    "octets": int,
    "digest": str,
    "envelope": {"mail_from": str, "rcpt_to": [str], "mail_params": [str], "rcpt_params": [[str]]},
    "connection": {"client_ip": str | None, "client_name": str, "helo": str},
    "queue_id": str,
    "verdict": str,
    "insurer": str | None,
    "insurer_name": str,
    "score": _NUMBER,
    "language": str,
    "reasons": [(str, _NUMBER, str)],
    "author_domain": str,
    "subject": str,
    "front": str,
    "cuts": [(int, int)],
    "pending": [int],
    "attempt": int,
    "note": str,
}
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_MOST = 2**53


def facts(entry: Entry, digest: str) -> dict[str, Any]:  # Any: JSON values, and octets for `front`
    """All that is known of an entry, by column. `digest` is the SHA-256 of its octets, in hex."""
    envelope, connection = entry.envelope, entry.connection
    return {
        "id": entry.id,
        "received": entry.received.timestamp(),
        "changed": entry.changed.timestamp(),
        "state": entry.state.value,
        "octets": entry.octets,
        "digest": digest,
        "envelope": {
            "mail_from": envelope.mail_from,
            "rcpt_to": envelope.rcpt_to,
            "mail_params": [_text(one) for one in entry.params.mail],
            "rcpt_params": [[_text(one) for one in params] for params in entry.params.rcpt],
        },
        "connection": {"client_ip": connection.client_ip, "client_name": connection.client_name, "helo": connection.helo},
        "queue_id": entry.queue_id,
        "verdict": entry.verdict,
        "insurer": entry.insurer,
        "insurer_name": entry.insurer_name,
        "score": entry.score,
        "language": entry.language,
        "reasons": [(reason.rule, reason.score, reason.text) for reason in entry.reasons],
        "author_domain": entry.author_domain,
        "subject": storable(entry.subject),
        "front": entry.front,
        "cuts": entry.cuts,
        "pending": entry.pending,
        "attempt": entry.attempt,
        "note": storable(entry.note),
    }


def from_facts(known: Mapping[str, Any]) -> Entry:  # Any: JSON values, and octets for `front`
    """The entry of its facts."""
    envelope, connection = known["envelope"], known["connection"]
    return Entry(
        id=known["id"],
        received=moment(known["received"]),
        changed=moment(known["changed"]),
        state=State(known["state"]),
        octets=known["octets"],
        envelope=Envelope(envelope["mail_from"], tuple(envelope["rcpt_to"])),
        params=Params(
            tuple(_octets(one) for one in envelope["mail_params"]),
            tuple(tuple(_octets(one) for one in params) for params in envelope["rcpt_params"]),
        ),
        connection=Connection(connection["client_ip"], connection["client_name"], connection["helo"]),
        queue_id=known["queue_id"],
        verdict=known["verdict"],
        insurer=known["insurer"],
        insurer_name=known["insurer_name"],
        score=known["score"],
        language=known["language"],
        reasons=tuple(Reason(rule, score, text) for rule, score, text in known["reasons"]),
        author_domain=known["author_domain"],
        subject=known["subject"],
        front=known["front"],
        cuts=tuple((start, end) for start, end in known["cuts"]),
        pending=tuple(known["pending"]),
        attempt=known["attempt"],
        note=known["note"],
    )


def line(known: Mapping[str, Any]) -> bytes:  # Any: see `facts`
    """Facts as one line: the SHA-256 of the JSON, a blank, the JSON, LF."""
    text = json.dumps({**known, "front": _text(known["front"])}, separators=(",", ":")).encode("ascii")
    return hashlib.sha256(text).hexdigest().encode("ascii") + b" " + text + b"\n"


def read(octets: bytes) -> tuple[Entry, str]:
    """The entry and the digest of such a line. Raises ValueError."""
    digest, _, text = octets.removesuffix(b"\n").partition(b" ")
    if hashlib.sha256(text).hexdigest().encode("ascii") != digest:
        raise ValueError("its facts are damaged")
    try:
        known = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its facts are no JSON") from None
    if not _fits(known, _SHAPE):
        raise ValueError("its facts have another form than this program writes")
    try:
        entry = from_facts({**known, "front": _octets(known["front"])})
        checked_id(entry.id)
    except (ValueError, OverflowError, OSError, QuarantineError):
        raise ValueError("its facts hold a value that cannot be") from None
    if not _is_safe(entry):
        raise ValueError("its facts hold a value that cannot be")
    return entry, known["digest"]


def _fits(value: object, shape: object) -> bool:
    """Whether a JSON value has the shape: a dict its keys, a list of one any number of it, a tuple exactly these."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and value.keys() == shape.keys() and all(_fits(value[key], shape[key]) for key in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))
    if isinstance(value, bool) or not isinstance(value, shape):  # type: ignore[arg-type]  # a type or a union, as _SHAPE says
        return False
    return not isinstance(value, int | float) or -_MOST <= value <= _MOST  # which neither NaN nor an infinity is


def _is_safe(entry: Entry) -> bool:
    """Whether a release of it sends what it means: no control character ends a command early, no cut leaves the mail."""
    envelope = entry.envelope
    parameters = [_text(one) for params in (entry.params.mail, *entry.params.rcpt) for one in params]
    if any(map(_CONTROL.search, (envelope.mail_from, *envelope.rcpt_to, *parameters))) or any(" " in one for one in parameters):
        return False
    places = [place for cut in entry.cuts for place in cut]
    return (
        bool(envelope.rcpt_to)
        and all(0 <= index < len(envelope.rcpt_to) for index in entry.pending)
        and len(entry.params.rcpt) <= len(envelope.rcpt_to)
        and places == sorted(places)
        and all(0 <= place <= entry.octets for place in places)
        and entry.attempt >= 0
    )


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
