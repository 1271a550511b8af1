"""What each finding changed: for `scan --explain`. Works on a finished verdict; judges nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from milter.engine.evaluate import ORDER
from milter.engine.policy import Policy
from milter.model.verdict import Finding, Verdict, VerdictKind
from milter.ruleset.index import RuleSet


@dataclass(frozen=True, slots=True)
class Step:
    """One finding in the sum: the score `before` and `after` it, and what the verdict would be `without` it alone."""

    finding: Finding
    before: float
    after: float
    without: VerdictKind
    decides: bool


def steps(verdict: Verdict, ruleset: RuleSet, policy: Policy) -> tuple[Step, ...]:
    """The findings in order. `decides` is True where the verdict hangs on that finding alone."""
    claiming = {rule.id for rule in ruleset.of_claims}
    result = []
    score = 0.0
    for finding in verdict.findings:
        others = [other for other in verdict.findings if other is not finding]
        stands = any(other.rule in claiming for other in others)
        left = policy.kind(sum(other.score for other in others)) if stands else VerdictKind.MENTION
        without = min(left, verdict.kind, key=ORDER.index)
        result.append(Step(finding, score, score + finding.score, without, without is not verdict.kind))
        score += finding.score
    return tuple(result)
