"""Message → ContentFacts: what the mail wants of its reader.

The door of this package. Knows which words and links are the author's; must not know who the author really is or what he claims.
"""

from __future__ import annotations

from milter.content import links, personal_data
from milter.model.evidence import ContentFacts, DomainMatcher, Match
from milter.model.limits import Limits
from milter.model.message import Message


def collect(message: Message, matcher: DomainMatcher, limits: Limits, *, claimed: bool) -> ContentFacts:
    """Collect the facts. `text` is the author's own words with his signature; nothing quoted or hidden. Pure, never raises.

    `claimed`: something else in the mail claims to be an insurer. Without a claim nothing counts what personal data it holds, so
    it is not searched.
    """
    words = message.words
    targets = links.read(message.links, message.author.domain, matcher, limits.links)
    claimed = claimed or any(link.relation == Match.LOOKALIKE for link in targets)
    text = f"{words.own}\n{words.signature}" if words.signature else words.own
    return ContentFacts(
        subject=message.subject,
        text=text[: limits.text_chars],
        links=targets,
        personal_data=personal_data.kinds(f"{message.subject}\n{text}\n{words.quoted}"[: 2 * limits.text_chars]) if claimed else frozenset(),
        attachments=tuple(dict.fromkeys(part.filename.lower() for part in message.parts if part.filename)),
        has_form=any(link.place in ("form", "button") for link in message.links),
    )
