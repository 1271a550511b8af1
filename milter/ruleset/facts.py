"""What a rule may look at: one mail, seen from one claimed insurer.

Knows the evidence and the proof that the engine found for that insurer. Must not know how proof is found, nor the
registry. The engine fills a `Facts` for each claimed insurer, and one without a claim for the rules about wording.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from milter.model.domain import Domain
from milter.model.evidence import Claim, Evidence, LinkFact


@dataclass(frozen=True, slots=True)
class ProofFacts:
    """Does the authenticated author speak for the claimed insurer?

    `role` is the registry role that the author domain has for that insurer, "" when it has none; `domain` is the
    proving domain. `in_doubt` is True when only a temporary DNS failure kept the proof away. `author_authenticated`
    says that the author domain itself is authenticated, whoever it belongs to; `registered` that it moreover is listed, be it
    for another organisation or in a role that proves nothing: such an author may name insurers as it likes. `insurer_has_domain` is
    False when the registry knows no domain of the insurer that its own mail could come from.
    """

    speaks: bool = False
    role: str = ""
    domain: Domain | None = None
    in_doubt: bool = False
    author_authenticated: bool = False
    registered: bool = False
    insurer_has_domain: bool = True


class Wording(Protocol):
    """Answers which patterns occur in the author's own words. Scans on the first question, once a mail."""

    def has(self, scope: str, pattern: str) -> bool:
        """True when `pattern` (RE2, over folded text) occurs in `scope`: `subject`, `own` or `any`."""
        ...

    def quote(self, scope: str, pattern: str) -> str:
        """The words as the mail writes them where `pattern` first occurs, at most 120 characters."""
        ...


class NoWording:
    """The wording of a mail without words."""

    def has(self, scope: str, pattern: str) -> bool:
        """Nothing occurs."""
        return False

    def quote(self, scope: str, pattern: str) -> str:
        """Nothing to quote."""
        return ""


@dataclass(frozen=True, slots=True)
class Facts:
    """One mail seen from one claimed insurer: `claims` are its alone, `links` those to it or to nobody known."""

    evidence: Evidence
    claims: tuple[Claim, ...] = ()
    links: tuple[LinkFact, ...] = ()
    proof: ProofFacts = field(default_factory=ProofFacts)
    wording: Wording = field(default_factory=NoWording)
