"""The door of `identity`: a message and its envelope become claims.

Reads every place that a reader sees as the sender, the subject, and the author's own words; quoted words are somebody
else's and claim nothing. Must not know what is authenticated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from milter.identity import claims
from milter.identity.organisation import AliasStrength
from milter.identity.registry import Registry
from milter.model.address import Address
from milter.model.evidence import Claim, Match, Place, Strength
from milter.model.limits import Limits
from milter.model.mail import Envelope
from milter.model.message import Message
from milter.text.domains import parse_domain

_ANSWER = re.compile(r"\s*(?:re|aw|r[ée]p|fwd?|tr|wg)\s*[:：]", re.IGNORECASE)
# A forward without a word of the forwarder: what it holds is somebody else's letter.
_FORWARDED = re.compile(
    r"^[ \t>*]{0,9}(?:-{2,20}[ \xa0]?[^\n]{0,40}(?:message|nachricht)|(?:de|from|von|expéditeur)[ \xa0]?:)", re.IGNORECASE | re.MULTILINE
)
_FORWARD_HEAD = 400  # characters
_HEAD_LINES = 3
_TAIL_LINES = 6
_MANY = 3  # insurers named side by side: a comparison, a list of partners


def collect(message: Message, envelope: Envelope, registry: Registry, limits: Limits) -> tuple[Claim, ...]:
    """All claims, the strongest of each insurer and place, strongest first. Never raises, whatever the mail."""
    best: dict[tuple[str, Place], Claim] = {}
    for claim in _all(message, envelope, registry, limits):
        known = best.get((claim.insurer, claim.place))
        if known is None or claim.strength.rank > known.strength.rank:
            if known is None and len(best) >= limits.claims:
                continue
            best[claim.insurer, claim.place] = claim
    _weaken_lists(best)
    return tuple(sorted(best.values(), key=lambda claim: -claim.strength.rank))


def _weaken_lists(best: dict[tuple[str, Place], Claim]) -> None:
    """Who names three insurers side by side presents himself as none of them."""
    for place in (Place.SUBJECT, Place.BODY, Place.SIGNATURE):
        presented = [key for key, claim in best.items() if key[1] is place and claim.strength is not Strength.WEAK]
        if len(presented) >= _MANY:
            best.update({key: replace(best[key], strength=Strength.WEAK) for key in presented})


def _all(message: Message, envelope: Envelope, registry: Registry, limits: Limits) -> Iterator[Claim]:
    nameless = message.author.address is not None and claims.is_nameless(message.author.address, registry)
    for author in message.author.candidates[: limits.authors]:
        yield from claims.from_author_name(author, message.subject, message.words.own, registry)
        yield from _address(author, Place.FROM_DOMAIN, registry, nameless=nameless)
        yield from claims.from_local_part(author.local, Place.LOCAL_PART, registry, domain=author.domain)
    for address in message.reply_to[: limits.authors]:
        yield from _second_hand(address, Place.REPLY_TO, registry)
    if message.sender:
        yield from _second_hand(message.sender, Place.SENDER, registry)
    yield from _envelope(envelope, registry)
    yield from claims.from_subject(message.subject, registry, answer=bool(_ANSWER.match(message.subject)), nameless=nameless)
    yield from _words(message, registry, limits)


def _address(address: Address, place: Place, registry: Registry, *, nameless: bool = False) -> Iterator[Claim]:
    """A resemblance too faint for a lookalike is strong where the author gives no name: then the domain alone says who writes."""
    if address.domain:
        for claim in claims.from_domain(address.domain, place, registry, shown=address.written):
            yield replace(claim, strength=Strength.STRONG) if nameless and claim.match is Match.WEAK else claim


def _second_hand(address: Address, place: Place, registry: Registry) -> Iterator[Claim]:
    """Reply-To and Sender are shown less than the author: what they claim by name or own domain is at most medium."""
    for claim in (*claims.from_name(address.name, place, registry), *_address(address, place, registry)):
        if claim.strength is Strength.STRONG and claim.match != "lookalike":
            yield Claim(claim.insurer, place, Strength.MEDIUM, claim.quote, claim.match, claim.technique, claim.domain)
        else:
            yield claim


def _envelope(envelope: Envelope, registry: Registry) -> Iterator[Claim]:
    domain = parse_domain(envelope.mail_from.rpartition("@")[2])
    if domain:
        for claim in claims.from_domain(domain, Place.SENDER, registry, shown=envelope.mail_from):
            if claim.match == "lookalike":
                yield Claim(claim.insurer, Place.SENDER, Strength.MEDIUM, claim.quote, claim.match, claim.technique, claim.domain)


def _words(message: Message, registry: Registry, limits: Limits) -> Iterator[Claim]:
    """Letterhead, closing lines and signature may present; whatever else the text names, it mentions."""
    own = message.words.own[: limits.text_chars]
    named = registry.find_names(own, limit=limits.claims)
    forwarded = bool(_ANSWER.match(message.subject)) and bool(_FORWARDED.search(own[:_FORWARD_HEAD]))
    if named and not forwarded:  # a text without a name has no line with one
        lines = [line for line in own.splitlines() if line.strip()]
        for line in lines[:_HEAD_LINES]:
            yield from claims.from_line(line, Place.BODY, registry)
        for line in lines[1:][-_TAIL_LINES:]:
            yield from claims.from_line(line, Place.SIGNATURE, registry)
    for line in () if forwarded else message.words.signature[: limits.text_chars].splitlines()[:_TAIL_LINES]:
        yield from claims.from_line(line, Place.SIGNATURE, registry)
    for match in named:
        if match.certain and match.strength is AliasStrength.DISTINCTIVE:
            yield Claim(match.insurer, Place.BODY, Strength.WEAK, match.name, technique="name")
