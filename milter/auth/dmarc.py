"""DMARC (RFC 9989): is the author domain itself behind this mail, and what does its owner ask for otherwise?

Knows author, SPF and DKIM facts and the resolver it is handed; must not know insurers. Organizational domains come
from the DNS tree walk (§4.10), never from a public suffix list. More than one author means no verdict, never "no policy".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from milter.auth.dmarc_record import DmarcRecord, choose_record
from milter.auth.resolver import DnsStatus, Question, Resolver
from milter.model.address import Author, AuthorKind
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, DkimFact, DmarcFact, SpfFact

REPEATED = "repeated field"  # word of Author.reasons for more than one From field
_WALK_LABELS = 7  # RFC 9989 §4.10: longer names are cut to seven labels after the first query
_MAX_NAME = 246  # leaves room for `_dmarc.`


class _Absent(Enum):
    """Why a name has no record in use: none is there, or the lookup failed."""

    MISSING = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A fact with what it rests on: `aligned` are the authenticated domains that share the author's organization."""

    fact: DmarcFact
    aligned: frozenset[Domain] = frozenset()
    policy_domain: Domain | None = None


@dataclass(frozen=True, slots=True)
class _Alignment:
    """Domains that align; `unknown` when a failed lookup hides whether one more does."""

    aligned: frozenset[Domain] = frozenset()
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class _Walk:
    """What a tree walk found: records from the start upwards. `complete` is False when a lookup failed."""

    start: Domain
    records: dict[Domain, DmarcRecord] = field(default_factory=dict)
    complete: bool = True

    @property
    def organization(self) -> Domain | None:
        """RFC 9989 §4.10.2; None when a lookup failed."""
        if not self.complete:
            return None
        for domain, record in self.records.items():
            if record.suffix == "n":
                return domain
            if record.suffix == "y" and domain != self.start:
                return _one_below(self.start, domain)
        # the walk goes upwards, so the last record has the fewest labels
        return next(reversed(self.records), self.start)

    @property
    def suffix(self) -> Domain | None:
        """The public suffix domain that ended the walk, if one did."""
        return next((domain for domain, record in self.records.items() if record.suffix == "y" and domain != self.start), None)


def questions(author: Author) -> list[Question]:
    """What will be asked first, for asking side by side."""
    return [(f"_dmarc.{author.domain}", "TXT")] if author.domain else []


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
    """One evaluation. Walks are kept, so that no name is asked for twice."""

    def __init__(self, author: Domain, resolver: Resolver) -> None:
        self._author = author
        self._resolver = resolver
        self._found: dict[Domain, DmarcRecord | _Absent] = {}
        self._walks: dict[Domain, _Walk] = {}

    async def run(self, spf: SpfFact, dkim: tuple[DkimFact, ...]) -> Evaluation:
        own = await self._record(self._author)
        if own is _Absent.FAILED:
            return Evaluation(DmarcFact(AuthResult.TEMPERROR, self._author, reason="record_lookup"))
        if isinstance(own, DmarcRecord):
            return await self._judge(own, self._author, spf, dkim)
        walk = await self._walk(self._author)
        organization = walk.organization
        if organization is None:
            return Evaluation(DmarcFact(AuthResult.TEMPERROR, self._author, reason="record_lookup"))
        # RFC 9989 §4.10.1: author domain, then organizational domain, then public suffix domain
        for domain in (organization, walk.suffix):
            if domain in walk.records:
                return await self._judge(walk.records[domain], domain, spf, dkim)
        return Evaluation(DmarcFact(AuthResult.NONE, self._author, organization, reason="no_record"))

    async def _judge(self, record: DmarcRecord, owner: Domain, spf: SpfFact, dkim: tuple[DkimFact, ...]) -> Evaluation:
        if not record.policy:
            return Evaluation(DmarcFact(AuthResult.NONE, self._author, await self._organization(), reason="no_valid_policy"))
        policy = await self._policy(record, owner)
        spf_state = await self._align(_identifiers((spf,)), strict=record.strict_spf)
        dkim_state = await self._align(_identifiers(dkim), strict=record.strict_dkim)
        aligned = spf_state.aligned | dkim_state.aligned
        reason = ""
        if policy is None:
            result, reason = AuthResult.TEMPERROR, "existence_lookup"
        elif aligned:
            result = AuthResult.PASS
        elif spf_state.unknown or dkim_state.unknown:
            result, reason = AuthResult.TEMPERROR, "alignment_lookup"
        else:
            result = AuthResult.FAIL
        fact = DmarcFact(
            result,
            self._author,
            # without a whole walk the organization is unknown, but an identical domain shares it whatever it is
            await self._organization() or (self._author if self._author in aligned else None),
            record.lowered(policy or ""),
            reason,
            spf_aligned=bool(spf_state.aligned),
            dkim_aligned=bool(dkim_state.aligned),
        )
        return Evaluation(fact, aligned, owner)

    async def _policy(self, record: DmarcRecord, owner: Domain) -> str | None:
        """p, sp or np (RFC 9989 §4.7); None when it cannot be known whether the author domain exists."""
        if owner == self._author:
            return record.policy
        if record.names_absent and record.absent != record.subdomain:
            # RFC 8020: NXDOMAIN means that neither the name nor anything below it exists
            status = (await self._resolver.query(self._author.name, "A")).status
            if status.is_temporary:
                return None
            if status is DnsStatus.NXDOMAIN:
                return record.absent
        return record.subdomain

    async def _organization(self) -> Domain | None:
        return (await self._walk(self._author)).organization

    async def _align(self, identifiers: dict[Domain, bool], *, strict: bool) -> _Alignment:
        """Which authenticated domains align. Nothing is asked of the DNS that cannot change the answer."""
        if identifiers.get(self._author):
            return _Alignment(frozenset((self._author,)))
        unknown = self._author in identifiers
        aligned: list[Domain] = []
        for domain, passed in identifiers.items():
            if strict or domain == self._author or not _share_a_label(domain, self._author):
                continue
            same = await self._same_organization(domain)
            if same is None or (same and not passed):
                unknown = True
            elif same:
                aligned.append(domain)
        return _Alignment(frozenset(aligned), unknown)

    async def _same_organization(self, domain: Domain) -> bool | None:
        mine = await self._organization()
        if mine is None:
            return None
        if not domain.is_within(mine):
            return False
        theirs = (await self._walk(domain)).organization
        return None if theirs is None else theirs == mine

    async def _walk(self, start: Domain) -> _Walk:
        """RFC 9989 §4.10 steps 1 to 7: at most eight queries."""
        if start in self._walks:
            return self._walks[start]
        records: dict[Domain, DmarcRecord] = {}
        complete = True
        for domain in _path(start):
            record = await self._record(domain)
            if record is _Absent.FAILED:
                complete = False
                break
            if isinstance(record, DmarcRecord):
                records[domain] = record
                if record.suffix != "u":
                    break
        self._walks[start] = walk = _Walk(start, records, complete)
        return walk

    async def _record(self, domain: Domain) -> DmarcRecord | _Absent:
        """The record of one name. Never asks for a name that cannot exist."""
        if len(domain.name) > _MAX_NAME:
            return _Absent.MISSING
        if domain not in self._found:
            answer = await self._resolver.query(f"_dmarc.{domain}", "TXT")
            record = choose_record(answer.texts)
            missing = _Absent.FAILED if answer.status.is_temporary else _Absent.MISSING
            self._found[domain] = record or missing
        return self._found[domain]


def _identifiers(facts: Iterable[SpfFact | DkimFact]) -> dict[Domain, bool]:
    """Domains that may align: True when authenticated, False when a lookup failed on the way."""
    out: dict[Domain, bool] = {}
    for fact in facts:
        if fact.domain and fact.result in (AuthResult.PASS, AuthResult.TEMPERROR):
            out[fact.domain] = out.get(fact.domain, False) or fact.result is AuthResult.PASS
    return out


def _path(start: Domain) -> Iterator[Domain]:
    """The names of a walk: the start, then from at most seven labels upwards to the top level."""
    yield start
    labels = start.labels[1:][-_WALK_LABELS:]
    for index in range(len(labels)):
        yield Domain(".".join(labels[index:]))


def _one_below(name: Domain, suffix: Domain) -> Domain:
    """The ancestor of `name` (or itself) that has one label more than `suffix`."""
    return Domain(".".join(name.labels[-len(suffix.labels) - 1 :]))


def _share_a_label(one: Domain, other: Domain) -> bool:
    """True when the top-level labels are the same: without that there is no common organization."""
    return one.name.rpartition(".")[2] == other.name.rpartition(".")[2]
