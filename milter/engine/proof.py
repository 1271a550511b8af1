"""For which insurer an authenticated author speaks: the one place where authentication and registry meet.

A proof needs both: the author domain is listed for that insurer in a role that may speak (and somebody checked it), and
what is authenticated is that author domain itself (DMARC's pass, RFC 9989), its organization, or an official domain of the
same insurer. So an official signature replayed below a stranger's From proves
nothing, and neither does a stranger's signature below an official From. Must not know rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from milter.identity.organisation import DomainEntry, Organisation, Role
from milter.identity.registry import Registry
from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, AuthResult
from milter.ruleset.facts import ProofFacts
from milter.text.domains import same_organization

PAYER = "payer"


def proof(auth: AuthFacts, insurer: str, registry: Registry) -> ProofFacts:
    """The facts that rules read. `in_doubt` when answers that are missing for a temporary reason could make the proof."""
    author = auth.dmarc.author_domain
    organisation = registry.organisation(insurer)
    if author is None or organisation is None:
        return ProofFacts()
    authenticated = auth.author_proven or _holds(auth.proven, author)
    found = registry.entry(author)
    listed = found is not None and found[1].excuses
    entry, role = _listed(author, organisation, registry)
    if entry is None or not entry.proves:
        in_doubt = listed and not authenticated and _holds(_unanswered(auth), author)
        has_domain = any(own.excuses for own in organisation.domains)
        return ProofFacts(False, role, None, in_doubt, authenticated, listed and authenticated, has_domain)
    if auth.author_proven:
        return ProofFacts(True, role, author, False, True, True)
    proving = _proving(author, entry, auth.proven, registry)
    missing = None if proving else _proving(author, entry, _unanswered(auth), registry)
    return ProofFacts(proving is not None, role, proving, missing is not None, authenticated, authenticated)


def _holds(domains: Iterable[Domain], author: Domain) -> bool:
    return any(same_organization(domain, author) for domain in domains)


def _listed(author: Domain, organisation: Organisation, registry: Registry) -> tuple[DomainEntry | None, str]:
    """How the author domain is listed: for the insurer itself, or for a third-party payer that may write for it."""
    found = registry.entry(author)
    if found is None:
        return None, ""
    owner, entry = found
    if owner.id == organisation.id:
        return entry, str(entry.role)
    is_payer = any(payer.payer == owner.id for payer in organisation.third_party_payers)
    return (entry, PAYER) if is_payer and entry.role in (Role.OFFICIAL, Role.SENDS_FOR) else (None, "")


def _proving(author: Domain, entry: DomainEntry, proven: Iterable[Domain], registry: Registry) -> Domain | None:
    """The first of the proven domains that proves this listed author domain."""
    owner = registry.entry(author)
    for domain in proven:
        if same_organization(domain, author):
            return domain
        other = registry.entry(domain)
        if owner is None or other is None or other[0].id != owner[0].id:
            continue
        # A service that sends for several customers proves its own From only; a broker is not the insurer.
        if other[1].proves and other[1].role is Role.OFFICIAL and entry.role is not Role.BROKER:
            return domain
    return None


def _unanswered(auth: AuthFacts) -> Iterable[Domain]:
    """Domains that might have been proven, had the DNS answered."""
    if auth.spf.result is AuthResult.TEMPERROR and auth.spf.domain is not None:
        yield auth.spf.domain
    for signature in auth.dkim:
        if signature.result is AuthResult.TEMPERROR and signature.domain is not None:
            yield signature.domain
