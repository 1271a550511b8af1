"""Large mails are judged in a child, with the decision that the worker would have come to, and without it when the child fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from milter import app, pipeline
from milter.actions import edits
from milter.adapters.sandbox import Pool
from milter.errors import SandboxError
from milter.fronts.line_ends import normalise
from milter.model import plain
from milter.model.limits import Limits
from milter.model.mail import Connection, Envelope, Mail
from milter.model.sandbox import Answer
from milter.model.verdict import Action, Decision, VerdictKind
from milter.settings.model import Settings
from tests.helpers.authentication import key_record, rsa_key, signed
from tests.helpers.dns import DictResolver

SETTINGS = Settings(hostname="mx.recipient.test", policy="quarantine", registry=("example",), limits=Limits(large_octets=20_000))
ZONE = DictResolver(
    {
        "s1._domainkey.colleague.test": {"TXT": [key_record(rsa_key())]},
        "colleague.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
        "dead.test": "SERVFAIL",
    }
).zone


@cache
def parts() -> app.Parts:
    """Loaded once."""
    return app.load_parts(SETTINGS)


LONG = b"Some  words of a long letter.\r\n" * 2_000


def letter(sender: bytes, body: bytes = LONG) -> bytes:
    """A mail that is large by the settings here."""
    return b"From: " + sender + b"\r\nSubject: lunch\r\nX-Insurer-Milter: action=pass; forged\r\n\r\n" + body


def mail(raw: bytes, received: bytes | None = None) -> Mail:
    """With a client and an envelope."""
    return Mail(raw, Connection("192.0.2.1", "", "h.test"), Envelope("anna@colleague.test", ("bob@recipient.test",)), "Q1", received)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """The children that the application makes."""
    made = app.build_sandbox(SETTINGS, parts())
    made.start()
    yield made
    made.close()


def both_kits(bugs: list[BaseException]) -> tuple[pipeline.Kit, DictResolver]:
    """A kit without a sandbox, and its resolver."""
    resolver = DictResolver(ZONE)
    return app.build_kit(SETTINGS, parts(), resolver, lambda mail, bug: bugs.append(bug)), resolver


BARE = signed(letter(b"Anna <anna@colleague.test>", LONG + b"a\rb\r\n"), domain="colleague.test", body="simple", names=("from", "subject"))


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(mail(signed(letter(b"Anna <anna@colleague.test>"), domain="colleague.test", names=("from", "subject"))), id="signed"),
        pytest.param(mail(normalise(BARE), BARE), id="with-other-line-ends"),
        pytest.param(mail(letter(b"Mutuelle Exemplaire <x@dead.test>")), id="dns-trouble"),
        pytest.param(mail(letter(b"\xff\xfe <@>, \x00", b"\xff" * 50_000)), id="hostile"),
    ],
)
async def test_the_decision_is_the_same_inside(one: Mail, pool: Pool) -> None:
    """Same action, evidence, edits and sentences; the same questions reach the same resolver."""
    bugs: list[BaseException] = []
    kit, here = both_kits(bugs)
    expected = await pipeline.judge(one, kit)
    other, there = both_kits(bugs)
    found = await pipeline.judge(one, dataclasses.replace(other, sandbox=pool))
    assert dataclasses.replace(found, times=()) == dataclasses.replace(expected, times=())
    assert len(found.times) == len(expected.times)
    assert there.calls == here.calls
    assert not bugs
    assert b"forged" not in edits.carry_out(one.raw, found.edits)


class Refuses:
    """A sandbox that gives no result, or a wrong one."""

    def __init__(self, result: bytes | SandboxError) -> None:
        self.result = result
        self.jobs = 0

    async def run(self, task: str, request: bytes, octets: Sequence[bytes] = (), *, seconds: float, answer: Answer) -> bytes:
        """As told."""
        self.jobs += 1
        if isinstance(self.result, SandboxError):
            raise self.result
        return self.result


@pytest.mark.parametrize("on_failure", ["pass", "defer"])
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (SandboxError("killed-deadline", "no result in 30 s"), "killed-deadline"),
        (SandboxError("killed-memory"), "killed-memory"),
        (b"\x80\x04N.", "killed-nonsense"),
        (plain.dump(Envelope("", ())), "killed-nonsense"),
    ],
)
async def test_without_a_result_the_mail_is_unscanned(result: bytes | SandboxError, reason: str, on_failure: str) -> None:
    """It passes with the reason in its header and without the sender's forged copy, or is deferred, as the settings say."""
    bugs: list[BaseException] = []
    kit, _ = both_kits(bugs)
    kit = dataclasses.replace(kit, sandbox=Refuses(result), on_failure="defer" if on_failure == "defer" else "pass")
    raw = letter(b"Anna <anna@colleague.test>")
    decision = await pipeline.judge(mail(raw), kit)
    assert (decision.action, decision.unscanned) == (Action.DEFER if on_failure == "defer" else Action.PASS, reason)
    assert [type(bug) for bug in bugs] == [SandboxError]
    octets = edits.carry_out(raw, decision.edits)
    assert b"unscanned=" + reason.encode() in octets
    assert b"forged" not in octets
    assert octets.endswith(LONG)


async def test_small_mails_are_judged_by_the_worker() -> None:
    """Nothing goes to the sandbox that is not larger than the limit."""
    bugs: list[BaseException] = []
    kit, _ = both_kits(bugs)
    sandbox = Refuses(b"")
    decision: Decision = await pipeline.judge(mail(letter(b"Anna <anna@colleague.test>", b"At noon?\r\n")), dataclasses.replace(kit, sandbox=sandbox))
    assert (sandbox.jobs, decision.verdict.kind, bugs) == (0, VerdictKind.NONE, [])
