"""A small registry, rules and policy to judge by."""

from __future__ import annotations

from milter.engine.policy import Actions, Policy, Thresholds
from milter.identity.organisation import DomainEntry, Kind, Organisation, Payer, Role
from milter.identity.registry import Registry
from milter.model.domain import Domain
from milter.model.evidence import Claim, Match, Place, Strength
from milter.ruleset import rule_file
from milter.ruleset.index import RuleSet
from tests.unit.ruleset.samples import FILE, RULE

CHECKED = "2026-11-01"


def _listed(name: str, role: Role, checked: str = CHECKED) -> DomainEntry:
    return DomainEntry(Domain(name), role, checked)


REGISTRY = Registry(
    [
        Organisation(
            "lavande",
            "Mutuelle Lavande",
            Kind.MUTUELLE,
            "fr",
            domains=(
                _listed("lavande.example", Role.OFFICIAL),
                _listed("lavande-info.example", Role.OFFICIAL),
                _listed("unchecked.example", Role.OFFICIAL, ""),
                _listed("sender.example", Role.SENDS_FOR),
                _listed("broker.example", Role.BROKER),
                _listed("portal.example", Role.PORTAL),
                _listed("links.example", Role.LINKS_ONLY),
                _listed("old.example", Role.LEGACY),
            ),
            third_party_payers=(Payer("payer"), Payer("absent")),
        ),
        Organisation("payer", "Paiement Direct", Kind.PAYER, "fr", domains=(_listed("payer.example", Role.OFFICIAL),)),
        Organisation("olivier", "Assurances Olivier", Kind.INSURER, "fr", domains=(_listed("olivier.example", Role.OFFICIAL),)),
    ]
)

URGENT = """\
title: Urgent
id: so-urgent
status: stable
description: Detects haste.
says: {fr: "Presse.", en: "Urges."}
author: Somebody
date: 2026-01-31
severity: medium
tags: [pressure.haste]
detection:
  urges:
    text.any|phrase: [sous 48 heures]
  condition: urges
false_positives: [{when: never, then: nothing}]
examples:
  match: [{name: haste, mail: {headers: "Subject: sous 48 heures"}}]
  no_match: [{name: calm, mail: {headers: "Subject: bonjour"}}]
"""


def rules(*others: tuple[str, str]) -> RuleSet:
    """One claim rule (4 points), one pressure rule (2 points), and others."""
    sources = [(FILE, RULE), ("rules/pressure/so-urgent.yml", URGENT), *others]
    return rule_file.load((file, text.encode()) for file, text in sources)


RULES = rules()
POLICY = Policy("Test", "", "enforce", Thresholds(), Actions(), "fr", {"fr": "[? {insurer}] ", "en": "[? {insurer}] "})


def claim(
    insurer: str = "lavande",
    place: Place = Place.DISPLAY_NAME,
    strength: Strength = Strength.STRONG,
    match: Match | None = None,
    domain: str | None = None,
) -> Claim:
    """A claim."""
    return Claim(insurer, place, strength, "quoted words", match, domain=Domain(domain) if domain else None)
