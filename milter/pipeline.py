"""The one road: a mail goes in, a Decision comes out. The SMTP proxy, a milter and `scan` all call `judge`.

Must not know SMTP. Holds the one place that catches "we broke" (promise 3): what the world does is evidence,
so an exception here is our own bug, and `on_failure` says what becomes of the mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal

from milter.actions import headers
from milter.auth import collect as auth_collect
from milter.auth.asked_resolver import Answerer, AskedResolver, NobodyAsks
from milter.auth.resolver import Resolver
from milter.content import collect as content_collect
from milter.engine import decide, evaluate
from milter.engine.policy import Policy
from milter.errors import SandboxError
from milter.identity import collect as identity_collect
from milter.identity.registry import Registry
from milter.mime import fields, message
from milter.model import plain
from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, Claim, Evidence
from milter.model.limits import Limits
from milter.model.mail import Envelope, Mail
from milter.model.message import Message
from milter.model.sandbox import Ask, Sandbox, Tasks
from milter.model.verdict import Action, Decision, Verdict, VerdictKind
from milter.ruleset.index import RuleSet
from milter.text.domains import parse_domain, same_organization

Broke = Callable[[Mail, BaseException], None]
_TASK = "judge"
_CPU_SECONDS = 10.0  # for judging in the sandbox, beside what the DNS may take
_FIRST_MAIL = b"From: Anna <anna@a.example>\r\nSubject: =?utf-8?q?a?=\r\nContent-Type: text/html\r\n\r\n<a href=http://a.example>a</a>\r\n"


@dataclass(frozen=True, slots=True)
class Kit:
    """Everything that judging needs; filled by `app`, swapped as a whole.

    `authserv_id` is our name in Authentication-Results; `broke` is told of our own bugs (log and counter); `sets` names the registry, rules and
    policy in short hashes, for the log.
    """

    resolver: Resolver
    registry: Registry
    ruleset: RuleSet
    policy: Policy
    authserv_id: str
    broke: Broke
    limits: Limits = field(default_factory=Limits)
    on_failure: Literal["pass", "defer"] = "pass"
    judge_seconds: float = 20.0
    clock: Callable[[], float] = time.time
    sets: str = ""
    sandbox: Sandbox | None = None


async def judge(mail: Mail, kit: Kit) -> Decision:
    """Judge one mail. Never raises (but for cancellation).

    With a sandbox, a mail larger than `limits.large_octets` is judged in it, by the same steps, so that nobody else waits for it.
    """
    try:
        if kit.sandbox is not None and len(mail.raw) > kit.limits.large_octets:
            return await _judge_apart(mail, kit, kit.sandbox)
        return await _judge(mail, kit)
    except Exception as bug:  # the one place: promise 3
        kit.broke(mail, bug)
        why = bug.reason if isinstance(bug, SandboxError) else type(bug).__name__
        return unjudged(mail, kit, why, Action.DEFER if kit.on_failure == "defer" else Action.PASS)


def unjudged(mail: Mail, kit: Kit, why: str, action: Action = Action.PASS) -> Decision:
    """The decision for a mail that is not judged; its header says `unscanned` and `why`."""
    blank = Decision(action, action, Verdict(VerdictKind.NONE), unscanned=why)
    return headers.with_unscanned_edits(mail, blank, kit.authserv_id)


async def _judge(mail: Mail, kit: Kit) -> Decision:
    began = perf_counter()
    read = message.parse(mail.raw, kit.limits)
    read_at = perf_counter()
    auth = await auth_collect.collect(mail, _as_signed(mail, read, kit.limits), kit.resolver, kit.limits, seconds=kit.judge_seconds, now=kit.clock())
    proven_at = perf_counter()
    claims = identity_collect.collect(read, mail.envelope, kit.registry, kit.limits)
    claimed_at = perf_counter()
    evidence = _together(read, mail.envelope, auth, claims, kit.registry, kit.limits)
    verdict = evaluate.evaluate(evidence, kit.ruleset, kit.registry, kit.policy)
    decision = decide.decide(verdict, evidence, kit.policy, mail.envelope.rcpt_to)
    decision = headers.with_edits(mail, read, decision, kit.registry, kit.policy, kit.authserv_id)
    times = (read_at - began, proven_at - read_at, claimed_at - proven_at, perf_counter() - claimed_at)  # as `STAGES`
    return decision.judged(times, kit.sets)


async def _judge_apart(mail: Mail, kit: Kit, sandbox: Sandbox) -> Decision:
    """The decision that the inner side came to. Its octets are hostile: what they hold is a Decision, and no more is believed of it."""
    octets = (mail.raw,) if mail.received is None else (mail.raw, mail.received)
    answerer = Answerer(kit.resolver, kit.judge_seconds)
    seconds = kit.judge_seconds + _CPU_SECONDS
    result = await sandbox.run(_TASK, plain.dump(replace(mail, raw=b"", received=None)), octets, seconds=seconds, answer=answerer.answer)
    try:
        return plain.load(Decision, result)
    except ValueError as wrong:
        raise SandboxError("killed-nonsense", str(wrong)) from None


def tasks(kit: Kit) -> Tasks:
    """What a sandbox must be able to run for `judge`. Of `kit` it uses all but resolver and sandbox. What judging loads late is loaded now."""

    def judge_inside(request: bytes, octets: tuple[bytes, ...], ask: Ask) -> bytes:
        mail = replace(plain.load(Mail, request), raw=octets[0], received=octets[1] if len(octets) > 1 else None)
        return plain.dump(_run(_judge(mail, replace(kit, resolver=AskedResolver(ask), sandbox=None))))

    _run(_judge(Mail(_FIRST_MAIL), replace(kit, resolver=NobodyAsks(), sandbox=None)))
    return {_TASK: judge_inside}


def _run(judging: Coroutine[None, None, Decision]) -> Decision:
    """Run to the end what never suspends."""
    try:
        judging.send(None)
    except StopIteration as done:
        decision: Decision = done.value
        return decision
    raise RuntimeError("judging waited inside the sandbox")


def _as_signed(mail: Mail, read: Message, limits: Limits) -> Message:
    """The reading whose octets signatures cover. Author and words stay those of the mail as it is delivered."""
    if mail.received is None:
        return read
    header = fields.scan(mail.received, limits)
    return replace(read, raw=mail.received, fields=header.fields, body_start=header.body_start)


def gather(read: Message, envelope: Envelope, auth: AuthFacts, registry: Registry, limits: Limits, *, unclaimed: bool = False) -> Evidence:
    """All that is known of one mail, the halves side by side.

    Also the way on which `proving` runs the examples of rules: `unclaimed` reads what a mail wants although it claims nothing.
    """
    claims = identity_collect.collect(read, envelope, registry, limits)
    return _together(read, envelope, auth, claims, registry, limits, unclaimed=unclaimed)


def _together(
    read: Message, envelope: Envelope, auth: AuthFacts, claims: tuple[Claim, ...], registry: Registry, limits: Limits, *, unclaimed: bool = False
) -> Evidence:
    return Evidence(
        auth=auth,
        claims=claims,
        content=content_collect.collect(read, registry, limits, claimed=unclaimed or bool(claims)),
        author_kind=read.author.kind,
        author_domain=read.author.domain,
        author_display=read.author.address.name if read.author.address else "",
        is_internal=_is_internal(read.author.domain, envelope.rcpt_to),
        is_list=read.is_list,
        is_auto=read.is_auto,
        defects=read.defects,
        incomplete=read.incomplete,
    )


def _is_internal(author: Domain | None, recipients: tuple[str, ...]) -> bool:
    domains = {parse_domain(address.rpartition("@")[2]) for address in recipients}
    return author is not None and bool(domains) and all(domain and same_organization(author, domain) for domain in domains)
