"""Message → ContentFacts: what the mail wants of its reader.

The door of this package. Knows which words and links are the author's; must not know who the author really is or what he claims.
"""

from __future__ import annotations

from milter.content import links, personal_data
from milter.model.evidence import ContentFacts, DomainMatcher
from milter.model.limits import Limits
from milter.model.message import Message


def collect(message: Message, matcher: DomainMatcher, limits: Limits, *, claimed: bool) -> ContentFacts:
    """Collect the facts. `text` is the author's own words with his signature; nothing quoted or hidden. Pure, never raises.

    `claimed`: something else in the mail claims to be an insurer. Where nothing does, and no link leads to an imitation either, what
    the mail wants counts for nothing: it is not read any further, and the facts hold the subject alone.
    """
    if not claimed and not links.imitate(message.links, matcher):
        return ContentFacts(subject=message.subject)
    words = message.words
    text = f"{words.own}\n{words.signature}" if words.signature else words.own
    return ContentFacts(
        subject=message.subject,
        text=text[: limits.text_chars],
        links=links.read(message.links, message.author.domain, matcher, limits.links),
        personal_data=personal_data.kinds(f"{message.subject}\n{text}\n{words.quoted}"[: 2 * limits.text_chars]),
        attachments=tuple(dict.fromkeys(part.filename.lower() for part in message.parts if part.filename)),
        has_form=any(link.place in ("form", "button") for link in message.links),
    )
