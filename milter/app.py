"""Composition root: from the settings to the parts that judge, keep and deliver mail.

The only place that knows which adapter fulfils which protocol. Imported by `fronts` alone. Each function imports what it
needs when it is called, so that a command which only reads the registry starts without DNS, HTML and database libraries.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from milter.adapters import files
from milter.errors import FileError, Problem, SettingsError
from milter.settings import addresses, check
from milter.settings.model import Settings

if TYPE_CHECKING:
    from milter.actions.next_hop import NextHop
    from milter.adapters.dns_cache import CachingResolver
    from milter.adapters.sandbox import Pool
    from milter.auth.resolver import Resolver
    from milter.engine.policy import Policy
    from milter.identity.registry import Registry
    from milter.model.sandbox import Sandbox
    from milter.pipeline import Broke, Kit
    from milter.quarantine.store import Store
    from milter.ruleset.index import RuleSet

DEFAULT_POLICY = "observe"
SCAN_DEFAULTS = replace(Settings(), policy="quarantine")
OLD_LIST_DAYS = 180
SANDBOX_OCTETS, SANDBOX_COPIES, SANDBOX_SECONDS = 134_217_728, 8, 40  # a judgement holds its mail several times over

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force; `file` is where they come from, None for the defaults."""

    settings: Settings
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The files that one set comes from: `digest` is a short hash of their names and octets, `dated` when the youngest was changed."""

    kind: str
    files: int
    digest: str
    dated: datetime


@dataclass(frozen=True, slots=True)
class Parts:
    """What judging needs from files. Everything is immutable and may be shared by forked processes."""

    registry: Registry
    ruleset: RuleSet
    policy: Policy
    sources: tuple[Source, ...] = ()

    @property
    def sets(self) -> str:
        """The digests of the sets in force, for the log: `registry=… rules=… policy=…`."""
        return " ".join(f"{source.kind}={source.digest}" for source in self.sources)


def known(file: str) -> check.Known:
    """What a settings file may name: policies and registries that exist, and paths beside it."""
    return check.Known(files.names("policy"), files.names("registry"), folder=str(Path(file).absolute().parent))


def load_settings(path: str | None, *, default: Settings | None = None) -> Loaded:
    """Settings of `path`; without one `default`, or those of this machine. Raises SettingsError, OSError."""
    from milter.settings import load

    if path is None:
        if default is not None:
            return Loaded(default)
        site = files.site_settings()
        if site is None:
            return Loaded(Settings())
        path = str(site)
    return Loaded(load.load(files.read(path), path, known(path)), path)


def hostname(settings: Settings) -> str:
    """Our name in SMTP."""
    return settings.hostname or socket.gethostname() or "localhost"


def authserv_id(settings: Settings) -> str:
    """Our name in Authentication-Results."""
    return settings.authserv_id or hostname(settings)


def use_suffix_list(settings: Settings) -> None:
    """Hand the public suffix list in: the configured one, else the newer of the shipped and the system's. Raises SettingsError, OSError."""
    from milter.text import domains

    file = settings.public_suffix_list
    if file is None:
        shipped, system = files.shipped("config", "public_suffix_list.dat"), files.SYSTEM_SUFFIX_LIST
        file = str(max((path for path in (shipped, system) if path.is_file()), key=_list_version, default=shipped))
    try:
        domains.use_list(files.read(file).decode("utf-8"))
    except ValueError as wrong:
        raise SettingsError([_problem(file, f"not a public suffix list: {wrong}")]) from None


def _list_version(path: Path) -> str:
    with path.open("rb") as opened:
        return opened.read(2_000).decode("utf-8", "replace").partition("VERSION:")[2].strip()[:19]


def suffix_list_warning(today: date) -> str | None:
    """A sentence when the public suffix list in use is old or does not say how old it is."""
    from milter.text import domains

    version = domains.current_list().version[:10]
    try:
        age = (today - date.fromisoformat(version)).days
    except ValueError:
        return "the public suffix list does not say how old it is"
    return f"the public suffix list is {age} days old; an up-to-date one makes better judgements" if age > OLD_LIST_DAYS else None


def load_registry(settings: Settings) -> Registry:
    """The registries that the settings name. Raises RegistryError with all problems, OSError."""
    from milter.identity import registry_file

    use_suffix_list(settings)
    return registry_file.load([(str(path), files.read(path)) for path in registry_paths(settings)])


def registry_paths(settings: Settings) -> list[Path]:
    """The registry files that the settings name, each once. Raises SettingsError for an unknown name."""
    return list(dict.fromkeys(_named("registry", name) for name in settings.registry))


def load_policy(settings: Settings) -> Policy:
    """The policy that the settings name, `observe` without one. Raises PolicyError, SettingsError, OSError."""
    from milter.engine import policy

    path = _named("policy", settings.policy or DEFAULT_POLICY)
    return policy.load(files.read(path), str(path))


def load_ruleset(settings: Settings) -> RuleSet:
    """Shipped rules, the site's and those of the settings. Raises RuleError with all problems, OSError."""
    from milter.ruleset import rule_file

    return rule_file.load(files.rule_sources(files.rule_folders(settings.rules)))


def _named(kind: str, name: str) -> Path:
    if check.is_path(name):
        return Path(name)
    path = files.find(kind, name)
    if path is None:
        raise SettingsError([_problem(name, f"no such {kind}; known: {', '.join(files.names(kind))}")])
    return path


def _problem(file: str, message: str) -> Problem:
    return Problem(file, 0, 0, "", message)


def load_parts(settings: Settings) -> Parts:
    """Everything judging needs from files. Raises one FileError with the problems of all of them, OSError."""
    problems: list[Problem] = []

    def attempt(load: Callable[[Settings], T]) -> T | None:
        try:
            return load(settings)
        except FileError as wrong:
            problems.extend(wrong.problems)
            return None

    registry, ruleset, policy = attempt(load_registry), attempt(load_ruleset), attempt(load_policy)
    if registry is None or ruleset is None or policy is None:
        raise FileError(problems)
    return Parts(registry, ruleset, policy, tuple(_source(kind, paths) for kind, paths in source_paths(settings).items()))


def source_paths(settings: Settings) -> dict[str, list[Path]]:
    """The files that each set is read from, by its kind."""
    folders = files.rule_folders(settings.rules)
    return {
        "registry": registry_paths(settings),
        "rules": [path for folder in folders for path in sorted(folder.rglob("*.yml"))],
        "policy": [_named("policy", settings.policy or DEFAULT_POLICY)],
    }


def _source(kind: str, paths: list[Path]) -> Source:
    digest = hashlib.sha256()
    youngest = 0.0
    for path in paths:
        octets = files.read(path)
        digest.update(b"%s %d\n" % (path.name.encode("utf-8", "surrogateescape"), len(octets)) + octets)
        youngest = max(youngest, path.stat().st_mtime)
    return Source(kind, len(paths), digest.hexdigest()[:12], datetime.fromtimestamp(youngest, UTC))


def signature(loaded: Loaded) -> tuple[tuple[object, ...], ...]:
    """What changes when a file changes that the service was loaded from: compare two of them. Never raises."""
    found: list[tuple[object, ...]] = []
    with suppress(FileError, OSError):
        named = [Path(loaded.file)] if loaded.file else []
        named += [Path(loaded.settings.public_suffix_list)] if loaded.settings.public_suffix_list else []
        for path in (*named, *(path for paths in source_paths(loaded.settings).values() for path in paths)):
            with suppress(OSError):
                status = path.stat()
                found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def quarantine_folder(settings: Settings) -> Path:
    """Where the quarantine lies."""
    return Path(settings.data_dir) / "quarantine"


@asynccontextmanager
async def open_store(
    settings: Settings, event: Callable[[str, Mapping[str, object]], None] = lambda name, facts: None, *, heal: bool = True
) -> AsyncIterator[Store]:
    """The quarantine below `data_dir`, closed at the end. Raises QuarantineError, OSError when the folder cannot be used.

    `event` is told what belongs into the log (a damaged database that is kept aside, a schema brought forward), by name and facts without
    personal data. `heal`: a damaged database is kept aside and a new one made; without it, it is an error.
    """
    from milter.quarantine import care
    from milter.quarantine import files as quarantine_files
    from milter.quarantine.store import Store

    folder = quarantine_folder(settings)
    quarantine_files.make_folder(folder.parent)
    async with await Store.open(folder, quota=care.quota(settings.quarantine), event=event, heal=heal) as store:
        yield store


def build_next_hop(settings: Settings) -> NextHop:
    """The next hop, for the event loop that is going to use it."""
    from milter.actions.next_hop import NextHop
    from milter.actions.transaction import Deadlines

    end, most, usual = addresses.host_port(settings.smtp.next_hop), settings.smtp.next_hop_seconds, Deadlines()
    deadlines = Deadlines(min(usual.connect, most), min(usual.command, most), most)
    return NextHop(end.host, end.port, hostname(settings), deadlines=deadlines)


@asynccontextmanager
async def open_resolver(settings: Settings) -> AsyncIterator[CachingResolver]:
    """A caching resolver for this event loop, closed at the end; it asks the system's servers when the settings name none."""
    from milter.adapters import clock, dns, dns_cache

    texts = settings.dns.resolvers or files.system_resolvers()
    ends = [addresses.host_port(text, default_port=53) for text in texts]
    servers = tuple((end.host, end.port) for end in ends)
    udp = dns.UdpResolver(servers, timeout=settings.dns.timeout_seconds, max_records=settings.limits.dns_answers)
    cache = dns_cache.CachingResolver(udp, clock.monotonic)
    try:
        yield cache
    finally:
        await cache.close()


def build_sandbox(settings: Settings, parts: Parts) -> Pool:
    """Children of this process that judge large mails. `start` it before the event loop; not started it is of no use."""
    from milter import pipeline
    from milter.adapters import sandbox
    from milter.auth.asked_resolver import NobodyAsks

    kit = build_kit(settings, parts, NobodyAsks(), lambda mail, bug: None)
    memory = settings.sandbox.memory_octets or SANDBOX_OCTETS + SANDBOX_COPIES * settings.smtp.max_octets
    seconds = int(settings.judge_seconds) + SANDBOX_SECONDS
    return sandbox.Pool(pipeline.tasks(kit), size=settings.sandbox.children, memory_octets=memory, cpu_seconds=seconds)


def build_kit(settings: Settings, parts: Parts, resolver: Resolver, broke: Broke, sandbox: Sandbox | None = None) -> Kit:
    """What `pipeline.judge` needs. `broke` is told of our own bugs."""
    from milter.pipeline import Kit

    return Kit(
        resolver=resolver,
        registry=parts.registry,
        ruleset=parts.ruleset,
        policy=parts.policy,
        authserv_id=authserv_id(settings),
        broke=broke,
        limits=settings.limits,
        on_failure=settings.on_failure,
        judge_seconds=settings.judge_seconds,
        sets=parts.sets,
        sandbox=sandbox,
    )
