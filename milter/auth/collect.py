"""The door of authentication: everything that can be proven about who sent a mail, in one frozen value.

Knows the order of the checks; must not know insurers. All names that are known from the start are asked for side by side
(`Resolver.prefetch`), then each check takes its answers; a missing answer is `temperror` and named in `doubts`.
"""

from __future__ import annotations

from milter.auth import arc, dkim, dmarc, spf
from milter.auth.canonical import Canonical
from milter.auth.resolver import Resolver
from milter.model.domain import Domain
from milter.model.evidence import ArcFact, AuthFacts, AuthResult, DkimFact, SpfFact
from milter.model.limits import Limits
from milter.model.mail import Mail
from milter.model.message import Message
from milter.text.domains import registrable


async def collect(mail: Mail, message: Message, resolver: Resolver, limits: Limits, *, seconds: float, now: float) -> AuthFacts:
    """Authenticate one mail. Never raises (but for cancellation).

    `seconds` is the time for all DNS answers together, `now` the time in seconds since 1970 (for expired signatures).
    """
    resolver = resolver.within(seconds)
    signatures = dkim.read_signatures(message, limits)
    asked = dkim.questions(signatures) + dmarc.questions(message.author)
    pair = spf.identities(mail)
    if mail.connection.client_ip is not None:
        asked += spf.questions(pair)
    resolver.prefetch(asked)
    canonical = Canonical(message)
    dkim_facts = await dkim.verify(signatures, canonical, message, resolver, now=now)
    spf_fact, helo_fact = await spf.check(mail, resolver, limits, pair)
    evaluation = await dmarc.evaluate(message.author, spf_fact, dkim_facts, resolver)
    arc_fact = await arc.validate(message, canonical, resolver, limits)
    proven = _proven(spf_fact, dkim_facts)
    doubts = _doubts(spf_fact, dkim_facts, evaluation, arc_fact)
    ignored = canonical.count("dkim-signature") - len(signatures)
    if ignored > 0:
        doubts += (f"dkim: {ignored} more signatures not verified",)
    return AuthFacts(
        spf=spf_fact,
        helo=helo_fact,
        dkim=dkim_facts,
        dmarc=evaluation.fact,
        arc=arc_fact,
        proven=proven,
        author_proven=evaluation.fact.result is AuthResult.PASS and any(_speaks_for_author(evaluation, domain) for domain in proven),
        doubts=doubts,
    )


def _proven(spf_fact: SpfFact, dkim_facts: tuple[DkimFact, ...]) -> tuple[Domain, ...]:
    """Domains that proved the content (DKIM) or the envelope sender (SPF), each once, DKIM first."""
    domains = [fact.domain for fact in dkim_facts if fact.result is AuthResult.PASS and fact.proves_content]
    if spf_fact.result is AuthResult.PASS:
        domains.append(spf_fact.domain)
    return tuple(dict.fromkeys(domain for domain in domains if domain))


def _speaks_for_author(evaluation: dmarc.Evaluation, domain: Domain) -> bool:
    """An aligned domain proves the author, unless their common organization is a public suffix.

    RFC 9989 takes every name below a suffix that publishes a record without `psd=y` for one organization; strangers
    share it, so only the author domain itself is proof there.
    """
    if domain not in evaluation.aligned:
        return False
    organization = evaluation.fact.org_domain
    return domain == evaluation.fact.author_domain or (organization is not None and registrable(organization) is not None)


def _doubts(spf_fact: SpfFact, dkim_facts: tuple[DkimFact, ...], evaluation: dmarc.Evaluation, arc_fact: ArcFact) -> tuple[str, ...]:
    """What is missing for a temporary reason, with its cause."""
    temporary = AuthResult.TEMPERROR
    if temporary not in [spf_fact.result, evaluation.fact.result, arc_fact.result, *[fact.result for fact in dkim_facts]]:
        return ()
    results = [("spf", spf_fact.result, spf_fact.cause)]
    results += [("dkim", fact.result, f"{fact.domain}: {fact.cause}") for fact in dkim_facts]
    results += [("dmarc", evaluation.fact.result, evaluation.fact.reason.replace("_", " ")), ("arc", arc_fact.result, arc_fact.cause)]
    return tuple(f"{method}: {cause}" for method, result, cause in results if result is temporary)
