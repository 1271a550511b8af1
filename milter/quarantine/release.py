"""Release one mail: the original octets with the verdict's headers in front, through the next hop, at least once, and said so when in doubt.

Knows the order: state `releasing` committed, then the next hop, then the outcome. Forged copies of our headers stay out as they would have at
entry; the subject is the sender's own; the Message-ID is the same at each attempt, so a second copy can be recognised. RFC 1047: when no
answer comes behind the final dot, nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from milter.actions import edits
from milter.actions.next_hop import Delivery
from milter.model.mail import Envelope, Params
from milter.model.reply import Reply
from milter.quarantine.entry import Entry, State
from milter.quarantine.store import Store

_ADVICE = "the mail may have been delivered; look at the mail server's log, then release with --again if a second copy does no harm"


class Hop(Protocol):
    """The way to the next hop; `actions.next_hop.NextHop` is one."""

    async def deliver(self, envelope: Envelope, content: bytes, params: Params | None = None) -> Delivery:
        """Deliver to the recipients that the next hop takes, with the parameters that it offers.

        Raises ValueError for octets that cannot be sent safely.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a release ended: RELEASED, FAILED or IN_DOUBT. `sentence` is for the person who asked."""

    state: State
    sentence: str
    reply: Reply | None = None


def delivered(entry: Entry, original: bytes) -> bytes:
    """What a release sends."""
    return edits.compose(original, entry.front, (edits.Cut(start, end) for start, end in entry.cuts))


def wanted_params(entry: Entry) -> Params:
    """The client's parameters for the recipients who have not got the mail."""
    given = entry.params.rcpt
    return Params(entry.params.mail, tuple(given[index] if index < len(given) else () for index in entry.pending))


async def release(store: Store, hop: Hop, name: str, *, who: str, again: bool = False) -> Outcome:
    """Release one entry to the recipients who have not got it. Raises QuarantineError when it must not begin (unknown, damaged, in doubt
    without `again`).

    If this is cut off, the entry stays `releasing` and the next release says that it is in doubt.
    """
    entry, original = await store.mark_releasing(name, who=who, again=again)
    wanted = tuple(entry.envelope.rcpt_to[index] for index in entry.pending)
    try:
        result = await hop.deliver(replace(entry.envelope, rcpt_to=wanted), delivered(entry, original), wanted_params(entry))
    except ValueError as error:
        note = f"cannot be sent: {error}"
        await store.mark_failed(name, note, who=who, attempt=entry.attempt)
        return Outcome(State.FAILED, f"{name} was not delivered, it {note}")
    state, note, pending = _outcome(entry, result)
    sentence = f"{name} {_PHRASES[state]}: {note}"
    if state is State.RELEASED:
        await store.mark_released(name, note, who=who, attempt=entry.attempt)
    elif state is State.IN_DOUBT:
        await store.mark_in_doubt(name, note, who=who, attempt=entry.attempt)
        sentence = f"{sentence}; {_ADVICE}"
    else:
        await store.mark_failed(name, note, who=who, attempt=entry.attempt, pending=pending)
        sentence = f"{sentence}; it can be released again"
    return Outcome(state, sentence, result.final)


_PHRASES = {State.RELEASED: "was delivered", State.IN_DOUBT: "is in doubt", State.FAILED: "was not delivered to everybody"}


def _outcome(entry: Entry, result: Delivery) -> tuple[State, str, tuple[int, ...]]:
    """The state, what the next hop said, and the indexes of recipients who certainly have not got the mail."""
    refused = tuple(index for index, reply in zip(entry.pending, result.recipients, strict=True) if not reply.is_positive)
    if result.in_doubt:
        return State.IN_DOUBT, result.final.cause or result.final.text, entry.pending
    if not result.final.is_positive:
        return State.FAILED, result.final.text, entry.pending
    if not refused:
        return State.RELEASED, result.final.text, ()
    first = next(reply for reply in result.recipients if not reply.is_positive)
    return State.FAILED, f"{len(refused)} of {len(entry.pending)} recipients were refused, the first with {first.text}", refused
