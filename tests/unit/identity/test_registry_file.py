"""Registry files: what is refused, with its place, and what the shipped ones hold."""

from __future__ import annotations

import pytest

from milter.errors import RegistryError
from milter.identity import registry_file
from milter.identity.organisation import Role
from milter.identity.registry import Registry

GOOD = """\
market: test
organisations:
- id: lilas
  name: Mutuelle Lilas
  kind: mutuelle
  country: fr
  domains:
  - domain: lilas.example
    role: official
    checked: 2026-01-31
"""


def problems(text: str, *more: str) -> list[str]:
    """What loading says, one problem a line."""
    sources = [(f"{number}.yml", octets.encode()) for number, octets in enumerate((text, *more), 1)]
    with pytest.raises(RegistryError) as caught:
        registry_file.load(sources)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_loads() -> None:
    """The smallest useful file gives one organisation whose domain proves."""
    registry = registry_file.load([("1.yml", GOOD.encode())])
    found = registry.organisation("lilas")
    assert found is not None
    assert [(entry.domain.name, entry.proves) for entry in found.domains] == [("lilas.example", True)]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("role: official", "role: offical", "1.yml:9:11: organisations[0].domains[0].role: should be 'official', 'sends_for'"),
        ("kind: mutuelle", "kind: bank", "1.yml:5:9: organisations[0].kind: should be 'mutuelle', 'insurer'"),
        ("domain: lilas.example", "domain: gouv.fr", "1.yml:8:13: organisations[0].domains[0].domain: gouv.fr is a public suffix: everybody"),
        ("domain: lilas.example", "domain: https://lilas.example", "1.yml:8:13: organisations[0].domains[0].domain: not a domain name: 'https://lil"),
        ("domain: lilas.example", "domain: 192.0.2.1", "1.yml:8:13: organisations[0].domains[0].domain: not a domain name: '192.0.2.1'"),
        ("checked: 2026-01-31", "checked: last week", "1.yml:10:14: organisations[0].domains[0].checked: not a date like 2026-01-31: 'last week'"),
        ("name: Mutuelle Lilas", "name: ''", "1.yml:4:9: organisations[0].name: is empty; write it or take the line out"),
        ("id: lilas", "id: Mutuelle Lilas", "1.yml:3:7: organisations[0].id: an id is made of a-z, 0-9 and single hyphens, not 'Mutuelle Lilas'"),
        ("  kind: mutuelle\n", "", "1.yml:3:3: organisations[0]: key `kind` is missing"),
        ("country: fr", "country: fr\n  contry: fr", "1.yml:7:3: organisations[0].contry: unknown key; did you mean `country`?"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    """Line, column, key and what to do, for each kind of mistake."""
    found = problems(GOOD.replace(old, new))
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_all_problems_of_all_files_come_at_once() -> None:
    """A doubled id, a domain of two owners, a name in two organisations, a name twice, an unknown payer: together, in file order."""
    second = (
        GOOD.replace("name: Mutuelle Lilas", "name: Lilas\n  aliases: {distinctive: [Mutuelle LILAS, lilas, LÏLAS]}")
        + "  third_party_payers:\n  - payer: nobody\n"
    )
    assert problems(GOOD, second) == [
        "2.yml:3:7: organisations[0].id: the id `lilas` is taken, first at 1.yml:3:7; ids are given once",
        "2.yml:5:27: organisations[0].aliases.distinctive[0]: 'Mutuelle LILAS' names `lilas` too, at 1.yml:4:9; "
        "make it ambiguous in both or take it out of one",
        "2.yml:5:43: organisations[0].aliases.distinctive[1]: 'lilas' is listed already, at 2.yml:4:9 (case and accents make no difference)",
        "2.yml:5:50: organisations[0].aliases.distinctive[2]: 'LÏLAS' is listed already, at 2.yml:4:9 (case and accents make no difference)",
        "2.yml:9:13: organisations[0].domains[0].domain: lilas.example is listed for this organisation already, at 1.yml:8:13; "
        "a domain has one owner",
        "2.yml:13:12: organisations[0].third_party_payers[0].payer: no organisation has the id `nobody`",
    ]


def test_the_first_broken_file_does_not_hide_the_next() -> None:
    """A syntax error in one file and a wrong value in another are reported together."""
    found = problems("market: [", GOOD.replace("country: fr", "country: ''"))
    assert [line.split(":")[0] for line in found] == ["1.yml", "2.yml"]


def test_an_ambiguous_name_may_be_shared() -> None:
    """Two organisations may both be called by a word that means neither for sure."""
    shared = "  aliases: {ambiguous: [Fleur]}\n"
    second = GOOD.replace("lilas", "rose").replace("Lilas", "Rose")
    registry = registry_file.load([("1.yml", (GOOD + shared).encode()), ("2.yml", (second + shared).encode())])
    assert len(registry.organisations) == 2


def test_the_french_registry_is_whole(french: Registry) -> None:
    """302 organisations, each with a name; third-party payers are kept; public bodies are there."""
    assert len(french.organisations) == 302
    assert sum(bool(organisation.third_party_payers) for organisation in french.organisations) == 26
    assert {"assurance-maladie", "mgen", "viamedis", "almerys", "france-travail"} <= {organisation.id for organisation in french.organisations}


def test_what_nobody_could_check_proves_nothing(french: Registry) -> None:
    """A domain known from memory, hearsay or an old connector list has no date, a lower role, and never proves."""
    weak = 0
    for organisation in french.organisations:
        for entry in organisation.domains:
            assert entry.evidence, f"{entry.domain} has no evidence"
            if any(one.type in ("memory", "unverified") or "invoice-collector" in one.ref for one in entry.evidence):
                weak += 1
                assert not entry.checked
                assert entry.role in (Role.LINKS_ONLY, Role.PORTAL, Role.LEGACY)
                assert not entry.proves
    assert weak > 200


def test_a_domain_of_fraud_is_in_no_role(french: Registry) -> None:
    """ameli.com was reported as a sender of fraud, kalixia.com is somebody else's: neither is listed."""
    names = {entry.domain.name for organisation in french.organisations for entry in organisation.domains}
    assert names.isdisjoint({"ameli.com", "kalixia.com"})
