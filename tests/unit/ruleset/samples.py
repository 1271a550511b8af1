"""A rule file that is right, and ways to spoil it; facts to look at."""

from __future__ import annotations

from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, AuthResult, Claim, ContentFacts, DmarcFact, Evidence, LinkFact, SpfFact

RULE = """\
title: Name without proof
id: name-without-proof
status: stable
description: Detects a name. Misses others.
says:
  fr: "Se présente comme {insurer} depuis {claim_domain}."
  en: "Uses the name {insurer}."
author: Somebody
date: 2026-01-31
severity: high
tags: [claim.name]
detection:
  claim_by_name:
    identity.claim.place: display-name
    identity.claim.strength|at_least: medium
  filter_itself:
    proof.speaks_for_claimed_insurer: true
  condition: claim_by_name and not 1 of filter_*
false_positives:
  - when: a broker does so
    then: add it to the registry
examples:
  match:
    - name: a stranger
      mail:
        headers: |
          From: Mutuelle Lavande <a@stranger.test>
  no_match:
    - name: itself
      mail:
        headers: |
          From: Mutuelle Lavande <a@mutuelle-lavande.example>
        authenticated: [mutuelle-lavande.example]
      tests: filter_itself
"""
FILE = "rules/claim/name-without-proof.yml"


def spoiled(*changes: tuple[str, str]) -> bytes:
    """The rule with each first text replaced by the second."""
    text = RULE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


def auth(
    *,
    author: str | None = "stranger.test",
    proven: tuple[str, ...] = (),
    dmarc: AuthResult = AuthResult.NONE,
    policy: str = "",
    spf: SpfFact | None = None,
) -> AuthFacts:
    """Authentication facts with these domains proven."""
    domain = Domain(author) if author else None
    none = SpfFact(AuthResult.NONE, None)
    return AuthFacts(
        spf=spf or none,
        helo=none,
        dkim=(),
        dmarc=DmarcFact(dmarc, domain, domain, policy),
        proven=tuple(Domain(name) for name in proven),
        author_proven=dmarc is AuthResult.PASS,
    )


def evidence(
    *,
    auth_facts: AuthFacts | None = None,
    claims: tuple[Claim, ...] = (),
    links: tuple[LinkFact, ...] = (),
    subject: str = "",
    text: str = "",
    personal_data: frozenset[str] = frozenset(),
    author_kind: str = "one",
) -> Evidence:
    """Evidence with these parts and nothing else."""
    facts = auth_facts or auth()
    content = ContentFacts(subject=subject, text=text, links=links, personal_data=personal_data)
    return Evidence(facts, claims, content, author_kind, facts.dmarc.author_domain)
