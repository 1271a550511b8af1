"""SPF (RFC 7208): may this client send for this domain? Answered apart for MAIL FROM and for HELO.

Knows the protocol and the resolver it is handed; must not know what a result means for the mail. DNS trouble is
`temperror`, a wrong record `permerror`; both name the term or the question.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from milter.auth.resolver import Answer, Question, Resolver
from milter.auth.spf_macro import Macro, Scene, expand, expand_domain, read_macro
from milter.auth.spf_record import BadRecord, SpfRecord, Term, choose_record
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, SpfFact
from milter.model.limits import Limits
from milter.model.mail import Mail
from milter.text.domains import is_ip_literal, parse_domain

_MAX_NAMES = 10  # RFC 7208 §4.6.4: of mx and ptr
_MAX_LOCAL = 256
_MAX_HOST = 1_024
_CACHED = 4_096
_SPECIALS = frozenset('()<>[],;:\\"')  # RFC 5321 §4.1.2: only in a quoted local part, never in a domain


class Identity(NamedTuple):
    """Whom SPF is asked about. `domain` is None when there is no usable one: the result is `none`."""

    name: str
    local: str
    domain: Domain | None


class Outcome(NamedTuple):
    """Result of check_host (RFC 7208 §4). `cause` is the term that matched or what went wrong."""

    result: AuthResult
    cause: str = ""
    explanation: str = ""


class _SettledError(Exception):
    """Ends an evaluation from any depth; never leaves this module."""

    def __init__(self, result: AuthResult, cause: str) -> None:
        super().__init__(cause)
        self.outcome = Outcome(result, cause)


def identities(mail: Mail) -> tuple[Identity, Identity]:
    """The MAIL FROM and the HELO identity. RFC 7208 §2.4: for a null sender MAIL FROM is postmaster at the HELO name."""
    helo = Identity("helo", "postmaster", _host(mail.connection.helo))
    if not mail.envelope.mail_from:
        return Identity("mailfrom", "postmaster", helo.domain), helo
    path = mail.envelope.mail_from
    if path.startswith("@") and ":" in path:
        path = path.partition(":")[2]  # RFC 5321 §3.6.1: a source route is ignored
    local, _, domain = path.rpartition("@")
    quoted = len(local) > 1 and local.startswith('"') and local.endswith('"')
    # two readers of a path such as `(a@b` may see two domains: then it has none
    malformed = not quoted and not _SPECIALS.isdisjoint(local)
    return Identity("mailfrom", local[:_MAX_LOCAL] or "postmaster", None if malformed else _host(domain)), helo


def questions(pair: tuple[Identity, Identity]) -> list[Question]:
    """What will be asked first, for asking side by side."""
    return [(identity.domain.name, "TXT") for identity in pair if identity.domain]


async def check(mail: Mail, resolver: Resolver, limits: Limits, pair: tuple[Identity, Identity] | None = None) -> tuple[SpfFact, SpfFact]:
    """The facts for MAIL FROM and HELO. Both are `none` without a client address: it is never guessed.

    `pair` is `identities(mail)` for a caller that has it already.
    """
    sender, helo = pair or identities(mail)
    ip = _client(mail.connection.client_ip)
    if ip is None:
        return _fact(sender, Outcome(AuthResult.NONE, "client address unknown")), _fact(helo, Outcome(AuthResult.NONE, "client address unknown"))
    helo_name = mail.connection.helo
    first = await check_host(ip, sender, helo_name, resolver, limits)
    same = sender.domain == helo.domain and sender.local == helo.local
    second = first if same else await check_host(ip, helo, helo_name, resolver, limits)
    return _fact(sender, first), _fact(helo, second)


async def check_host(
    ip: IPv4Address | IPv6Address, identity: Identity, helo: str, resolver: Resolver, limits: Limits, *, explain: bool = False
) -> Outcome:
    """RFC 7208 §4 check_host(). `explain` also reads the sender's own words for a fail (§6.2): they are hostile text."""
    if identity.domain is None:
        return Outcome(AuthResult.NONE, "no domain to ask")
    scene = Scene(ip, identity.local, identity.domain.name, helo, identity.domain.name)
    try:
        return await _Check(ip, resolver, limits, explain=explain).host(scene)
    except _SettledError as settled:
        return settled.outcome


class _Check:
    """One evaluation with its counters, shared by all includes and redirects (RFC 7208 §4.6.4)."""

    __slots__ = ("_address_kind", "_explain", "_ip", "_limits", "_lookups", "_names", "_number", "_resolver", "_version", "_voids")

    def __init__(self, ip: IPv4Address | IPv6Address, resolver: Resolver, limits: Limits, *, explain: bool) -> None:
        self._ip = ip
        self._version, self._number = ip.version, int(ip)
        self._address_kind = "A" if self._version == 4 else "AAAA"
        self._resolver = resolver
        self._limits = limits
        self._explain = explain
        self._lookups = 0
        self._voids = 0
        self._names: tuple[str, ...] | None = None

    async def host(self, scene: Scene) -> Outcome:
        """Evaluate the record of `scene.domain`."""
        answer = await self._resolver.query(scene.domain, "TXT")
        if answer.status.is_temporary:
            raise _SettledError(AuthResult.TEMPERROR, f"TXT {scene.domain}: {answer.status}")
        record = choose_record(answer.texts)
        if record is None:
            return Outcome(AuthResult.NONE, "no SPF record")
        if isinstance(record, BadRecord):
            raise _SettledError(AuthResult.PERMERROR, f"{scene.domain}: {record.cause}")
        version, number = self._version, self._number
        for term in record.terms:
            if term.version:
                hit = term.version == version and number & term.mask == term.base
            else:
                hit = term.name == "all" or await self._matches(term, scene)
            if hit:
                words = await self._explanation(record, scene) if self._explain and term.result is AuthResult.FAIL else ""
                return Outcome(term.result, term.text, words)
        # RFC 7208 §6.1: redirect counts only when nothing matched
        return await self._redirect(record.redirect, scene) if record.redirect else Outcome(AuthResult.NEUTRAL, "no term matched")

    async def _redirect(self, target: Macro, scene: Scene) -> Outcome:
        self._count()
        name = await self._target(target, scene)
        outcome = await self.host(scene._replace(domain=name))
        if outcome.result is AuthResult.NONE:
            raise _SettledError(AuthResult.PERMERROR, f"redirect={name}: no SPF record")
        return outcome

    async def _matches(self, term: Term, scene: Scene) -> bool:
        """A mechanism that costs a lookup."""
        name = term.name
        self._count()
        if name == "ptr":
            target = await self._target(term.spec, scene)
            return any(host == target or host.endswith("." + target) for host in await self._client_names())
        target = await self._target(term.spec, scene)
        if name == "include":
            return await self._include(target, scene)
        if name == "exists":
            # RFC 7208 §5.7: the kind is A even for IPv6
            return bool((await self._query(target, "A")).names)
        hosts = (target,) if name == "a" else await self._mail_hosts(target)
        for host in hosts:
            if await self._has_client(host, term):
                return True
        return False

    async def _include(self, target: str, scene: Scene) -> bool:
        """RFC 7208 §5.2: only pass matches; a missing record is an error."""
        explain, self._explain = self._explain, False
        outcome = await self.host(scene._replace(domain=target))
        self._explain = explain
        if outcome.result is AuthResult.NONE:
            raise _SettledError(AuthResult.PERMERROR, f"include:{target}: no SPF record")
        return outcome.result is AuthResult.PASS

    async def _mail_hosts(self, domain: str) -> list[str]:
        names = (await self._query(domain, "MX")).names
        if len(names) > _MAX_NAMES:
            raise _SettledError(AuthResult.PERMERROR, f"mx:{domain}: more than {_MAX_NAMES} names")
        return [host for host in (name.partition(" ")[2] for name in names) if host]

    async def _has_client(self, host: str, term: Term) -> bool:
        bits = term.bits4 if self._ip.version == 4 else term.bits6
        network = ip_network((self._ip, bits), strict=False)
        return any(_within(address, network) for address in (await self._query(host, self._address_kind)).names)

    async def _client_names(self) -> tuple[str, ...]:
        """Names of the client that point back to it (RFC 7208 §5.5); DNS trouble here only means no name."""
        if self._names is None:
            found: list[str] = []
            answer = await self._resolver.query(self._ip.reverse_pointer, "PTR")
            for name in answer.names[:_MAX_NAMES]:
                addresses = (await self._resolver.query(name, self._address_kind)).names
                if any(_within(address, ip_network(self._ip)) for address in addresses):
                    found.append(name.lower())
            if answer.status.is_void:
                self._void()
            self._names = tuple(found)
        return self._names

    async def _target(self, spec: Macro | None, scene: Scene) -> str:
        if spec is None:
            return scene.domain
        if spec.fixed:
            return spec.fixed.removesuffix(".").lower()
        return expand_domain(spec, await self._named(spec, scene))

    async def _named(self, macro: Macro, scene: Scene) -> Scene:
        """The scene with `%{p}` filled: the domain itself, else a name below it, else any (RFC 7208 §7.3)."""
        if not macro.needs_name:
            return scene
        names = await self._client_names()
        below = [name for name in names if name.endswith("." + scene.domain)]
        best = scene.domain if scene.domain in names else next(iter([*below, *names]), "unknown")
        return scene._replace(client_name=best)

    async def _explanation(self, record: SpfRecord, scene: Scene) -> str:
        """RFC 7208 §6.2: any trouble means no explanation."""
        if record.explanation is None:
            return ""
        answer = await self._resolver.query(await self._target(record.explanation, scene), "TXT")
        if len(answer.texts) != 1 or not answer.texts[0].isascii():
            return ""
        macro = read_macro(answer.texts[0].decode("ascii"), explanation=True)
        return expand(macro, await self._named(macro, scene)) if macro else ""

    async def _query(self, name: str, kind: str) -> Answer:
        answer = await self._resolver.query(name, kind)
        if answer.status.is_temporary:
            raise _SettledError(AuthResult.TEMPERROR, f"{kind} {name}: {answer.status}")
        if answer.status.is_void:
            self._void()
        return answer

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > self._limits.spf_lookups:
            raise _SettledError(AuthResult.PERMERROR, f"more than {self._limits.spf_lookups} terms that cost a lookup")

    def _void(self) -> None:
        self._voids += 1
        if self._voids > self._limits.spf_void_lookups:
            raise _SettledError(AuthResult.PERMERROR, f"more than {self._limits.spf_void_lookups} lookups without an answer")


def _within(address: str, network: object) -> bool:
    try:
        return ip_address(address) in network  # type: ignore[operator]
    except (ValueError, TypeError):
        return False


@lru_cache(maxsize=_CACHED)
def _client(text: str | None) -> IPv4Address | IPv6Address | None:
    """The client's address; an IPv4-mapped one is IPv4 (RFC 7208 §5)."""
    try:
        ip = ip_address(text or "")
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _host(text: str) -> Domain | None:
    """A domain with at least two labels (RFC 7208 §4.3: others give `none`)."""
    return _read_host(text) if len(text) <= _MAX_HOST else None


@lru_cache(maxsize=_CACHED)
def _read_host(text: str) -> Domain | None:
    if is_ip_literal(text) or not _SPECIALS.isdisjoint(text):
        return None
    if not text.isascii():
        domain = parse_domain(text)
    else:
        try:
            domain = Domain(text.lower().removesuffix("."))
        except ValueError:
            return None
    return domain if domain and "." in domain.name else None


def _fact(identity: Identity, outcome: Outcome) -> SpfFact:
    return SpfFact(outcome.result, identity.domain, identity.name, outcome.cause)
