"""A next hop that fails at random: 2,000 mails, each tried up to three times as a mail server does, with quarantine and refusals among them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from milter.actions.transaction import NO_ANSWER, Deadlines
from milter.errors import QuarantineError
from milter.fronts.smtp_contract import MailRecord
from milter.model.mail import Mail, Params
from milter.model.verdict import Action, Decision
from milter.quarantine.store import Store
from tests.helpers import held
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import Stand, decision, stand
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
MAILS = 2_000
TRIES = 3
CLIENTS = 8
PATIENCE = Deadlines(connect=0.5, command=0.5, final=0.5, step=2.0)
RATE = {"greeting": 0.03, "EHLO": 0.03, "MAIL": 0.05, "RCPT": 0.05, "DATA": 0.05, "content": 0.04, "dot": 0.08, "RSET": 0.05}
REFUSALS = ("450 4.2.0 Later", "451 4.3.0 Broken\n451 4.3.0 again", "550 5.7.1 No", "554-5.6.0 Bad\n554 5.6.0 mail", "421 4.3.2 Stopping")
NONSENSE = ("hello", "999 9.9.9 x", "354 Go on", "250-x\n251 y")
ATTEMPT = re.compile(rb"X-Attempt: (\d+)-(\d+)\r\n")
Attempt = tuple[int, int]


@dataclass
class FailingNextHop(FakeNextHop):
    """Fails at each step with a probability of its own: refuses, hangs, closes, talks nonsense. `done` counts what it did."""

    random: Random = field(default_factory=lambda: Random(SEED))
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.script["content"] = ""
        self._usual = self.offers

    def _next(self, step: str, usual: str) -> str:
        name = step.partition(" ")[0]
        self._said = "" if name == "content" else usual
        if name == "greeting":
            self.offers = self._usual if self.random.random() < 0.7 else ("8BITMIME",)
        if self.random.random() < RATE.get(name, 0):
            kind = self.random.choice(["hang", "close", "refuse", "refuse", "refuse", "nonsense"])
            self._said = kind
            if kind == "refuse":
                self._said = self.random.choice(REFUSALS)
            elif kind == "nonsense":
                # A 354 to DATA is no nonsense, and with a 2xx to the dot it would have the mail.
                usual_there = {"DATA": "3", "dot": "2"}.get(name, "none")
                self._said = self.random.choice([one for one in NONSENSE if not one.startswith(usual_there)])
            self.done[f"{kind} at {name}"] += 1
        elif name == "dot" and self.random.random() < 0.04:
            # It has the mail, and its answer is lost (RFC 1047): FakeNextHop keeps a mail when `_next` says 2xx, and does what `_said` says.
            self._said = self.random.choice(["hang", "close", "hello"])
            self.done["answer lost after dot"] += 1
            return usual
        return self._said

    async def _answer(self, step: str, writer: asyncio.StreamWriter) -> None:
        # Who refuses in the middle of a mail, or says 421, hangs up: to take the mail all the same would be its own lie.
        is_last = self._said.startswith("421") or (step == "content" and self._said != "")
        await super()._answer(step, writer)
        if is_last:
            self._said = "close"
            await super()._answer(step, writer)


@dataclass
class Ledger:
    """What became of each attempt: what the client heard, the queue id under which it was judged, whether it was held, for whom it was meant."""

    heard: dict[Attempt, str] = field(default_factory=dict)
    recipients: dict[Attempt, list[str]] = field(default_factory=dict)
    queue_ids: dict[Attempt, str] = field(default_factory=dict)
    held: dict[Attempt, str] = field(default_factory=dict)
    delivered: dict[Attempt, list[list[str]]] = field(default_factory=dict)


def attempt_of(octets: bytes) -> Attempt:
    """The attempt that a mail names in its header."""
    found = ATTEMPT.search(octets)
    assert found is not None
    return int(found[1]), int(found[2])


def wanted(number: int) -> Action:
    """What is decided about a mail."""
    return {0: Action.QUARANTINE, 1: Action.QUARANTINE, 2: Action.REJECT, 3: Action.DEFER}.get(number % 16, Action.PASS)


async def send(built: Stand, attempt: Attempt, random: Random, ledger: Ledger) -> None:
    """One attempt on a connection of its own: what was heard last, and the recipients that were taken."""
    size = random.choice([10, 10, 10, 3_000, 3_000, 400_000 if random.random() < 0.2 else 10])
    content = b"X-Attempt: %d-%d\r\nSubject: x\r\n\r\n" % attempt + b"some words of a mail\r\n" * (size // 20)
    taken: list[str] = []
    ledger.recipients[attempt] = taken
    async with built.client() as client:
        await client.say("EHLO client.example")
        said = await client.say("MAIL FROM:<alice@a.example>")
        if said.startswith("250"):
            for name in ("bob", "carol", "dave")[: random.randrange(1, 4)]:
                said = await client.say(f"RCPT TO:<{name}@b.example>")
                if said.startswith("250"):
                    taken.append(f"{name}@b.example")
            said = await client.say("DATA")
            if said.startswith("354"):
                said = await client.say_octets(content + b".\r\n")
        ledger.heard[attempt] = said


async def client(built: Stand, numbers: range, ledger: Ledger) -> None:
    """A mail server: what got a 4xx, or no answer, is tried again."""
    for number in numbers:
        random = Random(SEED + number)
        for turn in range(TRIES):
            await send(built, (number, turn), random, ledger)
            if not ledger.heard[number, turn].startswith("4"):
                break


def equip(built: Stand, store: Store, ledger: Ledger) -> None:
    """Give the proxy its judge, a quarantine on the disk that fails at times, and queue ids that tell attempts apart."""
    random = Random(SEED)

    async def judge(mail: Mail) -> Decision:
        attempt = attempt_of(mail.raw)
        assert attempt not in ledger.queue_ids, "one attempt, one mail"
        ledger.queue_ids[attempt] = mail.queue_id
        return decision(wanted(attempt[0]))

    async def hold(mail: Mail, decided: Decision, content: bytes, params: Params) -> str:
        if random.random() < 0.2:
            raise QuarantineError("no room")
        name = await store.add(mail, held.decision())
        ledger.held[attempt_of(mail.raw)] = name
        return name

    ids = iter(range(10**9))
    built.decide = judge
    built.proxy._quarantine = hold
    built.proxy._new_id = lambda: f"Q{next(ids)}"


async def test_a_next_hop_that_fails_at_random(tmp_path: Path, report: Report) -> None:
    """A 250 means delivered once or held; after a failure reply none is, but where the answer to the final dot was lost, as the journal says."""
    next_hop = FailingNextHop()
    ledger = Ledger()
    async with await Store.open(tmp_path / "quarantine") as store, stand(next_hop, deadlines=PATIENCE, probe=False) as built:
        equip(built, store, ledger)
        share = MAILS // CLIENTS
        await asyncio.gather(*(client(built, range(share * n, share * (n + 1)), ledger) for n in range(CLIENTS)))
        assert not built.bugs
        for mail in next_hop.mails:
            ledger.delivered.setdefault(attempt_of(mail.content), []).append(mail.recipients)
        for attempt, name in ledger.held.items():
            assert attempt_of(await store.octets(name, who="test")) == attempt
        records = {record.queue_id: record for record in built.records}
    for attempt, said in ledger.heard.items():
        check(attempt, said, ledger, records.get(ledger.queue_ids.get(attempt, "")))
    report(counts(ledger, next_hop))


def check(attempt: Attempt, said: str, ledger: Ledger, record: MailRecord | None) -> None:
    """Hold one attempt to promise 2."""
    delivered = ledger.delivered.get(attempt, [])
    assert len(delivered) <= 1, f"{attempt} was delivered twice"
    assert said[:1] in ("2", "4", "5"), f"{attempt} got no answer: {said!r}"
    if record is not None:
        assert record.code == int(said[:3]), "the journal says what the client heard"
    if attempt in ledger.held:
        assert said.startswith("250 2.0.0 Ok: held in quarantine as ")
        assert not delivered
    elif said.startswith("2"):
        assert wanted(attempt[0]) is Action.PASS
        assert delivered == [ledger.recipients[attempt]], f"{attempt} was promised and is not there"
    elif delivered:
        assert record is not None
        assert record.cause.startswith(NO_ANSWER), f"{attempt} was delivered after {said!r}: {record}"
        assert said.startswith("451 ")


def counts(ledger: Ledger, next_hop: FailingNextHop) -> Counter[str]:
    """What is printed. A mail is found double when two of its attempts were delivered."""
    codes = Counter(said[:3] for said in ledger.heard.values())
    found = Counter(number for number, _ in ledger.delivered)
    doubtful = [attempt for attempt in ledger.delivered if not ledger.heard[attempt].startswith("2")]
    doubles = {number for number, count in found.items() if count > 1}
    assert doubles <= {number for number, _ in doubtful}, "a double without a lost answer"
    count = Counter(mails=MAILS, attempts=len(ledger.heard))
    count["answers 250"] = codes["250"]
    count["mails found"] = len(found)
    count["held"] = len(ledger.held)
    count["doubles, each by an answer lost after the final dot"] = len(doubles)
    count["delivered though the answer was lost (451, RFC 1047)"] = len(doubtful)
    count["faults of the next hop"] = next_hop.done.total()
    count["kinds of faults"] = len(next_hop.done)
    assert codes["250"] == len(ledger.held) + len(ledger.delivered) - len(doubtful)
    assert min(codes["250"], next_hop.done.total()) >= 500
    assert len(doubtful) > 10, "the hardest case must be among them"
    return count
