"""DMARC (RFC 9989): is the author domain itself behind this mail, and what does its owner ask for otherwise?

Knows author, SPF and DKIM facts and the resolver it is handed; must not know insurers. Organizational domains come
from the DNS tree walk (§4.10), never from a public suffix list. More than one author means no verdict, never "no policy".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from milter.auth.dmarc_record import DmarcRecord, choose_record
from milter.auth.resolver import DnsStatus, Question, Resolver
from milter.model.address import Author, AuthorKind
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, DkimFact, DmarcFact, SpfFact

REPEATED = "repeated field"  # word of Author.reasons for more than one From field
_WALK_LABELS = 7  # RFC 9989 §4.10: longer names are cut to seven labels after the first query
_CACHED = 4_096
_MAX_NAME = 246  # leaves room for `_dmarc.`


class _Absent(Enum):
    """Why a name has no record in use: none is there, or the lookup failed."""

    MISSING = auto()
    FAILED = auto()


_MISSING = _Absent.MISSING


class Evaluation(NamedTuple):
    """A fact with what it rests on: `aligned` are the authenticated domains that share the author's organization."""

    fact: DmarcFact
    aligned: frozenset[Domain] = frozenset()
    policy_domain: Domain | None = None


class _Alignment(NamedTuple):
    """Domains that align; `unknown` when a failed lookup hides whether one more does."""

    aligned: frozenset[Domain] = frozenset()
    unknown: bool = False


class _Walk(NamedTuple):
    """What a tree walk found, by name: `organization` (RFC 9989 §4.10.2, "" when a lookup failed), and the name of the

    public suffix that ended it, "" when none did.
    """

    records: dict[str, DmarcRecord]
    organization: str
    suffix: str = ""


def questions(author: Author) -> list[Question]:
    """What will be asked first, for asking side by side."""
    domain = author.domain
    return [("_dmarc." + domain.name, "TXT")] if domain else []


async def evaluate(author: Author, spf: SpfFact, dkim: tuple[DkimFact, ...], resolver: Resolver) -> Evaluation:
    """Evaluate one mail. `spf` is the fact of the MAIL FROM identity; results other than `pass` never align."""
    domain = author.domain
    if domain is None:
        return Evaluation(DmarcFact(AuthResult.NONE, reason=_no_author(author)))
    return await _Evaluator(domain, resolver).run(spf, dkim)


def _no_author(author: Author) -> str:
    """Why there is no single author domain, in fixed words. Every one of them is suspicious, none means "no policy"."""
    if author.kind is AuthorKind.SEVERAL:
        return "several_from_fields" if REPEATED in author.reasons else "several_author_domains"
    return "no_author_domain" if author.kind is AuthorKind.NONE else "invalid_author"


class _Evaluator:
    """One evaluation. Names are plain text inside; records and walks are kept, so that no name is asked for twice."""

    def __init__(self, author: Domain, resolver: Resolver) -> None:
        self._author = author
        self._name = author.name
        self._resolver = resolver
        self._found: dict[str, DmarcRecord | _Absent] = {}
        self._walks: dict[str, _Walk] = {}

    async def run(self, spf: SpfFact, dkim: tuple[DkimFact, ...]) -> Evaluation:
        """Find the record that applies (RFC 9989 §4.10.1): of the author domain, its organization, or its public suffix."""
        own = await self._record(self._name)
        if isinstance(own, DmarcRecord):
            if own.policy and any(fact.domain == self._author and fact.result is AuthResult.PASS and fact.proves_content for fact in dkim):
                # whatever the organization is, and whatever aligns besides: nothing changes any more
                fact = DmarcFact(AuthResult.PASS, self._author, policy=own.lowered(own.policy), dkim_aligned=True)
                return Evaluation(fact, frozenset((self._author,)), self._author)
            return await self._judge(own, self._author, spf, dkim)
        walk = await self._walk(self._name)
        if not walk.organization:
            return Evaluation(DmarcFact(AuthResult.TEMPERROR, self._author, reason="record_lookup"))
        for name in (walk.organization, walk.suffix):
            if name in walk.records:
                return await self._judge(walk.records[name], Domain(name), spf, dkim)
        return Evaluation(DmarcFact(AuthResult.NONE, self._author, Domain(walk.organization), reason="no_record"))

    async def _judge(self, record: DmarcRecord, owner: Domain, spf: SpfFact, dkim: tuple[DkimFact, ...]) -> Evaluation:
        organization = await self._organization()
        if not record.policy:
            return Evaluation(DmarcFact(AuthResult.NONE, self._author, organization, reason="no_valid_policy"))
        policy = await self._policy(record, owner)
        by_spf = await self._align(_identifiers((spf,)), strict=record.strict_spf)
        by_dkim = await self._align(_identifiers(dkim), strict=record.strict_dkim)
        aligned = by_spf.aligned | by_dkim.aligned
        result, reason = AuthResult.FAIL, ""
        if policy is None:
            result, reason = AuthResult.TEMPERROR, "existence_lookup"
        elif aligned:
            result = AuthResult.PASS
        elif by_spf.unknown or by_dkim.unknown:
            result, reason = AuthResult.TEMPERROR, "alignment_lookup"
        fact = DmarcFact(
            result,
            self._author,
            # without a whole walk the organization is unknown, but an identical domain shares it whatever it is
            organization or (self._author if self._author in aligned else None),
            record.lowered(policy or ""),
            reason,
            spf_aligned=bool(by_spf.aligned),
            dkim_aligned=bool(by_dkim.aligned),
        )
        return Evaluation(fact, aligned, owner)

    async def _policy(self, record: DmarcRecord, owner: Domain) -> str | None:
        """p, sp or np (RFC 9989 §4.7); None when it cannot be known whether the author domain exists."""
        if owner == self._author:
            return record.policy
        if record.names_absent and record.absent != record.subdomain:
            # RFC 8020: NXDOMAIN means that neither the name nor anything below it exists
            status = (await self._resolver.query(self._name, "A")).status
            if status.is_temporary:
                return None
            if status is DnsStatus.NXDOMAIN:
                return record.absent
        return record.subdomain

    async def _align(self, identifiers: dict[Domain, bool], *, strict: bool) -> _Alignment:
        """Which authenticated domains align. Nothing is asked of the DNS that cannot change the answer."""
        if identifiers.get(self._author):
            return _Alignment(frozenset((self._author,)))
        unknown = self._author in identifiers
        aligned: list[Domain] = []
        for domain, passed in identifiers.items():
            if strict or domain == self._author or not _share_a_label(domain.name, self._name):
                continue
            same = await self._same_organization(domain.name)
            if same is None or (same and not passed):
                unknown = True
            elif same:
                aligned.append(domain)
        return _Alignment(frozenset(aligned), unknown)

    async def _same_organization(self, name: str) -> bool | None:
        """None when a failed lookup leaves it open."""
        mine = (await self._walk(self._name)).organization
        if not mine:
            return None
        if name != mine and not name.endswith("." + mine):
            return False
        theirs = (await self._walk(name)).organization
        return theirs == mine if theirs else None

    async def _organization(self) -> Domain | None:
        organization = (await self._walk(self._name)).organization
        if organization == self._name:
            return self._author
        return Domain(organization) if organization else None

    async def _walk(self, start: str) -> _Walk:
        """RFC 9989 §4.10 steps 1 to 7: at most eight queries."""
        walk = self._walks.get(start)
        if walk is None:
            self._walks[start] = walk = await self._walk_up(start)
        return walk

    async def _walk_up(self, start: str) -> _Walk:
        records: dict[str, DmarcRecord] = {}
        organization = start
        for name in _path(start):
            record = self._found.get(name) or await self._record(name)
            if record is _MISSING:
                continue
            if not isinstance(record, DmarcRecord):
                return _Walk(records, "")
            records[name] = record
            if record.suffix == "y" and name != start:
                return _Walk(records, _one_below(start, name), name)
            # the walk goes upwards, so the last record has the fewest labels
            organization = name
            if record.suffix != "u":
                break
        return _Walk(records, organization)

    async def _record(self, name: str) -> DmarcRecord | _Absent:
        """The record of one name. Never asks for a name that cannot exist."""
        found = self._found.get(name)
        if found is None:
            found = _MISSING
            if len(name) <= _MAX_NAME:
                answer = await self._resolver.query("_dmarc." + name, "TXT")
                found = choose_record(answer.texts) or (_Absent.FAILED if answer.status.is_temporary else _MISSING)
            self._found[name] = found
        return found


_MAY_ALIGN = (AuthResult.PASS, AuthResult.TEMPERROR)


def _identifiers(facts: Iterable[SpfFact | DkimFact]) -> dict[Domain, bool]:
    """Domains that may align: True when authenticated, False when a lookup failed on the way."""
    out: dict[Domain, bool] = {}
    for fact in facts:
        if fact.domain and fact.result in _MAY_ALIGN:
            out[fact.domain] = out.get(fact.domain, False) or fact.result is AuthResult.PASS
    return out


@lru_cache(maxsize=_CACHED)
def _path(start: str) -> tuple[str, ...]:
    """The names of a walk: the start, then from at most seven labels upwards to the top level."""
    labels = start.split(".")[1:][-_WALK_LABELS:]
    return (start, *(".".join(labels[index:]) for index in range(len(labels))))


def _one_below(name: str, suffix: str) -> str:
    """The ancestor of `name` (or itself) that has one label more than `suffix`."""
    return ".".join(name.split(".")[-suffix.count(".") - 2 :])


def _share_a_label(one: str, other: str) -> bool:
    """True when the top-level labels are the same: without that there is no common organization."""
    return one.rpartition(".")[2] == other.rpartition(".")[2]
