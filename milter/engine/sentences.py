"""Findings: a rule that fired, with its sentence filled in and the place that it is about quoted.

Everything filled in is a domain name, or the insurer's name from the registry; the hostile quote stays apart from the sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from milter.model.evidence import Evidence
from milter.model.verdict import Finding
from milter.ruleset.facts import Wording
from milter.ruleset.rule import Rule
from milter.ruleset.selection import Bound

DOUBT_RULE = "proof-in-doubt"
_DOUBT = {
    "fr": "L’origine n’a pas pu être vérifiée\u00a0: une panne passagère du DNS empêche de savoir si {sender_domain} l’a vraiment "
    "envoyé pour {insurer}.",
    "en": "The origin could not be verified: a passing DNS failure leaves it open whether {sender_domain} really sent it for {insurer}.",
    "de": "Die Herkunft konnte nicht geprüft werden: Wegen einer vorübergehenden DNS-Störung ist offen, ob {sender_domain} sie wirklich "
    "für {insurer} versandt hat.",
}
_NOWHERE = {"fr": "une adresse sans domaine", "en": "an address without a domain", "de": "einer Adresse ohne Domain"}


@dataclass(frozen=True, slots=True)
class Names:
    """What sentences name: the insurer as people know it, and the domain that the mail shows or travelled under."""

    insurer: str
    sender: str

    @classmethod
    def of(cls, evidence: Evidence, insurer: str) -> Names:
        """The author domain, else that of the envelope; "" when there is neither."""
        domain = evidence.author_domain or evidence.auth.dmarc.author_domain or evidence.auth.spf.domain
        return cls(insurer, str(domain) if domain else "")


def of_rule(rule: Rule, bound: Bound, names: Names, wording: Wording) -> Finding:
    """The finding of a rule that fired on what `bound` holds."""
    claim_domain = str(bound.claim.domain) if bound.claim and bound.claim.domain else ""
    link_domain = str(bound.link.host) if bound.link and bound.link.host else ""
    return Finding(rule.id, rule.score, _filled(rule.text.says, names, claim_domain, link_domain), _quote(bound, wording))


def doubt(names: Names) -> Finding:
    """Only a temporary DNS failure kept the proof away. Weighs nothing."""
    return Finding(DOUBT_RULE, 0.0, _filled(_DOUBT, names, "", ""))


def _filled(says: dict[str, str], names: Names, claim_domain: str, link_domain: str) -> dict[str, str]:
    texts = {}
    for language, sentence in says.items():
        nowhere = _NOWHERE.get(language, _NOWHERE["en"])
        sender = names.sender or nowhere
        parts = {
            "insurer": names.insurer,
            "sender_domain": sender,
            "claim_domain": claim_domain or sender,
            "link_domain": link_domain or nowhere,
        }
        texts[language] = sentence.format_map(parts)
    return texts


def _quote(bound: Bound, wording: Wording) -> str:
    if bound.words:
        return wording.quote(bound.words.scope, bound.words.pattern)
    if bound.link:
        return str(bound.link.host) if bound.link.host else ""
    return bound.claim.quote if bound.claim else ""
