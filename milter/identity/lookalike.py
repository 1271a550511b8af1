"""From a domain to the organisation that it is made to be read as, without listing what fraud might invent.

Brands stand in one automaton and one index of near words; a domain is looked at label by label, in time that depends on
its length alone. Pure: no DNS, no clock. `LOOKALIKE` is given only where a reader is led to believe: the brand and words
that dress it up, a look that is not a spelling, the brand's own name under another top level. Everything that may well be
somebody honest is `WEAK`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ahocorasick

from milter.identity.brands import Brand, collect, look
from milter.identity.cover import Cover, cover, glues, may_lure, pieces
from milter.identity.organisation import HonestNeighbour, Organisation, Role
from milter.model.domain import Domain
from milter.model.evidence import DomainMatch, Match
from milter.text import domains
from milter.text.distance import NearWords
from milter.text.domains import registrable, to_unicode
from milter.text.normal import fold

# Two letters that are read as one (UTS #39 has the first; readers add the others).
_JOINED = (("rn", "m"), ("vv", "w"), ("nn", "m"), ("cl", "d"))
# Under these nobody but a public body can register.
_CLOSED = frozenset({"gouv.fr", "gov", "gov.uk", "mil", "int", "europa.eu", "gc.ca", "gouv.qc.ca"})
# Top levels where a French insurer may be expected; under those of other countries a namesake may be at home.
_FRENCH = frozenset({"fr", "re", "yt", "pm", "tf", "wf", "nc", "pf", "gp", "mq", "gf", "eu"})
_EDGES = "-._"
_MOST_HITS = 8
# Techniques of a misspelt brand, as `kind_of_slip` names them.
SLIPS = frozenset({"omission", "repetition", "insertion", "transposition", "replacement", "typo"})
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Finding:
    """One way to read a brand into a domain. Compared by match, then score."""

    match: Match
    score: float
    insurer: str
    technique: str

    @property
    def rank(self) -> tuple[bool, float]:
        """Order: what may quarantine first, then the score."""
        return self.match is Match.LOOKALIKE, self.score


@dataclass(frozen=True, slots=True)
class Hit:
    """A brand seen in a text at [start, end); `exact` when it is written so and does not merely look so."""

    brand: Brand
    text: str
    start: int
    end: int
    exact: bool
    rest: Cover
    left: bool
    right: bool

    @property
    def bounded(self) -> bool:
        """True when both ends of the brand are ends of words."""
        return self.left and self.right

    @property
    def edged(self) -> bool:
        """True when both ends of the brand are ends of the text or stand at a hyphen, a dot or a number."""
        before, after = self.text[: self.start][-1:], self.text[self.end :][:1]
        return (before in _EDGES or before.isdigit()) and (after in _EDGES or after.isdigit())

    @property
    def alone(self) -> bool:
        """True when the brand is all there is."""
        return self.start == 0 and self.end == len(self.text)


class Matcher:
    """The reverse matcher of one registry. `match` is for names that the registry does not list."""

    __slots__ = ("_automaton", "_brands", "_known", "_near", "_neighbours", "_vague")

    def __init__(self, organisations: Iterable[Organisation], neighbours: Iterable[HonestNeighbour]) -> None:
        organisations = tuple(organisations)
        self._brands = collect(organisations)
        self._neighbours = frozenset(neighbour.name.lower() for neighbour in neighbours)
        self._automaton = ahocorasick.Automaton()
        for key, brand in self._brands.items():
            self._automaton.add_word(key, brand)
        if self._brands:
            self._automaton.make_automaton()
        self._near = NearWords({key: limit for key, brand in self._brands.items() if (limit := _slips_allowed(brand))})
        self._known = {
            entry.domain.name: organisation.id
            for organisation in organisations
            for entry in organisation.domains
            if entry.role is not Role.LEGACY and entry.domain == registrable(entry.domain)
        }

    def match(self, domain: Domain) -> DomainMatch:
        """Relate a domain that is not listed to the brand that it is made to be read as. Never raises."""
        owner = registrable(domain)
        if owner is None or not self._brands:
            return DomainMatch(domain, registrable=owner)
        suffix = owner.name.partition(".")[2]
        best: Finding | None = None
        if suffix not in _CLOSED:
            for finding in self._findings(domain, owner, suffix):
                if best is None or finding.rank > best.rank:
                    best = finding
        if best is None:
            return DomainMatch(domain, registrable=owner)
        return DomainMatch(domain, best.match, best.insurer, best.technique, best.score, owner)

    def _findings(self, domain: Domain, owner: Domain, suffix: str) -> Iterator[Finding]:
        head = _shown(owner.name[: -len(suffix) - 1])
        tenant = domains.current_list().is_private(suffix)
        if not self._is_honest(owner, head):
            yield from self._label(head, suffix, tenant=tenant)
        if len(domain.name) > len(owner.name):
            below = _shown(domain.name[: -len(owner.name) - 1])
            yield from self._below(below, head)

    def _is_honest(self, owner: Domain, head: str) -> bool:
        return owner.name in self._neighbours or head in self._neighbours

    def _label(self, label: str, suffix: str, *, tenant: bool) -> Iterator[Finding]:
        """The label that somebody registered (or, on a free host, chose)."""
        found = False
        for hit in self._hits(label):
            finding = judge(hit, suffix, tenant=tenant)
            if finding:
                found = found or finding.match is Match.LOOKALIKE
                yield finding
        if not found:
            yield from self._slips(label, suffix)

    def _below(self, below: str, head: str) -> Iterator[Finding]:
        """Labels below a stranger's name: the owner's name written out, or the brand with words around it."""
        labels = below.split(".")
        for start in range(len(labels)):
            for size in (2, 3):
                insurer = self._known.get(".".join(labels[start : start + size]))
                if insurer:
                    yield Finding(Match.LOOKALIKE, 0.95, insurer, "brand-subdomain")
        for hit in self._hits(below):
            if hit.bounded and (hit.brand.distinctive or hit.rest.health):
                words = cover(head)
                dressed = hit.rest.health + words.health >= 1 or hit.rest.lures + words.lures >= 2
                sure = dressed and hit.brand.distinctive
                yield Finding(Match.LOOKALIKE if sure else Match.WEAK, 0.8 if sure else 0.4, hit.brand.insurer, "brand-subdomain")

    def _hits(self, text: str) -> Iterator[Hit]:
        """Every brand that can be read in the text, by spelling and by look."""
        if text.isascii():
            plain = text
        else:
            plain = fold(text)
            if not plain.isascii():
                plain = "".join(char if char.isascii() else "?" for char in plain)
        for form in _forms(plain):
            looked = look(form)
            for start, end, brand in _foremost(self._automaton.iter(looked)):
                exact = form[start:end] == brand.word and brand.word in text
                if exact or _plausible(form, start, end, brand.word, altered=form != text):
                    yield _hit(brand, form, start, end, exact=exact)

    def _slips(self, label: str, suffix: str) -> Iterator[Finding]:
        """The brand misspelt: the whole label, or one word of it beside words that dress it up."""
        plain = label if label.isascii() else fold(label)
        whole = look(plain.replace("-", ""))
        if len(whole) > _LONGEST_NAME:
            return
        near = self._near.find(whole)
        if near and cover(plain).unknown:
            brand, slips = self._brands[near[0]], near[1]
            near_home = suffix in brand.suffixes and suffix in _FRENCH
            if slips:
                yield _slip(brand, whole, slips, sure=brand.distinctive and slips == 1 and _own_letters(brand, whole) >= (7 if near_home else 9))
            elif "-" in plain and look(plain) not in self._brands:
                yield Finding(Match.LOOKALIKE if brand.distinctive else Match.WEAK, 0.8 if brand.distinctive else 0.4, brand.insurer, "hyphen")
        if may_lure(look(plain)):
            yield from self._slips_among_words(plain, suffix)

    def _slips_among_words(self, plain: str, suffix: str) -> Iterator[Finding]:
        rest, words = cover(plain), pieces(plain)
        for chunk in rest.chunks if rest.lures else ():
            near = self._near.find(look(chunk)) if len(chunk) >= 5 and chunk not in self._neighbours else None
            if near and near[1] == 1 and rest.unknown - len(chunk) <= 2:
                brand = self._brands[near[0]]
                at_home = rest.health > 0 or suffix in _FRENCH
                yield _slip(brand, look(chunk), 1, sure=brand.distinctive and at_home and (chunk in words or len(brand.word) >= 7))


def _own_letters(brand: Brand, seen: str) -> int:
    """How many letters hold the slip: those of the whole brand, but where common words stand beside its own (`Groupe April`), its own."""
    own = max(cover(brand.word).chunks, key=len, default="")
    return len(brand.word) if not own or look(own) in seen or len(own) >= 7 else len(own)


def _slip(brand: Brand, seen: str, slips: int, *, sure: bool) -> Finding:
    technique = kind_of_slip(seen, brand.key) if slips == 1 else "typo"
    return Finding(Match.LOOKALIKE if sure else Match.WEAK, 0.8 if sure else 0.5 - 0.1 * slips, brand.insurer, technique)


def _slips_allowed(brand: Brand) -> int:
    """By the letters that are the brand's own: none for short ones, whose neighbours are all real words, two for long ones."""
    own = cover(brand.word).unknown
    if brand.product or own < 5 or (not brand.distinctive and own < 7):
        return 0
    return 2 if own >= 8 and brand.distinctive else 1


def judge(hit: Hit, suffix: str, *, tenant: bool) -> Finding | None:
    """What one brand in a registered label amounts to."""
    brand, rest = hit.brand, hit.rest
    size = len(brand.word)
    if size <= 4 and not hit.edged and not (hit.exact and brand.distinctive):
        return None
    technique = "product-words" if brand.product else "homoglyph" if not hit.exact else "brand-token" if hit.edged else "brand-glued"
    if hit.alone:
        return _alone(hit, suffix, tenant=tenant)
    if not brand.distinctive:
        return _ambiguous(hit, technique)
    if hit.bounded:
        return _bounded(hit, suffix, technique, tenant=tenant)
    if size >= 7 and rest.lures and rest.unknown <= size:
        return Finding(Match.LOOKALIKE, 0.7, brand.insurer, technique)
    if size >= 7 or (size >= 5 and rest.lures and (hit.left or hit.right)):
        return Finding(Match.WEAK, 0.4, brand.insurer, technique)
    return None


def _bounded(hit: Hit, suffix: str, technique: str, *, tenant: bool) -> Finding | None:
    """A distinctive brand as a word among others."""
    rest, size = hit.rest, len(hit.brand.word)
    lures = rest.lures + (1 if tenant else 0)
    clear = rest.unknown <= 3 or rest.health > 0 or (size >= 6 and (rest.unknown <= 6 or lures >= 2))
    if size <= 4 and not hit.edged:
        clear = not rest.unknown and (rest.health > 0 or lures >= 2 or len(hit.text) - size >= 8)
    if lures and clear:
        return Finding(Match.LOOKALIKE, 0.9, hit.brand.insurer, technique)
    if size >= 5 and rest.unknown <= 1:
        return Finding(Match.LOOKALIKE, 0.8, hit.brand.insurer, technique)
    if hit.brand.public and hit.edged and hit.exact and size >= 4 and not _foreign(suffix):
        return Finding(Match.LOOKALIKE, 0.7, hit.brand.insurer, technique)
    return Finding(Match.WEAK, 0.5, hit.brand.insurer, technique) if size >= 4 or lures else None


def _alone(hit: Hit, suffix: str, *, tenant: bool) -> Finding:
    """The label is the brand and nothing else: another top level, or another look."""
    brand = hit.brand
    if not hit.exact:
        sure = brand.distinctive or len(brand.word) >= 5
        return Finding(Match.LOOKALIKE if sure else Match.WEAK, 0.9 if sure else 0.5, brand.insurer, "homoglyph")
    sure = brand.distinctive and len(brand.word) >= 5 and not brand.worldwide and not _foreign(suffix)
    technique = "brand-tenant" if tenant else "product-words" if brand.product else "other-tld"
    return Finding(Match.LOOKALIKE if sure else Match.WEAK, 0.85 if sure else 0.5 if brand.distinctive else 0.4, brand.insurer, technique)


def _foreign(suffix: str) -> bool:
    """True under the top level of another country."""
    top = suffix.rpartition(".")[2]
    return len(top) == 2 and top not in _FRENCH


def _ambiguous(hit: Hit, technique: str) -> Finding | None:
    """A brand that is also a word or a name: only among words of health, with nothing left unexplained."""
    brand, rest = hit.brand, hit.rest
    if not hit.bounded or (not hit.exact and not brand.product):
        return None
    if (rest.lures and rest.unknown <= 3) if brand.product else (rest.health and not rest.unknown):
        return Finding(Match.LOOKALIKE, 0.75, brand.insurer, technique)
    return Finding(Match.WEAK, 0.4, brand.insurer, technique) if rest.lures else None


def kind_of_slip(seen: str, known: str) -> str:
    """The name of the one slip between two words: omission, repetition, insertion, transposition or replacement."""
    at = next((index for index, (a, b) in enumerate(zip(seen, known, strict=False)) if a != b), min(len(seen), len(known)))
    if len(seen) < len(known):
        return "omission"
    if len(seen) > len(known):
        return "repetition" if at and seen[at] == seen[at - 1] else "insertion"
    return "transposition" if seen[at : at + 2] == known[at : at + 2][::-1] and at + 1 < len(seen) else "replacement"


def _shown(name: str) -> str:
    return to_unicode(Domain(name)) if "xn--" in name else name


def _forms(plain: str) -> Iterator[str]:
    """The text, and the text with letter pairs joined that are read as one letter."""
    yield plain
    joined = plain
    for pair, letter in _JOINED:
        joined = joined.replace(pair, letter)
    if joined != plain:
        yield joined


def _foremost(spotted: Iterator[tuple[int, Brand]]) -> list[tuple[int, int, Brand]]:
    """Where each brand is seen first, none inside a longer one, the longest few: a name stuffed with brands costs no more."""
    places: dict[str, tuple[int, int, Brand]] = {}
    for last, brand in spotted:
        places.setdefault(brand.key, (last + 1 - len(brand.key), last + 1, brand))
    found: list[tuple[int, int, Brand]] = []
    for start, end, brand in sorted(places.values(), key=lambda place: (place[0] - place[1], place[0])):
        if not any(other_start <= start and end <= other_end for other_start, other_end, _ in found):
            found.append((start, end, brand))
        if len(found) == _MOST_HITS:
            break
    return found


def _plausible(form: str, start: int, end: int, word: str, *, altered: bool) -> bool:
    """True when so few letters are changed that a reader still sees the word; a digit of a number is no letter."""
    changed = 0
    for index, letter in enumerate(word, start):
        if form[index] != letter:
            changed += 1
            if form[index].isdigit() and (form[index - 1 : index].isdigit() or form[index + 1 : index + 2].isdigit()):
                return False
    return (changed == 0 and altered) or 0 < changed <= max(1, (end - start) // 3)


def _hit(brand: Brand, form: str, start: int, end: int, *, exact: bool) -> Hit:
    before, after = form[:start], form[end:]
    return Hit(
        brand,
        form,
        start,
        end,
        exact,
        cover(before) + cover(after),
        left=not before or before[-1] in _EDGES or glues(pieces(before)[-1], left=True),
        right=not after or after[0] in _EDGES or glues(pieces(after)[0], left=False),
    )
