"""What a registry file says of one organisation, as values.

Knows the keys of the file and nothing of mail or matching. Every text comes from a reviewed file, not from an attacker.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from milter.model.domain import Domain
from milter.text.domains import parse_domain, registrable


class Role(StrEnum):
    """What a listed domain is to its organisation; config/registry/fr.yml explains each to its editors."""

    OFFICIAL = "official"
    SENDS_FOR = "sends_for"
    BROKER = "broker"
    LINKS_ONLY = "links_only"
    PORTAL = "portal"
    LEGACY = "legacy"


class Kind(StrEnum):
    """What sort of body it is. French words where the law of a market has a form of its own."""

    MUTUELLE = "mutuelle"
    INSURER = "insurer"
    PREVOYANCE = "institution-de-prevoyance"
    BANCASSURANCE = "bancassurance"
    BROKER = "broker"
    PAYER = "tiers-payant"
    ASSISTANCE = "assistance"
    NETWORK = "network"
    PUBLIC = "public"


class AliasStrength(StrEnum):
    """`distinctive`: names this organisation and nobody else; `ambiguous`: also a word, a first name or somebody else."""

    DISTINCTIVE = "distinctive"
    AMBIGUOUS = "ambiguous"


def _domain(written: object) -> Domain:
    if isinstance(written, Domain):
        return written
    domain = parse_domain(written) if isinstance(written, str) else None
    if domain is None:
        raise ValueError(f"not a domain name: {str(written)[:60]!r}; write it as in an address, without http:// or @")
    if registrable(domain) is None:
        raise ValueError(f"{domain} is a public suffix: everybody may register names under it, so it belongs to nobody")
    return domain


def _date(written: str) -> str:
    if written:
        try:
            datetime.date.fromisoformat(written)
        except ValueError:
            raise ValueError(f"not a date like 2026-01-31: {written[:60]!r}; leave it empty when nobody has checked") from None
    return written


def _id(written: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", written):
        raise ValueError(f"an id is made of a-z, 0-9 and single hyphens, not {written[:60]!r}")
    return written


def _filled(written: str) -> str:
    if not written.strip():
        raise ValueError("is empty; write it or take the line out")
    return written


Filled = Annotated[str, AfterValidator(_filled)]
Id = Annotated[str, AfterValidator(_id)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why we believe it. `ref` is an address or `repository:path`, "" when there is none to give."""

    type: Literal["page", "repo", "memory", "unverified"]
    ref: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DomainEntry:
    """One domain of an organisation; its sub-domains are meant too unless an entry of their own says otherwise.

    `checked` is the day on which somebody last read the evidence, "" when nobody could.
    """

    domain: Annotated[Domain, BeforeValidator(_domain)]
    role: Role
    checked: Annotated[str, AfterValidator(_date)] = ""
    evidence: tuple[Evidence, ...] = ()

    @property
    def proves(self) -> bool:
        """True when authenticated mail from here is proof for the organisation: the role allows it and it was checked."""
        return bool(self.checked) and self.role in (Role.OFFICIAL, Role.SENDS_FOR, Role.BROKER)

    @property
    def excuses(self) -> bool:
        """True when authenticated mail from here must not be called a forgery, though it may prove nothing."""
        return self.role is not Role.LEGACY


@dataclass(frozen=True, slots=True)
class Aliases:
    """Names by strength. An organisation's display name counts as distinctive unless it stands among the ambiguous ones."""

    distinctive: tuple[Filled, ...] = ()
    ambiguous: tuple[Filled, ...] = ()


@dataclass(frozen=True, slots=True)
class Payer:
    """A third-party payer (registry id) that pays for this organisation's members and may write to them."""

    payer: Id
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Organisation:
    """An insurer, or a body that fraud dresses up as. `name` is what people are shown, `id` never changes."""

    id: Id
    name: Filled
    kind: Kind
    country: Annotated[str, AfterValidator(_filled)]
    aliases: Aliases = field(default_factory=Aliases)
    product_words: Aliases = field(default_factory=Aliases)
    domains: tuple[DomainEntry, ...] = ()
    third_party_payers: tuple[Payer, ...] = ()

    @property
    def names(self) -> tuple[tuple[str, AliasStrength], ...]:
        """Every name to look for, the display name first, each once."""
        found = {self.name: AliasStrength.DISTINCTIVE}
        found.update(dict.fromkeys(self.aliases.distinctive, AliasStrength.DISTINCTIVE))
        found.update(dict.fromkeys(self.aliases.ambiguous, AliasStrength.AMBIGUOUS))
        return tuple(found.items())


@dataclass(frozen=True, slots=True)
class HonestNeighbour:
    """A first label (`agen`) or a whole domain (`kalixia.com`) that resembles a brand and means no harm, with the reason."""

    name: Filled
    reason: Filled


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """One file of config/registry."""

    market: Id
    organisations: tuple[Organisation, ...] = ()
    honest_neighbours: tuple[HonestNeighbour, ...] = ()
