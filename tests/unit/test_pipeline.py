"""The one road: what becomes of a mail when we break, and which octets are judged."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from milter import app, pipeline
from milter.actions import edits
from milter.auth.resolver import Answer
from milter.fronts.line_ends import normalise
from milter.model.evidence import AuthResult
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action
from milter.settings.model import Settings
from tests.helpers.authentication import key_record, rsa_key, signed
from tests.helpers.dns import DictResolver

SETTINGS = Settings(hostname="mx.recipient.test", policy="quarantine", registry=("example",))
RAW = b"From: Anna <anna@colleague.test>\r\nSubject: lunch\r\nX-Insurer-Milter: action=pass; forged\r\n\r\nAt noon?\r\n"


class Broken(DictResolver):
    """A resolver with a bug of ours: it raises where the protocol promises an answer."""

    def __init__(self, bug: BaseException) -> None:
        super().__init__()
        self.bug = bug

    async def query(self, name: str, kind: str) -> Answer:
        """Raise."""
        raise self.bug


def kit(resolver: DictResolver, bugs: list[BaseException]) -> pipeline.Kit:
    """A kit of the shipped rules and the example registry."""
    return app.build_kit(SETTINGS, app.load_parts(SETTINGS), resolver, lambda mail, bug: bugs.append(bug))


async def test_a_bug_of_ours_passes_the_mail_unscanned() -> None:
    """By default the mail passes; its header says that nobody judged it, and the sender's forged copy is gone."""
    bugs: list[BaseException] = []
    mail = Mail(RAW, Connection(client_ip="192.0.2.1", helo="h.test"), Envelope("anna@colleague.test", ("bob@recipient.test",)))
    decision = await pipeline.judge(mail, kit(Broken(RuntimeError("secret of anna@colleague.test")), bugs))
    assert (decision.action, decision.unscanned) == (Action.PASS, "RuntimeError")
    assert [type(bug) for bug in bugs] == [RuntimeError]
    octets = edits.carry_out(RAW, decision.edits)
    assert b"unscanned=RuntimeError" in octets
    assert b"forged" not in octets
    assert b"secret" not in octets
    assert octets.endswith(b"\r\n\r\nAt noon?\r\n")


async def test_a_bug_of_ours_defers_where_the_settings_say_so() -> None:
    """With `on_failure: defer` the sender keeps the mail."""
    bugs: list[BaseException] = []
    deferring = dataclasses.replace(kit(Broken(KeyError("x")), bugs), on_failure="defer")
    mail = Mail(RAW, Connection(client_ip="192.0.2.1", helo="h.test"), Envelope("anna@colleague.test"))
    assert (await pipeline.judge(mail, deferring)).action is Action.DEFER
    assert len(bugs) == 1


async def test_cancellation_is_no_bug() -> None:
    """Whoever gives up on a judgement may do so: nothing is caught and nothing is told."""
    bugs: list[BaseException] = []
    mail = Mail(RAW, Connection(client_ip="192.0.2.1", helo="h.test"), Envelope("anna@colleague.test"))
    with pytest.raises(asyncio.CancelledError):
        await pipeline.judge(mail, kit(Broken(asyncio.CancelledError()), bugs))
    assert not bugs


async def test_signatures_are_checked_on_the_octets_as_received() -> None:
    """A mail signed with a bare CR in its body stays authenticated though its line ends were made proper."""
    raw = b"From: Anna <anna@colleague.test>\r\nSubject: lunch\r\n\r\nAt\rnoon?\r\n"
    received = signed(raw, domain="colleague.test", body="simple", names=("from", "subject"))
    resolver = DictResolver({"s1._domainkey.colleague.test": {"TXT": [key_record(rsa_key())]}})
    proper = normalise(received)
    assert proper != received
    results = []
    for mail in (Mail(proper, received=received), Mail(proper)):
        decision = await pipeline.judge(mail, kit(resolver, []))
        assert decision.auth is not None
        results.append(decision.auth.dkim[0].result)
    assert results == [AuthResult.PASS, AuthResult.FAIL]


async def test_what_is_judged_is_what_is_delivered() -> None:
    """Line ends that become a header section only when they are made proper hide nothing from the rules."""
    received = b"From: a@writer.test\r\n\r\r\nSubject: x\r\n\r\nWrite to Mutuelle Lavande\n"
    proper = normalise(received)
    decision = await pipeline.judge(Mail(proper, received=received), kit(DictResolver(), []))
    alone = await pipeline.judge(Mail(proper), kit(DictResolver(), []))
    assert (decision.verdict, decision.subject) == (alone.verdict, alone.subject)
