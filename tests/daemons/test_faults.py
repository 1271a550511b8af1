"""When the next hop or the DNS fails, the client hears it, and no mail is lost or doubled in silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemons import trace
from tests.daemons.faulty_hop import STEPS, Fault, faulty_hop
from tests.daemons.gateway import NOERROR, SERVFAIL, FlatDns, Gateway, flat_dns, serving
from tests.daemons.stand import CLIENT, Postfix, free_ports
from tests.helpers.smtp_client import Outcome, Reply, SmtpClient

pytestmark = [pytest.mark.daemons]

PATIENCE = 1.0  # seconds that the gateway gives its next hop here
RCPTS = ("one@insured.example", "two@insured.example", "three@insured.example")
MAIL = b"From: Anna <anna@corpus.test>\r\nSubject: hello\r\n\r\nhello\r\n"
ERRORS = [Fault(step, how) for step in STEPS for how in ("temporary", "permanent")]
SILENCE = [Fault(step, how) for step in STEPS for how in ("hang", "close")] + [Fault("dot", "late")]


@pytest.fixture(scope="module")
def hop_port() -> int:
    """Where the gateway of this module expects its next hop; a test decides who listens there."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def gate(postfix: Postfix, calm_dns: FlatDns, hop_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway behind the Postfix front, with little patience for its next hop."""
    folder = tmp_path_factory.mktemp("faults")
    with serving(folder, postfix.gateway, next_hop=hop_port, dns=calm_dns.port, smtp={"next_hop_seconds": PATIENCE}) as gateway:
        yield gateway


async def attempt(port: int) -> tuple[Outcome, float]:
    """One mail for three recipients, without pipelining, so that each reply belongs to its step. Outcome and seconds."""
    started = time.monotonic()
    client = await SmtpClient.connect(port, source=CLIENT)
    client.offers = {}
    outcome = await client.send("anna@corpus.test", RCPTS, MAIL)
    await client.close(politely=False)
    return outcome, time.monotonic() - started


def describe(fault: Fault) -> str:
    """A test id."""
    return f"{fault.step}-{fault.how}"


@pytest.mark.parametrize("fault", ERRORS, ids=describe)
async def test_an_error_of_the_next_hop_reaches_the_client(gate: Gateway, hop_port: int, fault: Fault) -> None:
    """Each error code of the next hop goes back unchanged; a greeting or EHLO that fails is no answer to the mail: 451 or its own."""
    async with faulty_hop(hop_port) as hop:
        hop.begin(fault)
        outcome, _ = await attempt(gate.port)
        own = Reply(int(fault.reply[:3]), fault.reply[4:])
        if fault.step in ("connect", "ehlo"):
            if fault == Fault("ehlo", "permanent") and outcome.code == 250:
                pytest.fail("a next hop without EHLO and HELO took a mail")
            assert outcome.mail == own or outcome.mail.code == 451
            assert hop.accepted == []
        elif fault.step == "mail":
            assert outcome.mail == own
            assert hop.accepted == []
        elif fault.step == "rcpt":
            assert [reply.code for reply in outcome.rcpts] == [250, own.code, 250]
            assert outcome.rcpts[1] == own
            assert outcome.code == 250
            assert hop.accepted == [(RCPTS[0], RCPTS[2])]
        else:
            assert outcome.final == own
            assert hop.accepted == []


@pytest.mark.parametrize("fault", SILENCE, ids=describe)
async def test_a_silent_next_hop_gives_451_in_time(gate: Gateway, hop_port: int, fault: Fault) -> None:
    """A next hop that hangs or hangs up gives a 4xx within the deadline; only an answer lost after the final dot may hide a delivery."""
    async with faulty_hop(hop_port) as hop:
        hop.begin(fault)
        outcome, seconds = await attempt(gate.port)
        assert deciding(outcome) in (421, 451)
        assert seconds < 6 * PATIENCE + 2
        # RFC 1047: what was accepted before the answer was lost cannot be called back; everything else must not be delivered.
        assert len(hop.accepted) == (1 if fault.how == "late" else 0)


async def test_nobody_listens(gate: Gateway) -> None:
    """With the next hop down each mail gets 451, and the gateway itself stays up."""
    for _ in range(3):
        outcome, _ = await attempt(gate.port)
        assert outcome.mail.code == 451


async def test_the_next_hop_comes_back(gate: Gateway, hop_port: int) -> None:
    """After a fault the next mail of the client goes through, once, also over a connection that died while idle."""
    outcome, _ = await attempt(gate.port)
    assert outcome.code == 451
    async with faulty_hop(hop_port) as hop:
        for _ in range(3):
            hop.begin(None)  # drops idle connections
            outcome, _ = await attempt(gate.port)
            assert outcome.code == 250
            assert hop.accepted == [RCPTS]


async def test_a_client_that_leaves_before_the_end_delivers_nothing(gate: Gateway, hop_port: int) -> None:
    """A client that hangs up inside DATA leaves no mail behind."""
    async with faulty_hop(hop_port) as hop:
        hop.begin(None)
        client = await SmtpClient.connect(gate.port, source=CLIENT)
        await client.command("MAIL FROM:<anna@corpus.test>")
        await client.command("RCPT TO:<one@insured.example>")
        await client.command("DATA")
        await client.write(MAIL)
        await client.close(politely=False)
        await asyncio.sleep(0.3)
        assert hop.accepted == []


@pytest.mark.parametrize(
    ("fault", "codes", "deliveries"),
    [
        (Fault("mail", "permanent"), {451, 551}, 0),
        (Fault("rcpt", "permanent"), {250}, 1),
        (Fault("data", "temporary"), {451}, 0),
        (Fault("dot", "permanent"), {551}, 0),
        (Fault("dot", "temporary"), {451}, 0),
        (Fault("dot", "hang"), {451}, 0),
        (Fault("dot", "late"), {451}, 1),
    ],
    ids=lambda value: describe(value) if isinstance(value, Fault) else "",
)
async def test_postfix_in_front_says_the_same(postfix: Postfix, gate: Gateway, hop_port: int, fault: Fault, codes: set[int], deliveries: int) -> None:
    """Through a real Postfix front the client hears the same class of answer, and each attempt delivers at most once."""
    async with faulty_hop(hop_port) as hop:
        hop.begin(fault)
        outcome, _ = await attempt(postfix.front)
        assert deciding(outcome) in codes
        assert len(hop.accepted) == deliveries
        if fault == Fault("rcpt", "permanent"):
            assert [reply.code for reply in outcome.rcpts] == [250, 551, 250]


async def test_the_answer_that_was_lost_is_in_the_log(gate: Gateway, hop_port: int) -> None:
    """A next hop that says nothing after the final dot is logged as what it is: the mail may arrive twice (RFC 1047)."""
    async with faulty_hop(hop_port) as hop:
        hop.begin(Fault("dot", "late"))
        gate.command("status")  # so that all lines of earlier mails are written
        before = len(_lost_answers(gate))
        await attempt(gate.port)
        async with asyncio.timeout(20):  # the parent writes the log, a moment after the answer
            while len(_lost_answers(gate)) == before:  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.02)
    assert [line["in_doubt"] for line in _lost_answers(gate)[before:]] == [True]


def _lost_answers(gate: Gateway) -> list[dict[str, Any]]:
    return [line for line in gate.events("mail") if "final dot" in line.get("cause", "")]


@pytest.mark.parametrize(
    ("dns", "doubt"),
    [
        ({"silent": True}, "temperror"),
        ({"rcode": SERVFAIL}, "temperror"),
        ({"rcode": 5}, "temperror"),
        ({"rcode": NOERROR, "seconds": 30.0}, "temperror"),
        ({"rcode": NOERROR, "seconds": 0.2}, "spf=none"),
    ],
    ids=["dead", "servfail", "refused", "too-slow", "slow"],
)
async def test_a_failing_dns_is_a_verdict_with_the_doubt_named(
    postfix: Postfix, gate: Gateway, tmp_path_factory: pytest.TempPathFactory, dns: dict[str, object], doubt: str
) -> None:
    """Without the DNS a mail is judged and delivered all the same, soon, and Authentication-Results names what is not known."""
    name = f"dns{int(time.monotonic() * 1000)}"
    port = free_ports(1)[0]
    rcode, seconds, silent = dns.get("rcode", NOERROR), dns.get("seconds", 0.0), dns.get("silent", False)
    assert isinstance(rcode, int)
    assert isinstance(seconds, float)
    with (
        flat_dns(rcode, seconds=seconds, silent=bool(silent)) as server,
        serving(
            tmp_path_factory.mktemp("dns"), port, next_hop=postfix.back, dns=server.port, judge_seconds=2, dns_more={"timeout_seconds": 0.8}
        ) as gateway,
    ):
        async with await SmtpClient.connect(gateway.port) as client:
            await client.xforward(addr="192.0.2.7", helo="mail.corpus.test")
            started = time.monotonic()
            outcome = await client.send("anna@corpus.test", [f"{name}@insured.example"], MAIL)
            took = time.monotonic() - started
        assert server.questions > 0
    assert outcome.code == 250
    assert took < 6
    (octets,) = postfix.settle(name, 1)[name]
    arrived = trace.split(octets)
    (results,) = arrived.values("Authentication-Results")
    assert doubt in results
    if doubt == "temperror":
        assert "spf=temperror" in results
        assert "dmarc=temperror" in results
    assert arrived.action == "pass"


def deciding(outcome: Outcome) -> int:
    """The code that told the client that its mail is not taken, wherever in the session it came."""
    replies = (outcome.mail, *outcome.rcpts, outcome.data, outcome.final)
    bad = [reply.code for reply in replies if reply is not None and reply.code not in (250, 354)]
    return outcome.code if outcome.final is not None else (bad[0] if bad else outcome.code)
