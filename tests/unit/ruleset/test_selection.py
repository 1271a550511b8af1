"""Selections: maps of fields to values."""

from __future__ import annotations

from typing import Any

import pytest

from milter.model.domain import Domain
from milter.model.evidence import AuthResult, Claim, LinkFact, Match, Place, Strength
from milter.ruleset.facts import Facts, ProofFacts
from milter.ruleset.fields import ROLES
from milter.ruleset.selection import Selection, compile_selection
from milter.ruleset.wording import PatternSet, TextScan
from tests.unit.ruleset.samples import auth, evidence

NAME = Claim("lavande", Place.DISPLAY_NAME, Strength.STRONG, "Mutuelle Lavande")
TYPO = Claim("lavande", Place.FROM_DOMAIN, Strength.MEDIUM, "mutuelle-lavende.example", Match.LOOKALIKE, domain=Domain("mutuelle-lavende.example"))
LINK = LinkFact("https://stranger.test/", Domain("stranger.test"), "other")


def compiled(written: Any) -> tuple[Selection, list[str]]:
    """The selection and the mistakes in it."""
    problems: list[str] = []

    def report(path: tuple[str | int, ...], message: str, *, at_key: bool = False) -> None:
        problems.append(f"{'.'.join(map(str, path))}{' (key)' if at_key else ''}: {message}")

    return compile_selection("s", written, report), problems


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"identity.claim.place": "display-name"}, True),
        ({"identity.claim.place": ["subject", "display-name"]}, True),
        ({"identity.claim.place": "subject"}, False),
        ({"identity.claim.strength": "medium"}, True),
        ({"identity.claim.strength|at_least": "weak"}, True),
        ({"identity.claim.place": "from-domain", "identity.claim.match": "lookalike"}, True),
        ({"identity.claim.place": "display-name", "identity.claim.match": "lookalike"}, False),
        ({"identity.claim.place": "from-domain", "identity.claim.strength|at_least": "strong"}, False),
        ({"content.link.relation": ["other", "none"], "identity.claim.place": "display-name"}, True),
        ({"content.link.relation": "lookalike"}, False),
        ({"content.link.shows_other_domain": "false"}, True),
        ({"auth.dmarc.result": "fail", "auth.dmarc.policy": "reject"}, True),
        ({"auth.dmarc.policy": "none"}, False),
        ({"auth.spf.result": "none"}, True),
        ({"proof.speaks_for_claimed_insurer": "false"}, True),
        ({"proof.speaks_for_claimed_insurer": ["true", "false"]}, True),
        ({"proof.author_authenticated": "true"}, False),
        ({"proof.role": "official"}, False),
        ({"author.kind": "one"}, True),
        ({"content.personal_data": "nir"}, True),
        ({"content.personal_data": "iban"}, False),
        ({"text.subject|phrase": "votre dossier"}, True),
        ({"text.own|phrase": "votre dossier"}, False),
        ({"text.any|phrase": ["absent", "votre dossier"], "author.kind": "one"}, True),
        ({"text.any|regex": "doss[a-z]+"}, True),
    ],
)
def test_holds(written: dict[str, Any], *, expected: bool) -> None:
    """Several keys must all hold, keys of one list for one record; a list of values means any of them."""
    selection, problems = compiled(written)
    assert problems == []
    scan = TextScan(PatternSet(frozenset(test.pattern for test in selection.words)), "Votre dossier", "bonjour")
    facts = Facts(
        evidence(auth_facts=auth(dmarc=AuthResult.FAIL, policy="reject"), personal_data=frozenset({"nir"})),
        (NAME, TYPO),
        (LINK,),
        ProofFacts(),
        scan,
    )
    assert (selection.look(facts) is not None) is expected


def test_binds_the_record() -> None:
    """What made a selection hold is handed on: the claim and the link that fulfil all its keys."""
    selection, _ = compiled({"identity.claim.match": "lookalike", "content.link.relation": "other"})
    bound = selection.look(Facts(evidence(), (NAME, TYPO), (LINK,)))
    assert bound is not None
    assert (bound.claim, bound.link, bound.words) == (TYPO, LINK, None)


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        ("text", [": a selection is a map of fields to values"]),
        ({}, [": a selection is a map of fields to values"]),
        ({"identity.claim.plase": "subject"}, ["identity.claim.plase (key): no field `identity.claim.plase`; did you mean `identity.claim.place`?"]),
        ({"zzz": "subject"}, ["zzz (key): no field `zzz`; see the reference of fields"]),
        ({"text.any": "rib"}, ["text.any (key): `text.any` is asked as `text.any|phrase` or `text.any|regex`"]),
        ({"author.kind|at_least": "one"}, ["author.kind|at_least (key): `author.kind` is asked as `author.kind`"]),
        ({"author.kind|": "one"}, ["author.kind| (key): `author.kind` is asked as `author.kind`"]),
        ({"author.kind": "sevral"}, ["author.kind: `author.kind` is never 'sevral'; did you mean `several`?"]),
        (
            {"proof.role": ["official", "boss"]},
            ["proof.role.1: `proof.role` is never 'boss'; one of: " + ", ".join(ROLES)],
        ),
        (
            {"proof.speaks_for_claimed_insurer": "yes"},
            ["proof.speaks_for_claimed_insurer: `proof.speaks_for_claimed_insurer` is never 'yes'; one of: true, false"],
        ),
        ({"author.kind": []}, ["author.kind: an empty list matches nothing"]),
        ({"author.kind": ["one", "one"]}, ["author.kind.1: 'one' stands here twice"]),
        ({"author.kind": {"a": "b"}}, ["author.kind: a value is plain text"]),
        ({"author.kind": [["one"]]}, ["author.kind.0: a value is plain text"]),
        ({"text.any|phrase": ["rib", "{0-3}"]}, ["text.any|phrase.1: a gap stands between two words: '{0-3}'"]),
        ({"text.any|regex": "É"}, ["text.any|regex: the text is folded before it is matched: write 'e' for 'É'"]),
        ({"text.any|phrase": [f"w{n}" for n in range(301)]}, ["text.any|phrase: more than 300 values"]),
    ],
)
def test_mistakes(written: Any, problems: list[str]) -> None:
    """Each mistake is named with its place inside the selection and, where there is one, the nearest right word."""
    assert compiled(written)[1] == problems
