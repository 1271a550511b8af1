"""The judgement of one mail: findings, verdict, action, decision, and the edits that carry it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from milter.model.edit import Edit
from milter.model.evidence import AuthFacts
from milter.model.quick import quick


class VerdictKind(StrEnum):
    """Does the mail claim to come from an insurer, and is that proven?"""

    GENUINE = "genuine"
    MENTION = "mention"
    SUSPECT = "suspect"
    IMPERSONATION = "impersonation"
    NONE = "none"


class Action(StrEnum):
    """What is done with a mail."""

    PASS = "pass"  # noqa: S105  # a result, no password
    TAG = "tag"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    DEFER = "defer"

    @property
    def rank(self) -> int:
        """Order of severity, for comparing."""
        return _RANKS[self]


STAGES = ("mime", "auth", "identity", "engine")
"""The stages of judging: reading the mail, proving its sender, its claims, and all that follows (content, rules, decision, header fields)."""

_RANKS = {action: rank for rank, action in enumerate(Action)}


@quick
@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired and counts. `texts` maps a language to the finished sentence; `quote` shows the place."""

    rule: str
    score: float
    texts: dict[str, str]
    quote: str = ""

    def text(self, language: str) -> str:
        """The sentence in this language, else English, else the first there is."""
        return self.texts.get(language) or self.texts.get("en") or next(iter(self.texts.values()), "")


@quick
@dataclass(frozen=True, slots=True)
class Verdict:
    """`insurer` is the registry id that the verdict is about, `insurer_name` its display name; `score` the sum that counts."""

    kind: VerdictKind
    insurer: str | None = None
    insurer_name: str = ""
    score: float = 0.0
    findings: tuple[Finding, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, why, and with which edits. `would` is what enforcing would do (observe mode), else equal to `action`.

    `auth` is None only when we broke (`unscanned`). `subject` is the subject as delivered. `times` are the seconds that judging took, in the
    order of `STAGES`; `sets` names the registry, rules and policy that judged.
    """

    action: Action
    would: Action
    verdict: Verdict
    auth: AuthFacts | None = None
    edits: tuple[Edit, ...] = ()
    language: str = "fr"
    incomplete: tuple[str, ...] = ()
    subject: str = ""
    unscanned: str = field(default="")
    times: tuple[float, ...] = ()
    sets: str = ""

    def carried_out(self, edits: tuple[Edit, ...], subject: str) -> Decision:
        """The same with the edits that carry it out, and the subject as they leave it."""
        return Decision(
            self.action, self.would, self.verdict, self.auth, edits, self.language, self.incomplete, subject, self.unscanned, self.times, self.sets
        )

    def judged(self, times: tuple[float, ...], sets: str) -> Decision:
        """The same with the facts of its making."""
        return Decision(
            self.action, self.would, self.verdict, self.auth, self.edits, self.language, self.incomplete, self.subject, self.unscanned, times, sets
        )
