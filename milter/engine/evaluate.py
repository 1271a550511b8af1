"""Claim × proof: from evidence to a verdict. Pure: no DNS, no clock, no file.

Claims are grouped by insurer to cases. A proven case needs no rule; an unproven one is judged by the rules about claims and
domains, and only when one of them fires do wants, pressure and temptation count too. A mail without a claim is not read
any further, so most mail costs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from milter.engine.policy import Policy
from milter.engine.proof import proof
from milter.engine.sentences import Names, doubt, of_rule
from milter.identity.registry import Registry
from milter.model.evidence import Claim, Evidence, LinkFact, Match, Place, Strength
from milter.model.verdict import Finding, Verdict, VerdictKind
from milter.ruleset.facts import Facts, ProofFacts, Wording
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import Rule

ORDER = (VerdictKind.NONE, VerdictKind.GENUINE, VerdictKind.MENTION, VerdictKind.SUSPECT, VerdictKind.IMPERSONATION)
_NO_CLAIM = Verdict(VerdictKind.NONE)
TOLD_PLACES = frozenset({Place.LINK_DOMAIN, Place.SUBJECT, Place.BODY})  # where a colleague shows a mail that he finds suspicious
AUTHOR_PLACES = frozenset({Place.DISPLAY_NAME, Place.FROM_DOMAIN, Place.LOCAL_PART})


@dataclass(frozen=True, slots=True)
class Case:
    """All claims to be one insurer, and what is proven of them."""

    insurer: str
    claims: tuple[Claim, ...]
    proof: ProofFacts

    @property
    def rank(self) -> tuple[int, bool]:
        """How firmly the mail presents itself as this insurer: by strength, then by whether the author does."""
        return max((claim.strength.rank, claim.place in AUTHOR_PLACES) for claim in self.claims)

    @property
    def is_mention(self) -> bool:
        """True when the insurer is merely mentioned."""
        return all(claim.strength is Strength.WEAK for claim in self.claims)


def evaluate(evidence: Evidence, ruleset: RuleSet, registry: Registry, policy: Policy) -> Verdict:
    """The verdict on one mail.

    `none` without a claim, `mention` for weak ones, `genuine` when the firmest claim is proven, else by the score of the
    worst unproven case. An authenticated author whom the registry lists impersonates nobody: sister companies name each
    other, and a domain that is listed but proves nothing is not the forger's. An authenticated colleague who shows a link asks
    or warns. Where only a temporary DNS failure kept the
    proof away, never worse than `suspect`.
    """
    cases = cases_of(evidence, registry) if evidence.claims or evidence.content.links else ()
    if not cases:
        return _NO_CLAIM
    first = cases[0]
    if first.is_mention:
        return _verdict(VerdictKind.MENTION, first, registry)
    if first.proof.speaks:
        return _verdict(VerdictKind.GENUINE, first, registry)
    if first.proof.registered:
        spoken = next((case for case in cases if case.proof.speaks and not case.is_mention), None)
        return _verdict(VerdictKind.GENUINE if spoken else VerdictKind.MENTION, spoken or first, registry)
    if evidence.is_internal and first.proof.author_authenticated and all(map(_is_told, cases)):
        return _verdict(VerdictKind.MENTION, first, registry)
    wording = ruleset.scan(evidence.content.subject, evidence.content.text)
    judged = [_judge(case, evidence, ruleset, registry, policy, wording) for case in cases if not case.is_mention and not case.proof.speaks]
    return max(judged, key=lambda verdict: (ORDER.index(verdict.kind), verdict.score))


def _is_told(case: Case) -> bool:
    return all(claim.place in TOLD_PLACES or claim.strength is Strength.WEAK for claim in case.claims)


def cases_of(evidence: Evidence, registry: Registry) -> tuple[Case, ...]:
    """The claimed insurers, firmest claim first; where two are equally firm the unproven one first."""
    grouped: dict[str, list[Claim]] = {}
    for claim in (*evidence.claims, *_claims_by_link(evidence)):
        grouped.setdefault(claim.insurer, []).append(claim)
    cases = [Case(insurer, tuple(claims), proof(evidence.auth, insurer, registry)) for insurer, claims in grouped.items()]
    return tuple(sorted(cases, key=lambda case: (*(-rank for rank in case.rank), case.proof.speaks)))


def _claims_by_link(evidence: Evidence) -> list[Claim]:
    """A link to a lookalike claims to lead to the insurer."""
    hosts = {(link.insurer, link.host) for link in evidence.content.links if link.relation == Match.LOOKALIKE}
    return [
        Claim(insurer, Place.LINK_DOMAIN, Strength.MEDIUM, host.name, Match.LOOKALIKE, domain=host)
        for insurer, host in sorted(hosts, key=str)
        if insurer is not None and host is not None
    ]


def facts_of(case: Case, evidence: Evidence, wording: Wording) -> Facts:
    """The mail as the rules about claims and domains see it for one insurer."""
    return Facts(evidence, case.claims, links_of(evidence, case.insurer), case.proof, wording)


def links_of(evidence: Evidence, insurer: str) -> tuple[LinkFact, ...]:
    """The links that lead to this insurer, to an imitation of it, or to nobody whom the registry knows."""
    return tuple(link for link in evidence.content.links if link.insurer in (None, insurer))


def _judge(case: Case, evidence: Evidence, ruleset: RuleSet, registry: Registry, policy: Policy, wording: Wording) -> Verdict:
    names = Names.of(evidence, registry.name(case.insurer))
    facts = facts_of(case, evidence, wording)
    findings = _fired(ruleset.of_claims, facts, names)
    if not findings:
        return _verdict(VerdictKind.MENTION, case, registry, (doubt(names),) if case.proof.in_doubt else ())
    whole = Facts(evidence, links=evidence.content.links, wording=wording)
    lures = _fired(ruleset.lures, whole, names)
    found = (*findings, *lures)
    kind = policy.kind(sum(finding.score for finding in found))
    if case.proof.in_doubt:
        found = (doubt(names), *found)
        # A missing answer is no forgery: only lures that would make a mail suspect by themselves are held against it.
        lure = policy.kind(sum(finding.score for finding in lures))
        kind = min(kind, lure, VerdictKind.SUSPECT, key=ORDER.index)
    return _verdict(kind, case, registry, found)


def _fired(rules: tuple[Rule, ...], facts: Facts, names: Names) -> tuple[Finding, ...]:
    """The findings of these rules, the weightiest first."""
    bounds = ((rule, rule.detection.fires(facts)) for rule in rules)
    found = [of_rule(rule, bound, names, facts.wording) for rule, bound in bounds if bound is not None]
    return tuple(sorted(found, key=lambda finding: -finding.score))


def _verdict(kind: VerdictKind, case: Case, registry: Registry, findings: tuple[Finding, ...] = ()) -> Verdict:
    score = sum(finding.score for finding in findings)
    return Verdict(kind, case.insurer, registry.name(case.insurer), score, findings)
