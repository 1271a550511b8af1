"""From a verdict to one decision for all recipients of a mail, by the policy of each.

While a delivery is not split by recipient, the mildest of their actions is done with the whole mail: nobody loses a mail,
or gets it changed, where his own policy would not do so. Must not change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from milter.engine.policy import Policy
from milter.model.evidence import Evidence
from milter.model.verdict import Decision, Verdict


def decide(verdict: Verdict, evidence: Evidence, policy: Policy, recipients: Sequence[str]) -> Decision:
    """The decision, without edits yet. `recipients` are the envelope's; with none the policy for everybody holds.

    The language is that of the recipients where they agree, else the policy's own.
    """
    chosen = [policy.for_recipient(address) for address in recipients] or [policy.for_recipient("")]
    languages = {choice.language for choice in chosen}
    return Decision(
        action=min((choice.action(verdict) for choice in chosen), key=lambda action: action.rank),
        would=min((choice.would(verdict) for choice in chosen), key=lambda action: action.rank),
        verdict=verdict,
        auth=evidence.auth,
        language=languages.pop() if len(languages) == 1 else policy.language,
        incomplete=(*evidence.incomplete, *evidence.auth.doubts),
        subject=evidence.content.subject,
    )
