"""From a mail and what became of it to its `MailRecord`: what of them may be logged, and in which form.

The one door through which anything of a mail comes into the log (promise 6). Must not know how the log is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from milter.actions import plain_reply
from milter.fronts.smtp_contract import MailRecord
from milter.model.evidence import AuthFacts, AuthResult, DkimFact
from milter.model.mail import Mail
from milter.model.mask import masked, shown_domain
from milter.model.reply import Reply
from milter.model.verdict import STAGES, Decision

Addresses = Literal["masked", "full"]
MOST_RECIPIENTS = 20
MOST_WORDS = 50  # rules, domains and what was incomplete, each
_LONGEST = 320  # characters of an address, RFC 3696 and a bit
_REPLY = 400


def of_mail(
    mail: Mail,
    *,
    peer: str = "",
    answer: Reply | None = None,
    hop: Reply | None = None,
    decision: Decision | None = None,
    times: Sequence[tuple[str, float]] = (),
    cause: str = "",
    quarantine_id: str = "",
    in_doubt: bool = False,
    addresses: Addresses = "masked",
) -> MailRecord:
    """The record of one mail. `hop` is the next hop's own last reply, `times` seconds by stage beside those of the decision."""
    client, envelope = mail.connection.client_ip or "", mail.envelope
    show = masked if addresses == "masked" else _full
    verdict = decision.verdict if decision else None
    auth = decision.auth if decision else None
    dkim, dkim_domains = _dkim(auth.dkim) if auth else ("", ())
    said, hop_id = plain_reply.read(hop) if hop else ("", "")
    return MailRecord(
        mail.queue_id,
        client,
        "" if peer == client else peer,
        show(envelope.mail_from),
        tuple([show(one) for one in envelope.rcpt_to[:MOST_RECIPIENTS]]),
        len(envelope.rcpt_to),
        len(mail.raw),
        auth.spf.result.value if auth else "",
        shown_domain(auth.spf.domain.name) if auth and auth.spf.domain else "",
        dkim,
        dkim_domains,
        auth.dmarc.result.value if auth else "",
        _author(auth),
        verdict.kind.value if verdict else "",
        (verdict.insurer or "") if verdict else "",
        round(verdict.score, 2) if verdict else 0.0,
        tuple([finding.rule for finding in verdict.findings[:MOST_WORDS]]) if verdict else (),
        decision.action.value if decision else "",
        decision.would.value if decision else "",
        _fixed_words(decision.incomplete) if decision and decision.incomplete else (),
        decision.unscanned if decision else "",
        answer.code if answer else 0,
        said if hop is None or addresses == "masked" else _full(hop.text)[:_REPLY],
        hop_id,
        in_doubt,
        quarantine_id,
        cause,
        decision.sets if decision else "",
        _milliseconds(times, decision.times if decision else ()),
    )


def _full(address: str) -> str:
    return "".join([char if char.isprintable() else "?" for char in address[:_LONGEST]])


def _dkim(facts: tuple[DkimFact, ...]) -> tuple[str, tuple[str, ...]]:
    """The result of all signatures together, and the domains of those that prove the content."""
    if not facts:
        return "none", ()
    passed = [shown_domain(fact.domain.name) for fact in facts if fact.result is AuthResult.PASS and fact.proves_content and fact.domain]
    if passed:
        return "pass", tuple(dict.fromkeys(passed[:MOST_WORDS]))
    first = facts[0].result
    return (AuthResult.POLICY if first is AuthResult.PASS else first).value, ()  # RFC 8601 §2.4: valid, but not what we ask of one


def _author(auth: AuthFacts | None) -> str:
    domain = auth.dmarc.author_domain if auth else None
    return shown_domain(domain.name) if domain else ""


def _fixed_words(incomplete: tuple[str, ...]) -> tuple[str, ...]:
    """What was not looked at without its details: behind a colon stand names that the DNS was asked for, which hold the sender's text."""
    return tuple(dict.fromkeys([text.partition(":")[0] for text in incomplete[:MOST_WORDS]]))


def _milliseconds(times: Sequence[tuple[str, float]], judged: Sequence[float]) -> dict[str, float]:
    spent = {name: round(seconds * 1_000, 2) for name, seconds in zip(STAGES, judged, strict=False)}
    for name, seconds in times:
        spent[name] = round(seconds * 1_000, 2)
    return spent
