"""For which insurer an authenticated author speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.engine.proof import proof
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, DkimFact, SpfFact
from tests.unit.engine.samples import REGISTRY
from tests.unit.ruleset.samples import auth


@pytest.mark.parametrize(
    ("author", "proven", "dmarc", "insurer", "speaks", "role"),
    [
        # the insurer itself
        ("lavande.example", ["lavande.example"], "pass", "lavande", True, "official"),
        ("news.lavande.example", ["lavande.example"], "pass", "lavande", True, "official"),
        ("lavande.example", ["bounce.lavande.example"], "none", "lavande", True, "official"),
        ("lavande.example", ["lavande-info.example"], "fail", "lavande", True, "official"),
        ("lavande.example", ["esp.test", "lavande.example"], "pass", "lavande", True, "official"),
        # nothing proven
        ("lavande.example", [], "fail", "lavande", False, "official"),
        ("lavande.example", [], "none", "lavande", False, "official"),
        # a stranger's proof below an official From, an official proof below a stranger's From
        ("lavande.example", ["stranger.test"], "fail", "lavande", False, "official"),
        ("stranger.test", ["lavande.example"], "none", "lavande", False, ""),
        ("stranger.test", ["stranger.test", "lavande.example"], "pass", "lavande", False, ""),
        # an insurer proves nothing for another
        ("olivier.example", ["olivier.example"], "pass", "lavande", False, ""),
        ("lavande.example", ["olivier.example"], "none", "lavande", False, "official"),
        # a sending service proves its own From only
        ("sender.example", ["sender.example"], "pass", "lavande", True, "sends_for"),
        ("lavande.example", ["sender.example"], "fail", "lavande", False, "official"),
        ("sender.example", ["lavande.example"], "none", "lavande", True, "sends_for"),
        # a broker speaks under its own name only
        ("broker.example", ["broker.example"], "pass", "lavande", True, "broker"),
        ("broker.example", ["lavande.example"], "none", "lavande", False, "broker"),
        ("lavande.example", ["broker.example"], "none", "lavande", False, "official"),
        # roles that never prove, and domains that nobody checked
        ("portal.example", ["portal.example"], "pass", "lavande", False, "portal"),
        ("links.example", ["links.example"], "pass", "lavande", False, "links_only"),
        ("old.example", ["old.example"], "pass", "lavande", False, "legacy"),
        ("unchecked.example", ["unchecked.example"], "pass", "lavande", False, "official"),
        ("lavande.example", ["unchecked.example"], "none", "lavande", False, "official"),
        # a third-party payer writes for the insurers whom it pays for, not the other way round
        ("payer.example", ["payer.example"], "pass", "lavande", True, "payer"),
        ("payer.example", [], "fail", "lavande", False, "payer"),
        ("payer.example", ["payer.example"], "pass", "olivier", False, ""),
        ("lavande.example", ["lavande.example"], "pass", "payer", False, ""),
        # no single author, unknown insurer
        (None, ["lavande.example"], "none", "lavande", False, ""),
        ("lavande.example", ["lavande.example"], "pass", "unknown", False, ""),
    ],
)  # fmt: skip
def test_speaks_for(author: str | None, proven: list[str], dmarc: str, insurer: str, *, speaks: bool, role: str) -> None:
    """A proof needs a listed author domain in a role that speaks, and its own authentication or the insurer's."""
    facts = auth(author=author, proven=tuple(proven), dmarc=AuthResult(dmarc))
    found = proof(facts, insurer, REGISTRY)
    assert (found.speaks, found.role) == (speaks, role)
    assert (found.domain is not None) is speaks


def test_author_authenticated() -> None:
    """A stranger may well be authenticated as himself; that is told apart from speaking for the insurer."""
    found = proof(auth(proven=("mail.stranger.test",)), "lavande", REGISTRY)
    assert (found.speaks, found.author_authenticated) == (False, True)
    assert not proof(auth(proven=("lavande.example",)), "lavande", REGISTRY).author_authenticated


@pytest.mark.parametrize(
    ("author", "spf", "dkim", "doubt"),
    [
        ("lavande.example", ("temperror", "lavande.example"), None, True),
        ("lavande.example", ("fail", "lavande.example"), ("temperror", "lavande.example"), True),
        ("lavande.example", ("fail", "lavande.example"), ("fail", "lavande.example"), False),
        ("lavande.example", ("temperror", "stranger.test"), None, False),
        ("stranger.test", ("temperror", "stranger.test"), ("temperror", "lavande.example"), False),
        ("portal.example", ("temperror", "portal.example"), None, True),
        ("old.example", ("temperror", "old.example"), None, False),
    ],
)
def test_doubt(author: str, spf: tuple[str, str], dkim: tuple[str, str] | None, *, doubt: bool) -> None:
    """An answer that could have made the proof, or authenticated a listed author, leaves a doubt when missing; a stranger's trouble does not."""
    facts = auth(author=author, spf=SpfFact(AuthResult(spf[0]), Domain(spf[1])))
    if dkim is not None:
        facts = replace(facts, dkim=(DkimFact(AuthResult(dkim[0]), Domain(dkim[1])),))
    found = proof(facts, "lavande", REGISTRY)
    assert (found.speaks, found.in_doubt) == (False, doubt)


DOMAINS = st.sampled_from(["lavande.example", "lavande-info.example", "sender.example", "broker.example", "portal.example", "old.example"])


@given(st.lists(DOMAINS, unique=True), st.sampled_from(["stranger.test", "lavande.test", "lavande.example.stranger.test", "example"]))
@settings(max_examples=60, deadline=None)
def test_no_borrowed_proof(proven: list[str], author: str) -> None:
    """No set of proven domains lets an unlisted author domain speak for an insurer."""
    assert not proof(auth(author=author, proven=tuple(proven)), "lavande", REGISTRY).speaks
