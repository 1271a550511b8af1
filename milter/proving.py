"""Proves rules: runs the mails that a rule file brings along and says where the rule does not do what it promises.

An example goes the same way as a real mail (`mime`, `identity`, `content`, then the compiled rule); only what the network
would say, the authentication, is given as facts by the example. Must not know SMTP or the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from milter.engine.evaluate import cases_of, evaluate, facts_of
from milter.engine.policy import Policy
from milter.identity.registry import Registry
from milter.mime import message
from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, AuthResult, DkimFact, DmarcFact, Evidence, SpfFact
from milter.model.limits import Limits
from milter.model.mail import Envelope
from milter.model.verdict import Verdict
from milter.pipeline import gather
from milter.ruleset.facts import Facts
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import Example, ExampleMail, Rule
from milter.text.domains import parse_domain, same_organization

LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class ProofResult:
    """One example of one rule. `failure` is "" when it holds, else what is wrong; `verdict` is of the whole rule set."""

    rule: str
    file: str
    example: str
    expected: str
    failure: str
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """True when the rule does what it promises."""
        return not self.failure

    def __str__(self) -> str:
        if self.holds:
            return f"{self.rule}: {self.example}: ok"
        fired = ", ".join(finding.rule for finding in self.verdict.findings) or "none"
        return f"{self.file}: {self.rule}: example {self.example!r} ({self.expected}): {self.failure}; rules that fired: {fired}"


def prove(ruleset: RuleSet, registry: Registry, policy: Policy) -> list[ProofResult]:
    """Run every example of every rule, in order. Raises nothing for an example that fails."""
    return [result for rule in ruleset.rules for result in prove_rule(rule, ruleset, registry, policy)]


def prove_rule(rule: Rule, ruleset: RuleSet, registry: Registry, policy: Policy) -> Iterator[ProofResult]:
    """Run the examples of one rule; its `known_miss` must still be missed and its `known_noise` still be noise."""
    groups = {
        "match": rule.text.examples.match,
        "no_match": rule.text.examples.no_match,
        "known_miss": rule.text.known_miss,
        "known_noise": rule.text.known_noise,
    }
    for expected, examples in groups.items():
        for example in examples:
            evidence = evidence_of(example.mail, registry)
            failure = _failure(rule, example, expected, _views(rule, evidence, ruleset, registry))
            yield ProofResult(rule.id, rule.file, example.name, expected, failure, evaluate(evidence, ruleset, registry, policy))


def _views(rule: Rule, evidence: Evidence, ruleset: RuleSet, registry: Registry) -> list[Facts]:
    """The mail as the engine would show it to the rule: once for each claimed insurer, or once for a lure."""
    wording = ruleset.scan(evidence.content.subject, evidence.content.text)
    if rule.kind.is_lure:
        return [Facts(evidence, links=evidence.content.links, wording=wording)]
    return [facts_of(case, evidence, wording) for case in cases_of(evidence, registry)]


def _failure(rule: Rule, example: Example, expected: str, views: list[Facts]) -> str:
    fires = any(rule.detection.fires(view) for view in views)
    if expected == "match":
        return "" if fires else f"the rule does not fire{_why_not(rule, views)}"
    if expected == "known_miss":
        return "the rule fires now: move the example to `match`" if fires else ""
    if expected == "known_noise":
        return "" if fires else "the rule does not fire any more: move the example to `no_match`"
    if fires:
        return "the rule fires"
    return _untested(rule, example.tests, views) if example.tests else ""


def _untested(rule: Rule, name: str, views: list[Facts]) -> str:
    """Why a `no_match` example says nothing about the filter: there must be a view that only filters hold back, this one among them."""
    held = [view for view in views if rule.detection.fires(view, without=rule.detection.filters)]
    if not held:
        return f"the rule would not fire without `{name}` either, so the example says nothing about it"
    if not any(rule.detection.selections[name].look(view) for view in held):
        return f"`{name}` does not hold, another filter keeps the rule back"
    return ""


def _why_not(rule: Rule, views: list[Facts]) -> str:
    if not views:
        return ": the mail claims to be nobody in the registry"
    holding = [name for name, selection in rule.detection.selections.items() if any(selection.look(view) for view in views)]
    return f": of its selections only {', '.join(holding)} hold" if holding else ": none of its selections holds"


def evidence_of(mail: ExampleMail, registry: Registry) -> Evidence:
    """What the pipeline would gather from this mail, with the authentication that the example states."""
    read = message.parse(octets(mail), LIMITS)
    return gather(read, Envelope(), auth_facts(mail, read.author.domain), registry, LIMITS, unclaimed=True)


def octets(mail: ExampleMail) -> bytes:
    """The mail as it would arrive: UTF-8, 8bit, CRLF; the alternative of both bodies when both are given."""
    head = [line for line in mail.headers.splitlines() if line.strip()]
    parts = [(kind, body) for kind, body in (("plain", mail.text), ("html", mail.html)) if body] or [("plain", "")]
    if len(parts) == 1:
        kind, body = parts[0]
        lines = [*head, *_part_head(kind), "", *body.splitlines()]
    else:
        lines = [*head, "MIME-Version: 1.0", 'Content-Type: multipart/alternative; boundary="=_part"', ""]
        for kind, body in parts:
            lines += ["--=_part", *_part_head(kind)[1:], "", *body.splitlines()]
        lines.append("--=_part--")
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8")


def _part_head(kind: str) -> list[str]:
    return ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]


def auth_facts(mail: ExampleMail, author: Domain | None) -> AuthFacts:
    """Authentication as the example states it: signatures that prove content, alignment, and what could not be looked up."""
    proven = _domains(mail.authenticated)
    signatures = [DkimFact(AuthResult.PASS, domain, "s", proves_content=True, signs_subject=True) for domain in proven]
    signatures += [DkimFact(AuthResult.TEMPERROR, domain, "s", "timeout") for domain in _domains(mail.dns_trouble)]
    aligned = author is not None and any(same_organization(domain, author) for domain in proven)
    if author is None:
        dmarc = DmarcFact(AuthResult.NONE, reason="several_authors")
    elif not mail.dmarc_policy:
        dmarc = DmarcFact(AuthResult.NONE, author, reason="no_record", dkim_aligned=aligned)
    else:
        dmarc = DmarcFact(AuthResult.PASS if aligned else AuthResult.FAIL, author, author, mail.dmarc_policy, dkim_aligned=aligned)
    none = SpfFact(AuthResult.NONE, None)
    return AuthFacts(
        spf=none,
        helo=none,
        dkim=tuple(signatures),
        dmarc=dmarc,
        proven=proven,
        author_proven=dmarc.result is AuthResult.PASS,
        doubts=tuple(f"dkim {domain}: timeout" for domain in mail.dns_trouble),
    )


def _domains(names: tuple[str, ...]) -> tuple[Domain, ...]:
    return tuple(domain for name in names if (domain := parse_domain(name)) is not None)
