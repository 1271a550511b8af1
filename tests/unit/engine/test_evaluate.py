"""Claim × proof: the verdict."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.engine.evaluate import cases_of, evaluate
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, Claim, Evidence, LinkFact, Match, Place, SpfFact, Strength
from milter.model.verdict import Verdict, VerdictKind
from milter.ruleset.index import RuleSet
from tests.unit.engine.samples import POLICY, REGISTRY, RULES, claim, rules
from tests.unit.engine.samples import URGENT as SAMPLE_LURE
from tests.unit.ruleset.samples import FILE, RULE, auth, evidence

GENUINE = auth(author="lavande.example", proven=("lavande.example",), dmarc=AuthResult.PASS)
LISTED = auth(author="links.example", proven=("links.example",), dmarc=AuthResult.PASS)
FORMER = auth(author="old.example", proven=("old.example",), dmarc=AuthResult.PASS)
URGENT = "Répondez sous 48 heures"


def judge(seen: Evidence, ruleset: RuleSet = RULES) -> Verdict:
    """The verdict by the sample rules, registry and policy."""
    return evaluate(seen, ruleset, REGISTRY, POLICY)


WEAK = claim("olivier", strength=Strength.WEAK)


@pytest.mark.parametrize(
    ("seen", "kind", "insurer", "score", "fired"),
    [
        # nothing claimed: wording alone weighs nothing
        (evidence(text=URGENT), "none", None, 0, []),
        # mere mentions, proven or not
        (evidence(claims=(claim(strength=Strength.WEAK),), text=URGENT), "mention", "lavande", 0, []),
        (evidence(auth_facts=GENUINE, claims=(claim(strength=Strength.WEAK),)), "mention", "lavande", 0, []),
        # claimed and proven: no rule is asked
        (evidence(auth_facts=GENUINE, claims=(claim(),), text=URGENT), "genuine", "lavande", 0, []),
        # claimed, not proven
        (evidence(claims=(claim(),)), "suspect", "lavande", 4, ["name-without-proof"]),
        (evidence(claims=(claim(),), text=URGENT), "impersonation", "lavande", 6, ["name-without-proof", "so-urgent"]),
        (evidence(claims=(claim(),), subject=URGENT), "impersonation", "lavande", 6, ["name-without-proof", "so-urgent"]),
        # a claim that no rule about claims knows: the lure weighs nothing
        (evidence(claims=(claim(place=Place.SUBJECT),), text=URGENT), "mention", "lavande", 0, []),
        # two insurers: the firmer claim is proven, so its author may name the other
        (evidence(auth_facts=GENUINE, claims=(claim(place=Place.FROM_DOMAIN), claim("olivier", Place.SUBJECT))), "genuine", "lavande", 0, []),
        (evidence(auth_facts=GENUINE, claims=(claim(place=Place.FROM_DOMAIN), WEAK)), "genuine", "lavande", 0, []),
        # an authenticated author whom the registry lists names a sister company in its own name, or writes from a domain that proves nothing
        (evidence(auth_facts=GENUINE, claims=(claim(place=Place.FROM_DOMAIN), claim("olivier")), text=URGENT), "genuine", "lavande", 0, []),
        (evidence(auth_facts=GENUINE, claims=(claim("olivier"),), text=URGENT), "mention", "olivier", 0, []),
        (evidence(auth_facts=LISTED, claims=(claim(), claim("olivier")), text=URGENT), "mention", "lavande", 0, []),
        (evidence(auth_facts=FORMER, claims=(claim(),)), "suspect", "lavande", 4, ["name-without-proof"]),
        # both unproven: the worse one is named
        (evidence(claims=(claim(place=Place.FROM_DOMAIN), claim("olivier"))), "suspect", "olivier", 4, ["name-without-proof"]),
    ],
)  # fmt: skip
def test_verdicts(seen: Evidence, kind: str, insurer: str | None, score: float, fired: list[str]) -> None:
    """A claim is judged by its proof; lures count only beside an unproven claim on which a rule fired."""
    verdict = judge(seen)
    assert (verdict.kind, verdict.insurer, verdict.score) == (VerdictKind(kind), insurer, score)
    assert [finding.rule for finding in verdict.findings] == fired


def test_sentences() -> None:
    """A finding says in each language, with the insurer's name and the domains filled in, what is wrong, and quotes the place."""
    verdict = judge(evidence(claims=(claim(),), text="Bonjour, répondez SOUS  48 heures."))
    named, urged = verdict.findings
    assert named.text("fr") == "Se présente comme Mutuelle Lavande depuis stranger.test."
    assert named.text("de") == "Uses the name Mutuelle Lavande."
    assert (named.quote, urged.quote) == ("quoted words", "SOUS 48 heures")
    assert verdict.insurer_name == "Mutuelle Lavande"


def test_sentence_without_any_domain() -> None:
    """A mail with neither author nor envelope domain is still described."""
    verdict = judge(evidence(auth_facts=auth(author=None), claims=(claim(),)))
    assert verdict.findings[0].text("fr") == "Se présente comme Mutuelle Lavande depuis une adresse sans domaine."


def test_braces_in_hostile_words_stay() -> None:
    """Nothing that the mail writes is read as a placeholder."""
    verdict = judge(evidence(claims=(replace(claim(), quote="{insurer.__class__} {0}"),)))
    assert verdict.findings[0].quote == "{insurer.__class__} {0}"


TROUBLE = auth(author="lavande.example", spf=SpfFact(AuthResult.TEMPERROR, Domain("lavande.example")), dmarc=AuthResult.TEMPERROR)


@pytest.mark.parametrize(
    ("place", "text", "kind", "fired"),
    [
        (Place.DISPLAY_NAME, "", "mention", ["proof-in-doubt", "name-without-proof"]),
        (Place.DISPLAY_NAME, URGENT, "mention", ["proof-in-doubt", "name-without-proof", "so-urgent"]),
        (Place.SUBJECT, URGENT, "mention", ["proof-in-doubt"]),
    ],
)
def test_dns_trouble(place: Place, text: str, kind: str, fired: list[str]) -> None:
    """A proof that is missing for a temporary reason is no forgery: one lure alone is not held against it, and the doubt is named."""
    verdict = judge(evidence(auth_facts=TROUBLE, claims=(claim(place=place),), text=text))
    assert (verdict.kind, [finding.rule for finding in verdict.findings]) == (VerdictKind(kind), fired)
    assert "DNS" in verdict.findings[0].text("fr")
    assert "lavande.example" in verdict.findings[0].text("en")


def test_lures_in_doubt() -> None:
    """Where a proof is missing for a temporary reason, lures that weigh enough by themselves make the mail suspect, never more."""
    ruleset = rules(("rules/pressure/very-urgent.yml", SAMPLE_LURE.replace("so-urgent", "very-urgent")))
    verdict = judge(evidence(auth_facts=TROUBLE, claims=(claim(),), text=URGENT), ruleset)
    assert (verdict.kind, verdict.score) == (VerdictKind.SUSPECT, 8)


def test_doubt_about_a_listed_domain() -> None:
    """A domain that proves nothing could still have been authenticated: its DNS trouble is doubt, too."""
    trouble = auth(author="links.example", spf=SpfFact(AuthResult.TEMPERROR, Domain("links.example")), dmarc=AuthResult.TEMPERROR)
    verdict = judge(evidence(auth_facts=trouble, claims=(claim(),), text=URGENT))
    assert (verdict.kind, verdict.findings[0].rule) == (VerdictKind.MENTION, "proof-in-doubt")


def test_a_strangers_dns_trouble_excuses_nothing() -> None:
    """DNS trouble of a domain that could never speak for the insurer changes nothing."""
    facts = auth(spf=SpfFact(AuthResult.TEMPERROR, Domain("stranger.test")))
    assert judge(evidence(auth_facts=facts, claims=(claim(),), text=URGENT)).kind is VerdictKind.IMPERSONATION


def test_experimental_rules_do_not_count() -> None:
    """An experimental rule never shows in a verdict."""
    other = RULE.replace("name-without-proof", "name-on-trial").replace("stable", "experimental")
    ruleset = rules((FILE.replace("name-without-proof", "name-on-trial"), other))
    assert [finding.rule for finding in judge(evidence(claims=(claim(),)), ruleset).findings] == ["name-without-proof"]


LOOKALIKE_LINK = LinkFact("https://lavende.test/", Domain("lavende.test"), "lookalike", "lavande")


def test_a_lookalike_link_is_a_claim() -> None:
    """A link to a lookalike makes a case for the imitated insurer; other links do not."""
    links = (LOOKALIKE_LINK, LOOKALIKE_LINK, LinkFact("https://olivier.example/", Domain("olivier.example"), "official", "olivier"))
    (case,) = cases_of(evidence(links=links), REGISTRY)
    (made,) = case.claims
    assert (made.insurer, made.place, made.strength, made.match, made.quote) == (
        "lavande",
        Place.LINK_DOMAIN,
        Strength.MEDIUM,
        Match.LOOKALIKE,
        "lavende.test",
    )


def test_a_colleague_shows_a_suspicious_mail() -> None:
    """An authenticated author of the recipients' own organization may quote a mail with its link; his signature still claims."""
    seen = replace(evidence(auth_facts=auth(proven=("stranger.test",)), claims=(claim(),), text=URGENT), is_internal=True)
    told = replace(seen, claims=(claim(place=Place.LINK_DOMAIN),))
    ruleset = rules(
        (FILE.replace("name-without", "link-without"), RULE.replace("name-without", "link-without").replace("display-name", "link-domain"))
    )
    assert judge(told, ruleset).kind is VerdictKind.MENTION
    assert judge(replace(told, is_internal=False), ruleset).kind is VerdictKind.IMPERSONATION
    assert judge(replace(told, auth=auth()), ruleset).kind is VerdictKind.IMPERSONATION
    assert judge(seen, ruleset).kind is VerdictKind.IMPERSONATION


def test_claims_of_one_insurer_do_not_serve_another() -> None:
    """A rule sees the claims of one insurer at a time: the name of one and the domain of another make no pair."""
    pair = RULE.replace(
        "    identity.claim.strength|at_least: medium\n",
        "    identity.claim.strength|at_least: medium\n  claim_by_domain:\n    identity.claim.place: from-domain\n",
    ).replace("condition: claim_by_name and", "condition: claim_by_name and claim_by_domain and")
    from milter.ruleset import rule_file

    ruleset = rule_file.load([(FILE, pair.encode())])
    apart = (claim(), claim("olivier", Place.FROM_DOMAIN))
    together = (claim(), claim(place=Place.FROM_DOMAIN))
    assert judge(evidence(claims=apart), ruleset).kind is VerdictKind.MENTION
    assert judge(evidence(claims=together), ruleset).kind is VerdictKind.SUSPECT


CLAIMS = st.lists(
    st.builds(claim, st.sampled_from(["lavande", "olivier", "payer", "unknown"]), st.sampled_from(Place), st.sampled_from(Strength)), max_size=5
)


@given(CLAIMS, st.sampled_from(["", URGENT]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_invariants(claims: list[Claim], text: str, proven: bool) -> None:  # noqa: FBT001  # hypothesis hands it by position
    """No claim, no verdict; no verdict worse than mention without a claim above weak; a lure never makes a verdict milder."""
    facts = GENUINE if proven else auth()
    verdict = judge(evidence(auth_facts=facts, claims=tuple(claims), text=text))
    calm = judge(evidence(auth_facts=facts, claims=tuple(claims)))
    order = list(VerdictKind)
    assert (verdict.kind is VerdictKind.NONE) is (not claims)
    if all(one.strength is Strength.WEAK for one in claims):
        assert verdict.kind in (VerdictKind.NONE, VerdictKind.MENTION)
    assert verdict.score >= calm.score
    assert order.index(verdict.kind) >= order.index(calm.kind)
    assert verdict.score == sum(finding.score for finding in verdict.findings)


def test_nothing_claimed_costs_nothing() -> None:
    """A 15-kB mail that claims nothing is judged in well under 0.15 ms."""
    seen = evidence(text="Bonjour, répondez sous 48 heures. " * 450)
    started = time.perf_counter()
    for _ in range(100):
        judge(seen)
    assert (time.perf_counter() - started) / 100 < 0.00015
