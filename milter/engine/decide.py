"""From a verdict to one decision for all recipients of a mail, by the policy of each.

While a delivery is not split by recipient, the mildest of their actions is done with the whole mail: nobody loses a mail,
or gets it changed, where his own policy would not do so. Must not change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from milter.engine.policy import Policy
from milter.model.evidence import Evidence
from milter.model.verdict import Action, Decision, Verdict


def decide(verdict: Verdict, evidence: Evidence, policy: Policy, recipients: Sequence[str]) -> Decision:
    """The decision, without edits yet. `recipients` are the envelope's; with none the policy for everybody holds.

    The language is that of the recipients where they agree, else the policy's own.
    """
    if len(recipients) == 1:
        only = policy.for_recipient(recipients[0])
        action, would, language = only.action(verdict), only.would(verdict), only.language
    else:
        action, would, language = _for_all(verdict, policy, recipients)
    return Decision(
        action=action,
        would=would,
        verdict=verdict,
        auth=evidence.auth,
        language=language,
        incomplete=(*evidence.incomplete, *evidence.auth.doubts),
        subject=evidence.content.subject,
    )


def _for_all(verdict: Verdict, policy: Policy, recipients: Sequence[str]) -> tuple[Action, Action, str]:
    """The mildest action, the mildest that would be taken, and the language."""
    chosen = [policy.for_recipient(address) for address in recipients] or [policy.for_recipient("")]
    languages = {choice.language for choice in chosen}
    return (
        min((choice.action(verdict) for choice in chosen), key=lambda action: action.rank),
        min((choice.would(verdict) for choice in chosen), key=lambda action: action.rank),
        languages.pop() if len(languages) == 1 else policy.language,
    )
