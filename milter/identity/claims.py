"""What one place of a mail claims: a name, an address or a line becomes claims with strength and quote.

Knows names and domains. Must not know where in a mail the text stood beyond the place that it is given, nor whether
anything is proven: a claim is what is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from milter.identity.brands import letters
from milter.identity.names import NameMatch, Reading
from milter.identity.organisation import AliasStrength, Role
from milter.identity.registry import Registry
from milter.identity.vocabulary import DESK, FILLER, HEALTH, INSURANCE, LEGAL_FORMS, NAMESAKES, OWN_BUSINESS, SERVICE, SIGNING
from milter.model.address import Address
from milter.model.domain import Domain
from milter.model.evidence import Claim, DomainMatch, Match, Place, Strength
from milter.text.domains import parse_domain

QUOTE = 120
_MOST_NAME = 2_000  # characters of one display name or line that are read
_PADDING = FILLER | SERVICE | HEALTH | LEGAL_FORMS | {"via", "equipe", "team", "the"}
_SPEAKER = re.compile(r"(?i:\bvia\b|\bde la part d[eu']\b|\bon behalf of\b|\bim auftrag von\b|\bp\.\s?o\.)")
_ADDRESS = re.compile(r"[^\s<>()\"',;:@]{0,64}@?([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})")
_ADDRESSES = 5
_SIGNATURE_WORDS = 12
_LONGEST_MISSPELT = 60
_ANY_DESK = (FILLER | SERVICE | HEALTH | DESK) - OWN_BUSINESS


def quote(text: str) -> str:
    """One line of at most 120 characters."""
    return " ".join(text[: 4 * QUOTE].split())[:QUOTE]


def from_name(name: str, place: Place, registry: Registry) -> Iterator[Claim]:
    """Claims of a display name (or a line that stands for one): by the names in it, and by an address or domain in it."""
    name = name[:_MOST_NAME]
    whole = registry.read_names(name)
    if whole.matches:
        parts = [registry.read_names(part) for part in _SPEAKER.split(name)] if _SPEAKER.search(name) else []
        for match in whole.matches:
            if not match.certain and len(whole.words) > match.end + 1 - match.start + 1:
                continue  # `Alan Martin`: a word that may be a name of anything, beside words that say nothing of insurance
            strength = _strength(match, whole)
            if strength is Strength.MEDIUM and any(_leads(match, part) for part in parts):
                strength = Strength.STRONG
            yield Claim(match.insurer, place, strength, quote(name), technique=_technique(match))
    for index, found in enumerate(_ADDRESS.finditer(name) if "." in name else ()):
        if index >= _ADDRESSES:
            break
        domain = parse_domain(found[1])
        if domain is None:
            continue
        related = registry.match(domain)
        if related.insurer and related.match in (Match.OFFICIAL, Match.LOOKALIKE):
            yield Claim(related.insurer, place, Strength.STRONG, quote(name), related.match, related.technique, domain)


def _leads(match: NameMatch, part: Reading) -> bool:
    return any(found.insurer == match.insurer and _strength(found, part) is Strength.STRONG for found in part.matches)


def _technique(match: NameMatch) -> str:
    return "product-words" if match.product else "name" if match.exact else "homoglyph"


def _strength(match: NameMatch, reading: Reading) -> Strength:
    """Strong when the name is most of what is said; a person's name beside it makes it medium; a doubtful name, or a stadium's, is weak."""
    words = reading.without_names()
    if not match.certain or not NAMESAKES.isdisjoint(words):
        return Strength.WEAK
    left = [word for word in words if word not in _PADDING]
    said = sum(len(word) for word in left)
    size = match.end - match.start
    if said <= size or (not left and match.strength is AliasStrength.DISTINCTIVE):
        return Strength.STRONG
    return Strength.MEDIUM if len(left) <= 6 else Strength.WEAK


def _certain(reading: Reading) -> list[NameMatch]:
    return [match for match in reading.matches if match.certain]


def from_domain(domain: Domain, place: Place, registry: Registry, *, shown: str) -> Iterator[Claim]:
    """The claim of an address's domain. A host that several share claims nothing."""
    related = registry.match(domain)
    strength = domain_strength(related)
    if related.insurer and strength:
        yield Claim(related.insurer, place, strength, quote(shown or domain.name), related.match, related.technique, domain)


def domain_strength(related: DomainMatch) -> Strength | None:
    """How firmly such a domain presents a mail as the insurer's, None when it does not."""
    if related.role == Role.PORTAL:
        return None
    if related.match in (Match.OFFICIAL, Match.LOOKALIKE):
        return Strength.STRONG
    if related.match is Match.WEAK:
        return Strength.MEDIUM if related.score >= 0.5 else Strength.WEAK
    return Strength.WEAK if related.role == Role.LEGACY else None


def from_local_part(local: str, place: Place, registry: Registry, *, domain: Domain | None) -> Iterator[Claim]:
    """`mgen@unrelated.example` claims; `alan@…` is a first name, and an insurer's own address says nothing more."""
    own = registry.match(domain).insurer if domain else None
    reading = registry.read_names(local[:256])
    for match in reading.matches:
        if match.strength is AliasStrength.DISTINCTIVE and match.insurer != own:
            strength = Strength.MEDIUM if _strength(match, reading) is Strength.STRONG else Strength.WEAK
            yield Claim(match.insurer, place, strength, quote(local), technique=_technique(match))


def from_author_name(author: Address, subject: str, own: str, registry: Registry) -> Iterator[Claim]:
    """Claims of the author's display name: by a name in it, by a doubtful name that the rest of the mail makes clear, by a misspelt one."""
    found = False
    for claim in from_name(author.name, Place.DISPLAY_NAME, registry):
        found = found or claim.strength is not Strength.WEAK
        yield claim
    if author.name and not found:
        yield from from_bare_name(author, subject, own, registry)
        yield from from_misspelt_name(author.name, registry)


def is_nameless(author: Address, registry: Registry) -> bool:
    """True when an author gives no name of his own, only that of a desk: `Service clients`, `ne-pas-repondre@…`."""
    if not author.name:
        return letters(author.local[:_LONGEST_MISSPELT]) in DESK
    words = registry.read_names(author.name[:_MOST_NAME]).words.split()
    return bool(words) and all(word in _ANY_DESK or word.isdigit() for word in words) and not DESK.isdisjoint(words)


def from_bare_name(author: Address, subject: str, own: str, registry: Registry) -> Iterator[Claim]:
    """A doubtful name that is the whole display name (`CAF`, `Alan`) claims when the mail is about insurance.

    Not when the address holds the name as well: then it is the sender's own.
    """
    reading = registry.read_names(author.name[:_MOST_NAME])
    if len(reading.matches) != 1 or reading.matches[0].certain or not _PADDING.issuperset(reading.without_names()):
        return
    match = reading.matches[0]
    if match.name.replace(" ", "") in letters(f"{author.local}{author.domain or ''}"):
        return
    topics = INSURANCE.intersection(registry.read_names(subject[:_MOST_NAME]).words.split())
    if topics or len(INSURANCE.intersection(registry.read_names(own[:_MOST_NAME]).words.split())) >= 2:
        yield Claim(match.insurer, Place.DISPLAY_NAME, Strength.MEDIUM, quote(author.name), technique=_technique(match))


def from_misspelt_name(name: str, registry: Registry) -> Iterator[Claim]:
    """`Malakof Humanis`: a display name that is an insurer's but for one slip, long enough not to be somebody else's."""
    found = registry.resembles(name[:_LONGEST_MISSPELT])
    if found:
        yield Claim(found.insurer or "", Place.DISPLAY_NAME, Strength.MEDIUM, quote(name), technique=found.technique)


def from_subject(subject: str, registry: Registry, *, answer: bool, nameless: bool = False) -> Iterator[Claim]:
    """A subject that opens with the name, or speaks of `votre` contract, presents itself; another one mentions.

    Where the author is `nameless`, the subject alone says who writes, and strongly so.
    """
    presenting = Strength.STRONG if nameless else Strength.MEDIUM
    reading = registry.read_names(subject[:_MOST_NAME])
    addressed = any(word in ("votre", "vos", "your", "ihre", "ihr") for word in reading.words.split())
    for match in _certain(reading):
        before = [word for word in reading.words[: match.start].split() if word not in _PADDING]
        presents = not answer and (not before or addressed)
        yield Claim(match.insurer, Place.SUBJECT, presenting if presents else Strength.WEAK, quote(subject), technique=_technique(match))


def from_line(line: str, place: Place, registry: Registry) -> Iterator[Claim]:
    """A line of text: medium when the name and words of a desk are all of it (a letterhead, a signature), else a mention."""
    line = line[:_MOST_NAME]
    reading = registry.read_names(line)
    is_short = len(reading.words.split()) <= _SIGNATURE_WORDS and all(word in _PADDING or word in SIGNING for word in reading.without_names())
    for match in _certain(reading):
        yield Claim(match.insurer, place, Strength.MEDIUM if is_short else Strength.WEAK, quote(line), technique=_technique(match))
