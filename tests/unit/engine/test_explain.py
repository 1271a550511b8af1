"""What each finding changed."""

from __future__ import annotations

from milter.engine.evaluate import evaluate
from milter.engine.explain import steps
from milter.model.verdict import VerdictKind
from tests.unit.engine.samples import POLICY, REGISTRY, RULES, claim
from tests.unit.ruleset.samples import evidence


def test_steps() -> None:
    """Each finding shows the running score and the verdict without it; without the claim a lure weighs nothing."""
    verdict = evaluate(evidence(claims=(claim(),), text="sous 48 heures"), RULES, REGISTRY, POLICY)
    name, haste = steps(verdict, RULES, POLICY)
    assert (name.before, name.after, name.without, name.decides) == (0, 4, VerdictKind.MENTION, True)
    assert (haste.before, haste.after, haste.without, haste.decides) == (4, 6, VerdictKind.SUSPECT, True)
    assert [step.finding.rule for step in (name, haste)] == ["name-without-proof", "so-urgent"]


def test_nothing_to_explain() -> None:
    """A mail without findings has no steps."""
    assert steps(evaluate(evidence(), RULES, REGISTRY, POLICY), RULES, POLICY) == ()
