"""From verdict to decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from milter.engine.decide import decide
from milter.engine.policy import Actions, ForDomain, Policy
from milter.model.verdict import Action, Verdict, VerdictKind
from tests.unit.engine.samples import POLICY
from tests.unit.ruleset.samples import auth, evidence

MIXED = replace(
    POLICY,
    recipients={
        "watch.example": ForDomain(mode="observe", language="en"),
        "strict.example": ForDomain(actions=Actions("quarantine", "reject"), language="en"),
    },
)
BAD = Verdict(VerdictKind.IMPERSONATION, "lavande", "Mutuelle Lavande", 8.0)


@pytest.mark.parametrize(
    ("recipients", "action", "would", "language"),
    [
        ([], Action.QUARANTINE, Action.QUARANTINE, "fr"),
        (["a@home.example"], Action.QUARANTINE, Action.QUARANTINE, "fr"),
        (["a@strict.example"], Action.REJECT, Action.REJECT, "en"),
        (["a@strict.example", "a@home.example"], Action.QUARANTINE, Action.QUARANTINE, "fr"),
        (["a@strict.example", "a@watch.example"], Action.PASS, Action.QUARANTINE, "en"),
        (["a@watch.example"], Action.PASS, Action.QUARANTINE, "en"),
    ],
)
def test_mildest_for_all(recipients: list[str], action: Action, would: Action, language: str) -> None:
    """One mail for several recipients gets the mildest of their actions; the language is theirs where they agree."""
    decision = decide(BAD, evidence(), MIXED, recipients)
    assert (decision.action, decision.would, decision.language) == (action, would, language)


@pytest.mark.parametrize("policy", [POLICY, replace(POLICY, mode="observe")])
@pytest.mark.parametrize("kind", [VerdictKind.NONE, VerdictKind.MENTION, VerdictKind.GENUINE])
def test_harmless(policy: Policy, kind: VerdictKind) -> None:
    """A mail that impersonates nobody passes under every policy."""
    decision = decide(Verdict(kind), evidence(), policy, ["a@home.example"])
    assert (decision.action, decision.would) == (Action.PASS, Action.PASS)


def test_carries_the_evidence() -> None:
    """Authentication, subject and what could not be looked at go along; edits come later."""
    facts = replace(auth(), doubts=("spf: timeout",))
    seen = replace(evidence(auth_facts=facts, subject="Bonjour"), incomplete=("too many parts",))
    decision = decide(BAD, seen, POLICY, [])
    assert (decision.auth, decision.subject, decision.edits) == (facts, "Bonjour", ())
    assert decision.incomplete == ("too many parts", "spf: timeout")
    assert decision.verdict is BAD
