"""Rules are proven by the mails that they bring along."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from milter import proving
from milter.engine import policy
from milter.engine.evaluate import evaluate
from milter.engine.policy import Policy
from milter.identity import registry_file
from milter.identity.registry import Registry
from milter.model.domain import Domain
from milter.model.evidence import AuthResult
from milter.ruleset import rule_file
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import ExampleMail
from tests.unit.ruleset.samples import FILE, RULE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The invented insurers."""
    file = ROOT / "config" / "registry" / "example.yml"
    return registry_file.load([(str(file), file.read_bytes())])


@pytest.fixture(scope="module")
def quarantine() -> Policy:
    """The shipped policy `quarantine`."""
    file = ROOT / "config" / "policy" / "quarantine.yml"
    return policy.load(file.read_bytes(), str(file))


@pytest.fixture(scope="module")
def shipped() -> RuleSet:
    """Every rule in `rules/`."""
    return rule_file.load((str(path.relative_to(ROOT)), path.read_bytes()) for path in sorted((ROOT / "rules").rglob("*.yml")))


def test_shipped_rules(shipped: RuleSet, registry: Registry, quarantine: Policy) -> None:
    """Every example of every shipped rule holds."""
    results = proving.prove(shipped, registry, quarantine)
    assert [str(result) for result in results if not result.holds] == []
    assert {result.rule for result in results} == {rule.id for rule in shipped.rules}
    assert len(results) > 60


NOBODY = "example 'a stranger' (match): the rule does not fire: the mail claims to be nobody in the registry"
NONE_HOLDS = "example 'a stranger' (match): the rule does not fire: none of its selections holds"
SAYS_NOTHING = "example 'itself' (no_match): the rule would not fire without `filter_itself` either, so the example says nothing about it"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Lavande <a@stranger.test>", "Rose <a@stranger.test>", NOBODY),
        ("<a@stranger.test>\n", "<a@stranger.test>\n        authenticated: [x.test]\n", ""),
        ("From: Mutuelle Lavande <a@stranger.test>", "From: <a@mutuelle-lavande.example>", NONE_HOLDS),
        ("authenticated: [mutuelle-lavande.example]", "authenticated: []", "example 'itself' (no_match): the rule fires"),
        ("From: Mutuelle Lavande <a@mutuelle-lavande.example>", "From: Rose <a@stranger.test>", SAYS_NOTHING),
    ],
)
def test_failures(old: str, new: str, expected: str, registry: Registry, quarantine: Policy) -> None:
    """A rule that does not do what it promises is named with its file, its example and what happened."""
    assert old in RULE
    ruleset = rule_file.load([(FILE, RULE.replace(old, new, 1).encode())])
    failures = [str(result) for result in proving.prove(ruleset, registry, quarantine) if not result.holds]
    if not expected:
        assert failures == []
        return
    (failure,) = failures
    assert failure.startswith(f"{FILE}: name-without-proof: {expected}")


LURE = "Confirmez vos coordonnées bancaires sous 48 heures : https://courrier-rapide.test/c"
CALM = "Bonjour."
OWN = ("mutuelle-lavande.example",)
ITSELF = "Mutuelle Lavande <a@mutuelle-lavande.example>"
STRANGER = "Mutuelle Lavande <a@courrier-rapide.test>"


@pytest.mark.parametrize(
    ("sender", "text", "proven", "dmarc_policy", "trouble", "kind"),
    [
        ("Claire <claire@atelier.example>", LURE, (), "", (), "none"),
        ("Claire <claire@atelier.example>", "Je suis à la Mutuelle Lavande. " + LURE, (), "", (), "mention"),
        (ITSELF, LURE, OWN, "", (), "genuine"),
        (ITSELF, LURE, OWN, "reject", (), "genuine"),
        (ITSELF, CALM, (), "", (), "suspect"),
        (ITSELF, CALM, (), "none", (), "suspect"),
        (ITSELF, CALM, (), "reject", (), "impersonation"),
        (ITSELF, CALM, ("courrier-rapide.test",), "reject", (), "impersonation"),
        (ITSELF, LURE, (), "reject", OWN, "suspect"),
        (ITSELF, CALM, (), "reject", OWN, "mention"),
        (STRANGER, CALM, (), "", (), "suspect"),
        (STRANGER, LURE, (), "", (), "impersonation"),
        (STRANGER, LURE, OWN, "", (), "impersonation"),
        (STRANGER, LURE, (), "", ("courrier-rapide.test",), "impersonation"),
        (ITSELF, CALM, ("courrier-rapide.test",), "none", (), "mention"),
        (ITSELF, LURE, ("courrier-rapide.test",), "none", (), "impersonation"),
        ("Mutuelle Lavande <a@boreal-assurances.example>", LURE, (), "", (), "impersonation"),
        ("Mutuelle Lavande <a@prevoyance-lavande.example>", CALM, ("prevoyance-lavande.example",), "", (), "mention"),
        ("Service <a@mutuelle-lavende.example>", CALM, ("mutuelle-lavende.example",), "reject", (), "impersonation"),
        ("Mutuelle Lavande <a@lavande-et-moi.example>", LURE, ("lavande-et-moi.example",), "", (), "mention"),
        ("Mutuelle Lavande <a@prevoyance-lavande.example>", LURE, ("prevoyance-lavande.example",), "", (), "impersonation"),
        ("Mutuelle Lavande <a@cabinet-mistral.example>", LURE, ("cabinet-mistral.example",), "", (), "genuine"),
        ("Boréal <a@x.test>, Mutuelle Lavande <a@mutuelle-lavande.example>", CALM, (), "", (), "impersonation"),
    ],
)
def test_whole_mails(
    sender: str,
    text: str,
    proven: tuple[str, ...],
    dmarc_policy: Literal["", "none", "reject"],
    trouble: tuple[str, ...],
    kind: str,
    shipped: RuleSet,
    registry: Registry,
    quarantine: Policy,
) -> None:
    """Whole mails get the verdict that claim and proof ask for, by the shipped rules and policy."""
    mail = ExampleMail(f"From: {sender}\nSubject: Information", text, "", proven, dmarc_policy, trouble)
    verdict = evaluate(proving.evidence_of(mail, registry), shipped, registry, quarantine)
    assert verdict.kind == kind, [finding.rule for finding in verdict.findings]
    assert verdict.insurer == (None if kind == "none" else "mutuelle-lavande")


def test_one_insurer_names_another(shipped: RuleSet, registry: Registry, quarantine: Policy) -> None:
    """An authenticated insurer may name another in its own name: sister companies do."""
    mail = ExampleMail("From: Mutuelle Lavande <a@boreal-assurances.example>", LURE, "", ("boreal-assurances.example",), "reject", ())
    verdict = evaluate(proving.evidence_of(mail, registry), shipped, registry, quarantine)
    assert (verdict.kind, verdict.insurer) == ("genuine", "boreal-assurances")


def test_octets_of_an_example() -> None:
    """An example becomes a mail with CRLF, and with both bodies an alternative of them."""
    mail = ExampleMail("From: a@b.test\nSubject: été\n", "texte\nfin", "<p>texte</p>")
    raw = proving.octets(mail)
    assert raw.startswith("From: a@b.test\r\nSubject: été\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative".encode())
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert raw.endswith(b"<p>texte</p>\r\n--=_part--\r\n")


@pytest.mark.parametrize(
    ("policy_text", "authenticated", "result", "author_proven"),
    [("", OWN, "none", False), ("reject", OWN, "pass", True), ("none", ("x.test",), "fail", False), ("reject", (), "fail", False)],
)
def test_auth_facts(policy_text: Literal["", "none", "reject"], authenticated: tuple[str, ...], result: str, *, author_proven: bool) -> None:
    """DMARC of an example follows from what it says is authenticated and published."""
    mail = ExampleMail("From: a@mutuelle-lavande.example", authenticated=authenticated, dmarc_policy=policy_text)
    facts = proving.auth_facts(mail, Domain("mutuelle-lavande.example"))
    assert (facts.dmarc.result, facts.author_proven) == (AuthResult(result), author_proven)
    assert facts.proven == tuple(Domain(name) for name in authenticated)
