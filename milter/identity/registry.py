"""The registry in use: organisations, and the questions that the rest asks of them.

Built once from reviewed files (`registry_file`), then immutable. Must not know mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from milter.identity.lookalike import SLIPS, Matcher
from milter.identity.names import NameIndex, NameMatch, Reading, plain_words
from milter.identity.organisation import DomainEntry, HonestNeighbour, Organisation, Role
from milter.model.domain import Domain
from milter.model.evidence import DomainMatch, Match
from milter.text.domains import parse_domain, registrable

__all__ = ["DomainEntry", "HonestNeighbour", "NameMatch", "Organisation", "Registry", "Role"]

_HOME = "fr"  # as if the name were a domain: the matcher knows which slips a reader overlooks
_MISSPELT_FROM = 8
_RECENT = 4_096  # domains and names: senders and links of a busy hour come again and again
_SHORT = 200  # characters of a name that is kept


class Registry:
    """All organisations of all files in use, with their indexes. Fulfils `model.evidence.DomainMatcher`."""

    __slots__ = ("_by_id", "_entries", "_matcher", "_names", "_recent", "_recent_names", "_recent_slips", "organisations")

    def __init__(self, organisations: Iterable[Organisation] = (), honest_neighbours: Iterable[HonestNeighbour] = ()) -> None:
        self.organisations = tuple(organisations)
        self._by_id = {organisation.id: organisation for organisation in self.organisations}
        self._entries = {entry.domain.name: (organisation, entry) for organisation in self.organisations for entry in organisation.domains}
        self._names = NameIndex(self.organisations)
        self._matcher = Matcher(self.organisations, honest_neighbours)
        self._recent = lru_cache(_RECENT)(self._match)
        self._recent_names = lru_cache(_RECENT)(self._names.read)
        self._recent_slips = lru_cache(_RECENT)(self._resembles)

    def organisation(self, insurer: str) -> Organisation | None:
        """The organisation with this id."""
        return self._by_id.get(insurer)

    def name(self, insurer: str) -> str:
        """What people are shown for this id; the id itself when the registry lacks it."""
        organisation = self._by_id.get(insurer)
        return organisation.name if organisation else insurer

    def entry(self, domain: Domain) -> tuple[Organisation, DomainEntry] | None:
        """The listed domain that is `domain` or the nearest one above it, with its organisation."""
        name = domain.name
        while name:
            found = self._entries.get(name)
            if found:
                return found
            name = name.partition(".")[2]
        return None

    def match(self, domain: Domain) -> DomainMatch:
        """Relate a domain to the registry. Pure, never raises; the answers for the domains asked last are kept.

        A listed domain is `official` whatever its role, but a `legacy` one, which is `none` with its insurer and role. Do not
        conclude from `official` that mail from there is proof: `entry(domain)[1].proves` says so.
        """
        return self._recent(domain)

    def _match(self, domain: Domain) -> DomainMatch:
        found = self.entry(domain)
        if found is None:
            return self._matcher.match(domain)
        organisation, entry = found
        if entry.role is Role.LEGACY:
            return DomainMatch(domain, Match.NONE, organisation.id, "legacy", 0.0, registrable(domain), entry.role)
        return DomainMatch(domain, Match.OFFICIAL, organisation.id, "official", 1.0, registrable(domain), entry.role)

    def resembles(self, name: str) -> DomainMatch | None:
        """The organisation of whose name a display name is a misspelling (one slip, eight letters or more), else None."""
        return self._recent_slips(name)

    def _resembles(self, name: str) -> DomainMatch | None:
        words = "-".join(plain_words(name).split())
        domain = parse_domain(f"{words}.{_HOME}") if len(words) >= _MISSPELT_FROM and words.isascii() else None
        found = self.match(domain) if domain else None
        return found if found and found.match is Match.LOOKALIKE and found.technique in SLIPS else None

    def find_names(self, text: str, *, limit: int = 100) -> tuple[NameMatch, ...]:
        """The organisations named in a text, in its order, at most `limit`; see `names`."""
        return self._names.find(text, limit=limit)

    def read_names(self, text: str) -> Reading:
        """The text as folded words, with the names in it and what is left between them."""
        return self._recent_names(text) if len(text) <= _SHORT else self._names.read(text)
