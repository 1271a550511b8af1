"""What the registry answers about domains."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.identity.registry import Registry, Role
from milter.model.domain import Domain
from milter.model.evidence import Match
from milter.text.domains import parse_domain, to_unicode

WORDS = ["lavande", "mutuelle", "boreal", "sante", "carte", "azuree", "dupont", "info", "x", "mut", "alizee", "nationale", "lavаnde"]
NAMES = st.builds(
    lambda words, glue, suffix: glue.join(words) + suffix,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from(["", "-", "."]),
    st.sampled_from([".example", ".test", ".fr", ".com", ".pages.dev"]),
)


@pytest.mark.parametrize(
    ("name", "match", "role"),
    [
        ("mutuelle-lavande.example", Match.OFFICIAL, Role.OFFICIAL),
        ("news.mutuelle-lavande.example", Match.OFFICIAL, Role.OFFICIAL),
        ("courrier-lavande.example", Match.OFFICIAL, Role.SENDS_FOR),
        ("cabinet-mistral.example", Match.OFFICIAL, Role.BROKER),
        ("lavande-et-moi.example", Match.OFFICIAL, Role.LINKS_ONLY),
        ("portail-adherents.example", Match.OFFICIAL, Role.PORTAL),
        ("prevoyance-lavande.example", Match.NONE, Role.LEGACY),
    ],
)
def test_a_listed_domain_is_told_with_its_role(invented: Registry, name: str, match: Match, role: Role) -> None:
    """Every listed domain is official whatever its role; only a legacy one is none, though its insurer is named."""
    found = invented.match(Domain(name))
    assert (found.match, found.role, found.insurer) == (match, role, "mutuelle-lavande")


def test_only_checked_domains_in_a_proving_role_prove(invented: Registry) -> None:
    """Official, sending and broker domains prove; links, portals and legacy ones do not; legacy ones do not even excuse."""
    organisation = invented.organisation("mutuelle-lavande")
    assert organisation is not None
    proves = {entry.domain.name: (entry.proves, entry.excuses) for entry in organisation.domains}
    assert proves == {
        "mutuelle-lavande.example": (True, True),
        "courrier-lavande.example": (True, True),
        "cabinet-mistral.example": (True, True),
        "lavande-et-moi.example": (False, True),
        "portail-adherents.example": (False, True),
        "prevoyance-lavande.example": (False, False),
    }


def test_an_unknown_id_has_no_organisation(invented: Registry) -> None:
    """Asking for what is not there gives None, and the id itself as the name to show."""
    assert invented.organisation("nobody") is None
    assert invented.name("nobody") == "nobody"
    assert invented.name("mutalizee") == "Mut'Alizée"


def test_the_nearest_listed_name_decides(french: Registry) -> None:
    """A sub-domain with an entry of its own has its own role; below it, that role goes on."""
    found = french.entry(Domain("x.statsndm.info.ameli.fr"))
    assert found is not None
    assert found[1].role is Role.LINKS_ONLY
    found = french.entry(Domain("assure.ameli.fr"))
    assert found is not None
    assert found[1].role is Role.OFFICIAL


def test_no_listed_domain_is_a_lookalike(french: Registry) -> None:
    """Every listed domain of the market is official, or none when it is legacy; so is every sub-domain."""
    for organisation in french.organisations:
        for entry in organisation.domains:
            wanted = Match.NONE if entry.role is Role.LEGACY else Match.OFFICIAL
            for name in (entry.domain.name, "courrier." + entry.domain.name):
                found = french.match(Domain(name))
                assert (found.match, found.insurer) == (wanted, organisation.id), name


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_spelling_of_one_domain_makes_no_difference(invented: Registry, name: str) -> None:
    """Invariant: upper case, the root dot and the U-label give the answer of the A-label."""
    domain = parse_domain(name)
    assert domain is not None
    for written in (name.upper(), name + ".", to_unicode(domain)):
        again = parse_domain(written)
        assert again is not None
        assert invented.match(again) == invented.match(domain)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.sampled_from(["www", "mail", "client.espace", "x"]))
def test_a_sub_domain_never_turns_honest(invented: Registry, name: str, below: str) -> None:
    """Invariant: a label in front of a lookalike leaves it one, a label in front of an official domain leaves it official."""
    domain = parse_domain(name)
    assert domain is not None
    before, after = invented.match(domain), invented.match(Domain(f"{below}.{domain.name}"))
    if before.match in (Match.LOOKALIKE, Match.OFFICIAL):
        assert after.match is before.match
