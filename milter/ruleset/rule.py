"""A rule: what its file says, and the detection compiled from it.

Knows the file's shape; must not know how a file is read or a mail is judged.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from milter.ruleset.condition import Node
from milter.ruleset.facts import Facts
from milter.ruleset.selection import Bound, Selection


class Kind(StrEnum):
    """The kind of deceit, which is the folder of the rule's file."""

    CLAIM = "claim"  # names an insurer without its authentication
    DOMAIN = "domain"  # a domain that is made to be read as the insurer's
    WANT = "want"  # what the mail asks for
    PRESSURE = "pressure"  # fear, deadline, threat of lost cover
    TEMPTATION = "temptation"  # a refund, a gift
    LEAK = "leak"  # shows personal data to look genuine

    @property
    def is_lure(self) -> bool:
        """True for the kinds that count only beside an unproven claim."""
        return self not in (Kind.CLAIM, Kind.DOMAIN)


class Status(StrEnum):
    """Life of a rule: `experimental` is tried on its examples but never counts, `retired` is not loaded."""

    EXPERIMENTAL = "experimental"
    TEST = "test"
    STABLE = "stable"
    RETIRED = "retired"


class Severity(StrEnum):
    """How much a finding weighs; it is not an action (the policy maps scores to actions)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SCORES = {Severity.LOW: 1.0, Severity.MEDIUM: 2.0, Severity.HIGH: 4.0, Severity.CRITICAL: 6.0}
MAX_SCORE = 20.0
PLACEHOLDERS = ("insurer", "sender_domain", "claim_domain", "link_domain")


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """When the rule is wrong, and what to do then."""

    when: str
    then: str


@dataclass(frozen=True, slots=True)
class ExampleMail:
    """A mail in small: header lines and a body as written, and what authentication found.

    `authenticated` are domains that a DKIM signature proves, `dmarc_policy` what the author domain publishes ("" = no
    record), `dns_trouble` domains whose proof failed for a temporary DNS reason.
    """

    headers: str
    text: str = ""
    html: str = ""
    authenticated: tuple[str, ...] = ()
    dmarc_policy: Literal["", "none", "quarantine", "reject"] = ""
    dns_trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A proof of the rule. `tests` names the filter that a `no_match` example is about."""

    name: str
    mail: ExampleMail
    tests: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """Mails on which the rule fires, and mails on which it does not."""

    match: tuple[Example, ...]
    no_match: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule file says, keys in this order. `detection` is the map as written; `Detection` is made from it."""

    title: str
    id: str
    status: Status
    description: str
    says: dict[str, str]
    author: str
    date: datetime.date
    severity: Severity
    tags: tuple[str, ...]
    detection: dict[str, Any]  # Any: checked by `detection.read`, which knows the catalogue
    false_positives: tuple[FalsePositive, ...]
    examples: Examples
    references: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    score: float | None = None
    known_miss: tuple[Example, ...] = ()
    known_noise: tuple[Example, ...] = ()


KEY_ORDER = (
    "title",
    "id",
    "status",
    "description",
    "says",
    "references",
    "replaces",
    "author",
    "date",
    "severity",
    "score",
    "tags",
    "detection",
    "false_positives",
    "examples",
    "known_miss",
    "known_noise",
)


@dataclass(frozen=True, slots=True)
class Detection:
    """The compiled detection: selections by name, and the condition over them."""

    selections: dict[str, Selection]
    condition: Node

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the selections that hold the rule back."""
        return tuple(name for name in self.selections if name.startswith("filter_"))

    def fires(self, facts: Facts, *, without: tuple[str, ...] = ()) -> Bound | None:
        """What made the condition true, or None. `without` names selections that are taken as not holding."""
        seen: dict[str, Bound | None] = {}

        def truth(name: str) -> bool:
            if name not in seen:
                seen[name] = None if name in without else self.selections[name].look(facts)
            return seen[name] is not None

        if not self.condition.holds(truth):
            return None
        return _merged([bound for bound in seen.values() if bound is not None])


def _merged(bounds: list[Bound]) -> Bound:
    """The first claim, link and words that any selection bound."""
    return Bound(
        next((bound.claim for bound in bounds if bound.claim), None),
        next((bound.link for bound in bounds if bound.link), None),
        next((bound.words for bound in bounds if bound.words), None),
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One loaded rule. `file` is where it was read from."""

    text: RuleText
    kind: Kind
    detection: Detection
    file: str

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.text.id

    @property
    def score(self) -> float:
        """What a finding of this rule weighs."""
        return self.text.score if self.text.score is not None else SCORES[self.text.severity]

    @property
    def counts(self) -> bool:
        """False for an experimental rule."""
        return self.text.status in (Status.TEST, Status.STABLE)

    @property
    def patterns(self) -> frozenset[str]:
        """The RE2 patterns that the rule looks for in the wording."""
        return frozenset(test.pattern for selection in self.detection.selections.values() for test in selection.words)
