"""A thousand and more real mails travel Postfix → insurer-milter → Postfix and arrive as they would without us."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemons import trace
from tests.daemons.gateway import FlatDns, Gateway, serving
from tests.daemons.stand import CLIENT, Postfix, tail
from tests.helpers.corpus import MissingCorpusError, Sample, ham_messages, shared_messages
from tests.helpers.smtp_client import Outcome, SmtpClient

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(600)]

HAM = 5_000  # more than there is: all
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Corpus:
    """Mails to send; `missing` says what could not be had."""

    mails: tuple[Sample, ...]
    forbidden: tuple[Sample, ...]
    missing: tuple[str, ...]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The shared broken messages and a stretch of ham, whatever of both can be had."""
    mails: list[Sample] = []
    missing: list[str] = []
    for read in (shared_messages, lambda: ham_messages(HAM)):
        try:
            mails.extend(read())
        except MissingCorpusError as absent:
            missing.append(str(absent))
    if not mails:
        pytest.skip("; ".join(missing))
    return Corpus(tuple(one for one in mails if not one.is_forbidden), tuple(one for one in mails if one.is_forbidden), tuple(missing))


@pytest.fixture(scope="module")
def gate(postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway between `front` and `back`."""
    folder: Path = tmp_path_factory.mktemp("round-trip")
    with serving(folder, postfix.gateway, next_hop=postfix.back, dns=calm_dns.port) as gateway:
        yield gateway


async def send_all(port: int, mails: Sequence[Sample], prefix: str, *, source: str = CLIENT) -> list[Outcome]:
    """Send the mails over a few connections, each to a recipient of its own (`prefix` + number). Outcomes in order."""
    outcomes: dict[int, Outcome] = {}
    waiting = iter(enumerate(mails))

    async def work() -> None:
        client = await SmtpClient.connect(port, source=source)
        for number, mail in waiting:
            outcomes[number] = await client.send("sender@corpus.test", [f"{prefix}{number}@insured.example"], mail.raw)
            last = outcomes[number].final
            if last is not None and last.code == 0:
                client = await SmtpClient.connect(port, source=source)
        await client.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return [outcomes[number] for number in range(len(mails))]


async def test_every_mail_arrives_octet_for_octet_as_without_us(postfix: Postfix, gate: Gateway, corpus: Corpus, figures: list[str]) -> None:
    """Each mail of the corpus is delivered once, unflagged, and equals what Postfix alone delivers but for the trace fields."""
    control = await send_all(postfix.control, corpus.mails, "control-")
    filtered = await send_all(postfix.front, corpus.mails, "through-")
    refused = [f"{mail.name}: {got}" for mail, want, got in zip(corpus.mails, control, filtered, strict=True) if got.code != want.code]
    expected = sum(outcome.code == 250 for outcome in control)
    wanted = postfix.settle("control-", expected)
    arrived = postfix.settle("through-", expected)

    problems = list(refused)
    actions: Counter[str] = Counter()
    equal = 0
    for number, mail in enumerate(corpus.mails):
        want, got = wanted.get(f"control-{number}", []), arrived.get(f"through-{number}", [])
        if len(got) != len(want):
            problems.append(f"{mail.name}: delivered {len(got)} times, without us {len(want)}")
            continue
        for mine, plain in zip(map(trace.split, got), map(trace.split, want), strict=True):
            actions[mine.action] += 1
            if mine.action != "pass":
                problems.append(f"{mail.name}: action {mine.action!r} {mine.values('X-Insurer-Milter-Reason')}")
            if mine.mail == plain.mail:
                equal += 1
            else:
                problems.append(f"{mail.name}: {_difference(mine.mail, plain.mail)}")
    figures.append(
        f"round trip: {len(corpus.mails)} mails sent twice, {len(arrived)} delivered through us, {equal} octet for octet as without us; "
        f"actions {dict(actions)}; {len(corpus.forbidden)} with bare CR or NUL kept apart" + "".join(f"; left out: {one}" for one in corpus.missing)
    )
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:20]) + "\n" + tail([postfix.log, gate.log])
    assert expected >= 0.95 * len(corpus.mails), "the control run itself lost mails, so it proves nothing"
    assert len(corpus.mails) >= 1_000 or corpus.missing


async def test_bare_cr_and_nul_are_refused(postfix: Postfix, gate: Gateway, corpus: Corpus, figures: list[str]) -> None:
    """A mail with NUL, or with a CR that ends no line, gets 550 5.5.2 from us and is not delivered."""
    made = (
        Sample("made/nul", b"Subject: a\r\n\r\nb\0c\r\n"),
        Sample("made/nul-in-header", b"Subject: a\0\r\n\r\nb\r\n"),
        Sample("made/cr", b"Subject: a\r\n\r\nb\rc\r\n"),
        Sample("made/cr-crlf", b"Subject: a\r\n\r\nb\r\r\n"),
        Sample("made/lf", b"Subject: a\r\n\r\nb\nc\r\n"),
        Sample("made/lf-first", b"\nSubject: a\r\n\r\nb\r\n"),
    )
    mails = (*corpus.forbidden, *made)
    outcomes = await send_all(gate.port, mails, "forbidden-")
    postfix.quiet()
    answers = {
        mail.name: (outcome.final.code, outcome.final.text[:5]) if outcome.final else None for mail, outcome in zip(mails, outcomes, strict=True)
    }
    figures.append("refused with 550 5.5.2: " + ", ".join(name for name, answer in answers.items() if answer == (550, "5.5.2")))
    assert answers == dict.fromkeys(answers, (550, "5.5.2"))
    assert postfix.delivered("forbidden-") == {}


async def test_a_mail_for_many_is_delivered_to_each(postfix: Postfix, gate: Gateway) -> None:
    """One mail for fifty recipients goes through the filter once and reaches each of them once."""
    rcpts = [f"many-{number}@insured.example" for number in range(50)]
    async with await SmtpClient.connect(postfix.front, source=CLIENT) as client:
        outcome = await client.send("", rcpts, b"Subject: to many\r\n\r\nhello\r\n")
    assert outcome.code == 250
    found = postfix.settle("many-", 50)
    assert {name: len(files) for name, files in found.items()} == {f"many-{number}": 1 for number in range(50)}


async def test_a_big_mail(postfix: Postfix, gate: Gateway) -> None:
    """A mail of nine megabytes arrives whole."""
    line = b"x" * 74 + b"..\r\n"
    raw = b"Subject: big\r\n\r\n" + line * (9_000_000 // len(line))
    async with await SmtpClient.connect(postfix.front, source=CLIENT) as client:
        outcome = await client.send("sender@corpus.test", ["big-1@insured.example"], raw, parameters=f" SIZE={len(raw)}")
    assert outcome.code == 250
    (octets,) = postfix.settle("big-", 1)["big-1"]
    assert trace.split(octets).mail == raw.replace(b"\r\n", b"\n")


async def test_the_real_client_stays_known(postfix: Postfix, gate: Gateway) -> None:
    """The log of the way back names the client of the front (XFORWARD), and so does a Received field of the mail."""
    async with await SmtpClient.connect(postfix.front, source=CLIENT, helo="outside.test") as client:
        outcome = await client.send("sender@corpus.test", ["known-1@insured.example"], b"Subject: who\r\n\r\nhello\r\n")
    assert outcome.code == 250
    (octets,) = postfix.settle("known-", 1)["known-1"]
    received = trace.split(octets).values("Received")
    assert any(f"from outside.test (unknown [{CLIENT}])" in value for value in received)
    assert f"orig_client=unknown[{CLIENT}]" in postfix.log.read_text()


def _difference(got: bytes, want: bytes) -> str:
    shorter = min(len(got), len(want))
    at = next((index for index in range(shorter) if got[index] != want[index]), shorter)
    return (
        f"{len(got)} octets against {len(want)}, first difference at {at}: {got[max(0, at - 30) : at + 40]!r} / {want[max(0, at - 30) : at + 40]!r}"
    )
