"""Links of a message → facts about where they go, seen from the author and the registry.

Knows how a link's target relates to its author and to insurers (through the matcher that it is handed); must not know rules or
authentication: `sender` means the domain that the mail *names* as its author.
"""

from __future__ import annotations

from collections.abc import Iterable

from milter.content import targets
from milter.model.domain import Domain
from milter.model.evidence import DomainMatcher, LinkFact, Match
from milter.model.message import Link
from milter.text.domains import same_organization

_MOST_WORDS = 12


def imitate(links: Iterable[Link], matcher: DomainMatcher) -> bool:
    """True when one of the links leads to a lookalike."""
    hosts = targets.hosts([link.url for link in links])
    return any(matcher.match(host).match is Match.LOOKALIKE for host in hosts)


def read(links: Iterable[Link], author: Domain | None, matcher: DomainMatcher, most: int) -> tuple[LinkFact, ...]:
    """Facts of the links that a browser would load, in order, at most `most`."""
    relations: dict[Domain | None, tuple[str, str | None]] = {None: ("none", None)}
    facts: list[LinkFact] = []
    for link in links:
        if len(facts) >= most:
            break
        target = targets.read(link.url)
        if not target.is_web:
            continue
        host = target.host
        if host not in relations:
            relations[host] = _relation(host, author, matcher)
        relation, insurer = relations[host]
        facts.append(LinkFact(link.url, host, relation, insurer, _deceives(link, target), link.place))
    return tuple(facts)


def _relation(host: Domain | None, author: Domain | None, matcher: DomainMatcher) -> tuple[str, str | None]:
    """How a host relates: a lookalike stays one even when the author writes from it, and an insurer's own host is no lure."""
    if host is None:
        return "none", None
    found = matcher.match(host)
    if found.match in (Match.LOOKALIKE, Match.OFFICIAL):
        return found.match.value, found.insurer
    if author is not None and same_organization(host, author):
        return "sender", found.insurer
    if found.match is Match.NONE:
        return "other", None
    return found.match.value, found.insurer


def _deceives(link: Link, target: targets.Target) -> bool:
    """True when the reader sees another domain than the one that the link opens."""
    shown = target.pretends or _shown(link)
    return shown is not None and (target.host is None or not same_organization(shown, target.host))


def _shown(link: Link) -> Domain | None:
    """The first domain in the visible text of an HTML link, unless the text is a whole sentence."""
    if link.place == "text" or "." not in link.text:
        return None
    words = link.text.split()
    if len(words) > _MOST_WORDS:
        words = [word for word in words[:200] if "://" in word or word.lower().startswith("www.")]
    for word in words:
        if "." in word and "@" not in word and (domain := targets.shown_domain(word)):
            return domain
    return None
