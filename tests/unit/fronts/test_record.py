"""The one door into the log: which keys a mail's line has, and that nothing personal comes through, whatever the mail holds."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from milter import app, pipeline
from milter.adapters import log, log_terminal
from milter.adapters.metrics import Metrics
from milter.auth.resolver import Answer
from milter.fronts import record, smtp_contract, watch_reference
from milter.fronts.smtp_contract import MailRecord
from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from milter.model.mail import Connection, Envelope, Mail
from milter.model.reply import Reply, reply
from milter.model.verdict import STAGES, Action, Decision, Finding, Verdict, VerdictKind
from milter.settings.model import Settings
from tests.helpers import canaries
from tests.helpers.dns import DictResolver

SETTINGS = Settings(hostname="mx.recipient.example", policy="tag", registry=("example",))
ROOT = Path(__file__).resolve().parents[3]
SENDER, OTHER = Domain("sender.example"), Domain("other.example")
AUTH = AuthFacts(
    SpfFact(AuthResult.PASS, SENDER),
    SpfFact(AuthResult.NONE, None),
    (
        DkimFact(AuthResult.FAIL, OTHER),
        DkimFact(AuthResult.PASS, SENDER, proves_content=True),
        DkimFact(AuthResult.PASS, SENDER, proves_content=True),
    ),
    DmarcFact(AuthResult.PASS, SENDER),
)
VERDICT = Verdict(VerdictKind.SUSPECT, "mutuelle-lavande", "Mutuelle Lavande", 6.504, (Finding("rule-a", 4.0, {"fr": "x"}),))
DECISION = Decision(
    Action.TAG,
    Action.QUARANTINE,
    VERDICT,
    AUTH,
    incomplete=("too many links", "dkim: jean.example: timeout", "dkim: other.example: timeout"),
    times=(0.001, 0.5, 0.002, 0.0031),
    sets="registry=1 rules=2 policy=3",
)
MAIL = Mail(b"x" * 10, Connection("192.0.2.1", helo="h.example"), Envelope("jean.dupont@sender.example", ("anne@b.example", "luc@b.example")), "ID1")


def test_the_line_of_a_mail() -> None:
    """Every key, in the documented order, with the values that an operator asks for."""
    said = Reply(250, ("2.0.0 Ok: queued as 4Z1kYq0bJ1z3Xw",))
    times = [("receive", 0.01), ("deliver", 0.02), ("total", 0.5361)]
    made = record.of_mail(MAIL, peer="127.0.0.1", answer=said, hop=said, decision=DECISION, times=times, in_doubt=True, quarantine_id="q", cause="c")
    full = dataclasses.replace(made, unscanned="paused")
    assert full.line() == {
        "queue_id": "ID1",
        "client": "192.0.2.1",
        "peer": "127.0.0.1",
        "sender": "j…@sender.example",
        "to": ("a…@b.example", "l…@b.example"),
        "recipients": 2,
        "octets": 10,
        "spf": "pass",
        "spf_domain": "sender.example",
        "dkim": "pass",
        "dkim_domains": ("sender.example",),
        "dmarc": "pass",
        "author_domain": "sender.example",
        "verdict": "suspect",
        "insurer": "mutuelle-lavande",
        "score": 6.5,
        "rules": ("rule-a",),
        "action": "tag",
        "would": "quarantine",
        "incomplete": ("too many links", "dkim"),
        "unscanned": "paused",
        "code": 250,
        "next_hop": "250 2.0.0 Ok: queued as …",
        "next_hop_id": "4Z1kYq0bJ1z3Xw",
        "in_doubt": True,
        "quarantine_id": "q",
        "cause": "c",
        "sets": "registry=1 rules=2 policy=3",
        "ms": {"mime": 1.0, "auth": 500.0, "identity": 2.0, "engine": 3.1, "receive": 10.0, "deliver": 20.0, "total": 536.1},
    }
    assert list(full.line()) == [field.name for field in dataclasses.fields(MailRecord)]


def test_empty_keys_are_left_out() -> None:
    """A mail that was given up says only what there is."""
    assert record.of_mail(Mail(b"", queue_id="ID2"), cause="gone").line() == {"queue_id": "ID2", "cause": "gone"}
    assert record.of_mail(MAIL, peer="192.0.2.1", answer=reply(451, "4.4.1", "Later")).line().keys() == {
        "queue_id",
        "client",
        "sender",
        "to",
        "recipients",
        "octets",
        "code",
    }


def test_every_key_is_documented() -> None:
    """The table of the reference page has each field of the record, in its order, with its sentence; so have the stages."""
    page = (ROOT / "docs/reference/log.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(MailRecord):
        assert f"| `{field.name}` |" in page
        assert f"| {field.metadata['doc']} |" in page
    for stage, meaning in smtp_contract.STAGES.items():
        assert f"| `{stage}` | {meaning} |" in page
    assert set(STAGES) < set(smtp_contract.STAGES)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((), ("none", ())),
        ((DkimFact(AuthResult.PASS, SENDER),), ("policy", ())),
        ((DkimFact(AuthResult.TEMPERROR, SENDER), DkimFact(AuthResult.FAIL, OTHER)), ("temperror", ())),
        ((DkimFact(AuthResult.FAIL, OTHER), DkimFact(AuthResult.PASS, OTHER, proves_content=True)), ("pass", ("other.example",))),
    ],
)
def test_all_signatures_have_one_result(facts: tuple[DkimFact, ...], expected: tuple[str, tuple[str, ...]]) -> None:
    """A signature that proves counts, whatever stands beside it; domains that prove nothing are not named."""
    made = record.of_mail(MAIL, decision=dataclasses.replace(DECISION, auth=dataclasses.replace(AUTH, dkim=facts)))
    assert (made.dkim, made.dkim_domains) == expected


def test_lists_are_short() -> None:
    """A mail with thousands of recipients, signatures and findings has a short line, and the count of its recipients."""
    crowd = Mail(b"", envelope=Envelope("", tuple(f"r{number}@b.example" for number in range(5_000))))
    dkim = tuple(DkimFact(AuthResult.PASS, Domain(f"d{number}.example"), proves_content=True) for number in range(2_000))
    verdict = dataclasses.replace(VERDICT, findings=VERDICT.findings * 2_000)
    decision = dataclasses.replace(DECISION, auth=dataclasses.replace(AUTH, dkim=dkim), verdict=verdict, incomplete=("x",) * 9_000)
    made = record.of_mail(crowd, decision=decision)
    assert (made.recipients, len(made.to), len(made.dkim_domains), len(made.rules)) == (5_000, 20, 50, 50)
    assert len(log.line("mail", made.line())) < 5_000


def test_addresses_are_whole_where_the_settings_say_so() -> None:
    """`log.addresses: full` shows them, and the next hop's reply as it is; still one printable line."""
    said = Reply(550, ("5.1.1 <jean.dupont@sender.example>: no\udcff\x1b",))
    made = record.of_mail(MAIL, hop=said, answer=said, addresses="full")
    assert (made.sender, made.to[0], made.next_hop) == (
        "jean.dupont@sender.example",
        "anne@b.example",
        "550 5.1.1 <jean.dupont@sender.example>: no??",
    )


class Quoting(DictResolver):
    """A DNS that repeats what it is asked: a policy that looks the local part up, and servers that fail for it."""

    async def query(self, name: str, kind: str) -> Answer:
        """SPF that asks for the local part; everything else fails."""
        self.zone = DictResolver({"canari-un.example": {"TXT": ["v=spf1 exists:%{l}.%{h}.canari-un.example -all"]}}).zone
        if name != "canari-un.example":
            self.zone = DictResolver({name: "SERVFAIL"}).zone
        return await super().query(name, kind)


def lines(mail: Mail, decision: Decision | None, said: Reply, metrics: Metrics) -> list[bytes]:
    """All that is written about a mail when the next hop says this."""
    made = record.of_mail(mail, answer=said, hop=said, decision=decision, peer="127.0.0.1", times=[("deliver", 0.1)])
    octets = log.line("mail", made.line())
    event: dict[str, Any] = json.loads(octets)
    metrics.observe(event)
    return [octets, log_terminal.show(event).encode()]


async def test_no_personal_data_of_hostile_mails_is_logged_or_counted() -> None:
    """Mails full of marked data in every spelling, a DNS and a next hop that quote it: log, terminal and metrics hold none of it."""
    bugs: list[BaseException] = []
    kit = app.build_kit(SETTINGS, app.load_parts(SETTINGS), Quoting(), lambda _, bug: bugs.append(bug))
    metrics = Metrics()
    written: list[bytes] = []
    for sender, recipients, octets in canaries.mails():
        mail = Mail(octets, Connection("192.0.2.1", helo=canaries.NIR.text), Envelope(sender, recipients), "ID1")
        decision = await pipeline.judge(mail, kit)
        said = octets[:300].decode("utf-8", "surrogateescape").replace("\r", " ").replace("\n", " ")
        written += lines(mail, decision, Reply(550, (f"5.7.1 {said}",)), metrics)
        written += lines(mail, None, Reply(250, (f"2.0.0 Ok: queued as {said}", said)), metrics)
    assert bugs == []
    assert len(written) > 100
    assert canaries.find(b"\n".join(written)) == []
    assert canaries.find(metrics.text()) == []


@pytest.mark.parametrize("part", ["verdict", "insurer", "action", "would", "unscanned", "code", "next_hop", "reload", "dns", "ms"])
def test_no_label_holds_text_of_a_mail(part: str) -> None:
    """Even an event that is full of it changes no name of a series."""
    metrics = Metrics(["mutuelle-lavande"])
    before = {line.rpartition(b" ")[0] for line in metrics.text().splitlines()}
    for canary in canaries.ALL:
        text = canary.text
        metrics.observe({"event": "mail", "action": "tag", "verdict": "suspect", "insurer": "mutuelle-lavande", part: text})
        metrics.observe({"event": "mail", part: {text: text}})
        metrics.observe({"event": "reload", "result": text})
        metrics.observe({"event": text})
        metrics.observe({"event": "counts", "pid": text, "dns": {"asked": {text: 5}}})
    assert canaries.find(metrics.text()) == []
    new = {line.rpartition(b" ")[0] for line in metrics.text().splitlines()} - before
    assert all(b"other" in name or b"mutuelle-lavande" in name for name in new), new


def test_every_event_is_documented() -> None:
    """Each name under which the program logs stands in the reference, and no other."""
    found = {"limit", "answer lost"}  # written through a variable
    for path in Path("milter").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        logged = [call for call in calls if ast.unparse(call.func).endswith(("logger.info", "logger.warning", "logger.error", "._event"))]
        found |= {str(call.args[0].value) for call in logged if call.args and isinstance(call.args[0], ast.Constant)}
    assert found == set(watch_reference._EVENTS)
