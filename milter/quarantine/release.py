"""Release one mail: the original octets with the verdict's headers in front, through the next hop, at least once, and said so when in doubt.

Knows the order: state `releasing` committed, then the next hop, then the outcome. Forged copies of our headers stay out as they would have at
entry; the subject is the sender's own; the Message-ID is the same at each attempt, so a second copy can be recognised. RFC 1047: when no
answer comes behind the final dot, nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from milter.actions import edits
from milter.errors import NextHopError
from milter.model.mail import Envelope
from milter.model.reply import Reply
from milter.quarantine.entry import Entry, Params, State
from milter.quarantine.store import Store


class Delivery(Protocol):
    """The way to the next hop."""

    async def deliver(self, envelope: Envelope, params: Params, octets: bytes) -> Reply:
        """Deliver one mail to all recipients or, when one of them is refused, to none. Gives the final reply, or the refusal.

        Raises NextHopError, with `after_final_dot` when the mail may have been taken.
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
    return entry.front + edits.splice(original, (edits.Cut(start, end) for start, end in entry.cuts))


async def release(store: Store, delivery: Delivery, name: str, *, who: str, again: bool = False) -> Outcome:
    """Release one entry. Raises QuarantineError when it must not begin (unknown, damaged, in doubt without `again`).

    If this is cut off, the entry stays `releasing` and the next release says that it is in doubt.
    """
    entry, original = await store.mark_releasing(name, who=who, again=again)
    try:
        reply = await delivery.deliver(entry.envelope, entry.params, delivered(entry, original))
    except NextHopError as error:
        if error.after_final_dot:
            note = f"no answer behind the final dot: {error.cause}"
            await store.mark_in_doubt(name, note, who=who, attempt=entry.attempt)
            advice = "the mail may have been delivered; look at the mail server's log, then release with --again if a second copy does no harm"
            return Outcome(State.IN_DOUBT, f"{name} is in doubt, {note}; {advice}")
        await store.mark_failed(name, error.cause, who=who, attempt=entry.attempt)
        return Outcome(State.FAILED, f"{name} was not delivered: {error.cause}; it can be released again")
    if reply.is_positive:
        await store.mark_released(name, reply.text, who=who, attempt=entry.attempt)
        return Outcome(State.RELEASED, f"{name} was delivered to {len(entry.envelope.rcpt_to)} recipient(s): {reply.text}", reply)
    await store.mark_failed(name, reply.text, who=who, attempt=entry.attempt)
    return Outcome(State.FAILED, f"{name} was not delivered, the mail server says: {reply.text}; it can be released again", reply)
