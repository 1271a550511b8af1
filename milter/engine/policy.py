"""The policy: from which score on a mail is suspect, what is then done, in which language, for whom.

Knows the file's shape; must not know rules. Actions and language are chosen by recipient domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from milter import strict_yaml
from milter.errors import PolicyError
from milter.model.domain import Domain
from milter.model.verdict import Action, Verdict, VerdictKind
from milter.strict_yaml import Path
from milter.text.domains import parse_domain

MAX_TAG = 60
MAX_SCORE = 1_000.0
_LANGUAGE = re.compile(r"[a-z]{2}")

PolicyAction = Literal["pass", "tag", "quarantine", "reject"]
Mode = Literal["observe", "enforce"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which on an unproven claim is `suspect` and `impersonation`."""

    suspect: float = 3.0
    impersonation: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < self.suspect <= self.impersonation <= MAX_SCORE:
            raise ValueError(f"0 < suspect <= impersonation <= {MAX_SCORE:g} is wanted, not {self.suspect:g} and {self.impersonation:g}")


@dataclass(frozen=True, slots=True)
class Actions:
    """What is done with a mail by its verdict; every other verdict passes."""

    suspect: PolicyAction = "tag"
    impersonation: PolicyAction = "quarantine"

    def of(self, kind: VerdictKind) -> Action:
        """The action for this verdict."""
        if kind is VerdictKind.SUSPECT:
            return Action(self.suspect)
        return Action(self.impersonation) if kind is VerdictKind.IMPERSONATION else Action.PASS


@dataclass(frozen=True, slots=True)
class ForDomain:
    """What differs for the recipients of one domain; None = as for everybody."""

    actions: Actions | None = None
    language: str | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. `subject_tag` maps a language to the tag, `{insurer}` in it is the claimed insurer's name.

    `recipients` maps a recipient domain to what differs for it; sub-domains are not included.
    """

    title: str
    description: str
    mode: Mode
    thresholds: Thresholds
    actions: Actions
    language: str
    subject_tag: dict[str, str]
    recipients: dict[str, ForDomain] = field(default_factory=dict)

    def kind(self, score: float) -> VerdictKind:
        """The verdict of an unproven claim with this score."""
        if score >= self.thresholds.impersonation:
            return VerdictKind.IMPERSONATION
        return VerdictKind.SUSPECT if score >= self.thresholds.suspect else VerdictKind.MENTION

    def for_recipient(self, address: str) -> Chosen:
        """What holds for one envelope recipient (`user@domain`; `postmaster` alone has no domain)."""
        domain = _domain(address) if self.recipients else None
        entry = self.recipients.get(domain.name) if domain else None
        if entry is None:
            return Chosen(self.mode, self.actions, self.language)
        return Chosen(entry.mode or self.mode, entry.actions or self.actions, entry.language or self.language)


class Chosen(NamedTuple):
    """The part of a policy that holds for one recipient."""

    mode: Mode
    actions: Actions
    language: str

    def would(self, verdict: Verdict) -> Action:
        """What enforcing does with this verdict."""
        return self.actions.of(verdict.kind)

    def action(self, verdict: Verdict) -> Action:
        """What is done with this verdict: nothing while observing."""
        return Action.PASS if self.mode == "observe" else self.would(verdict)


def _domain(address: str) -> Domain | None:
    at = address.rfind("@")
    return parse_domain(address[at + 1 :]) if at >= 0 else None


def load(octets: bytes, file: str) -> Policy:
    """Read a policy file. Raises PolicyError with every problem."""
    document = strict_yaml.parse(octets, file, PolicyError)
    policy = strict_yaml.validate(document, Policy, PolicyError)
    problems = [document.problem(path, message) for path, message in _problems(policy)]
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return policy


def _problems(policy: Policy) -> Iterator[tuple[Path, str]]:
    for language, tag in policy.subject_tag.items():
        if not _LANGUAGE.fullmatch(language):
            yield ("subject_tag", language), "a language is two lower-case letters, such as `fr`"
        if not tag.strip() or len(tag) > MAX_TAG or not tag.isprintable():
            yield ("subject_tag", language), f"one printable line of 1 to {MAX_TAG} characters"
        if any(brace in tag.replace("{insurer}", "") for brace in "{}"):
            yield ("subject_tag", language), "the only placeholder is {insurer}"
    yield from _language(policy, ("language",), policy.language)
    for name, entry in policy.recipients.items():
        domain = parse_domain(name)
        if domain is None or domain.name != name:
            yield ("recipients", name), f"{name!r} is no domain in lower-case A-labels"
        yield from _language(policy, ("recipients", name, "language"), entry.language)


def _language(policy: Policy, path: Path, chosen: str | None) -> Iterator[tuple[Path, str]]:
    if chosen is not None and chosen not in policy.subject_tag:
        yield path, f"no subject_tag in the language {chosen!r}; there is: {', '.join(policy.subject_tag) or 'none'}"
