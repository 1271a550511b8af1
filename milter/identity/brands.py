"""The words by which a domain can pass for an organisation: its names and the labels of its domains, as letters only.

Knows registry values. Must not decide anything: how much a word counts depends on where it stands (`lookalike`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from milter.identity.organisation import AliasStrength, Kind, Organisation, Role
from milter.identity.vocabulary import FILLER, HEALTH, SERVICE
from milter.text.domains import registrable, to_unicode
from milter.text.normal import fold

SHORTEST = 3
_COMMON = HEALTH | SERVICE | FILLER

# One look for letters and digits that readers confuse, one for one, so that places in a label stay the same.
_LOOK = str.maketrans("i10345789", "lloeastbg")


def look(text: str) -> str:
    """ASCII letters and digits by their look: i, l and 1 are one, 0 is o, 3 is e … Length is kept, hyphens and dots too."""
    return text.translate(_LOOK)


def letters(text: str) -> str:
    """The folded letters and digits of a name, nothing between them; letters beyond ASCII are left out."""
    return "".join(char for char in fold(text) if char.isascii() and char.isalnum())


@dataclass(frozen=True, slots=True)
class Brand:
    """`word` is what is written, `key` its look. `product` words carry no brand; a `public` one is a public

    body's, after which nobody names a stadium; `suffixes` are those of the organisation's own

    domains, and a `worldwide` brand lives under many more.
    """

    word: str
    key: str
    insurer: str
    distinctive: bool
    product: bool = False
    public: bool = False
    suffixes: frozenset[str] = frozenset()

    @property
    def worldwide(self) -> bool:
        """True when the organisation itself has the brand under a top level of no country."""
        return not self.suffixes.isdisjoint(("com", "eu"))


def collect(organisations: Iterable[Organisation]) -> dict[str, Brand]:
    """Every brand by its look. Where two organisations share one, the first in the registry keeps it, as ambiguous."""
    found: dict[str, Brand] = {}
    for organisation in organisations:
        for brand in _of(organisation):
            known = found.get(brand.key)
            if known is None:
                found[brand.key] = brand
            elif known.insurer != brand.insurer and known.distinctive:
                found[brand.key] = replace(known, distinctive=False)
    return found


def _of(organisation: Organisation) -> Iterator[Brand]:
    public = organisation.kind is Kind.PUBLIC
    products = dict(_spellings(organisation.product_words.distinctive, distinctive=True))
    products.update(_spellings(organisation.product_words.ambiguous, distinctive=False))
    for word, distinctive in products.items():
        yield Brand(word, look(word), organisation.id, distinctive, product=True)
    names: dict[str, bool] = {}
    for name, strength in organisation.names:
        names.update(_spellings((name,), distinctive=strength is AliasStrength.DISTINCTIVE))
    roots: dict[str, set[str]] = {}
    for word, suffix in _roots(organisation):
        roots.setdefault(letters(word), set()).add(suffix)
        roots.setdefault(word, set()).add(suffix)
    everywhere = frozenset().union(*roots.values()) if roots else frozenset({"fr"})
    for word, distinctive in names.items():
        if word not in products:
            yield Brand(word, look(word), organisation.id, distinctive, public=public, suffixes=frozenset(roots.get(letters(word), everywhere)))
    for word in roots:
        if word not in names and word not in products and word not in _COMMON:
            # A label that is no name of its own counts when it holds such a name or is long enough to be nobody else's.
            sure = any(distinctive and name in word for name, distinctive in names.items())
            if sure or len(word) >= (12 if public else 7):
                yield Brand(word, look(word), organisation.id, True, public=public, suffixes=frozenset(roots[word]))


def _spellings(names: Iterable[str], *, distinctive: bool) -> Iterator[tuple[str, bool]]:
    """Each name with nothing and with hyphens between its words."""
    for name in names:
        words = [
            "".join(char for char in word if char.isascii() and char.isalnum()) for word in fold(name).replace("'", " ").replace("-", " ").split()
        ]
        for word in {"".join(words), "-".join(filter(None, words))}:
            if len(word) >= SHORTEST:
                yield word, distinctive


def _roots(organisation: Organisation) -> Iterator[tuple[str, str]]:
    """First label and suffix of each domain that is registered by the organisation for itself."""
    for entry in organisation.domains:
        if entry.role not in (Role.PORTAL, Role.LEGACY) and registrable(entry.domain) == entry.domain:
            label, _, suffix = to_unicode(entry.domain).partition(".")
            for word in {label, letters(label)}:
                if len(word) >= SHORTEST and word.isascii():
                    yield word, suffix
