"""The fault matrix: what the client hears, and whether a mail is delivered, when the next hop fails at any step."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from milter.errors import QuarantineError
from milter.fronts.inbox import Inbox
from milter.fronts.large_mail import LargeMail
from milter.fronts.smtp_contract import Options
from milter.model.mail import Mail, Params
from milter.model.verdict import Action, Decision
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import SHORT, Client, decides, decision, stand

THREE = ("bob@b.example", "carol@b.example", "dave@b.example")
STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")


async def test_next_hop_down() -> None:
    """No connection: 451 4.4.1 at MAIL that says why; the journal knows too; when it is back, mail flows."""
    async with stand(is_up=False) as built:
        said = await built.send(b"x")
        assert said == "451 4.4.1 Not delivered yet: no connection to the next hop (Connection refused); please try again later"
        [record] = built.records
        assert (record.code, record.cause) == (451, "no connection to the next hop (Connection refused)")
        async with built.next_hop.running():
            assert (await built.send(b"x")).startswith("250 ")


@pytest.mark.parametrize(
    ("step", "answer", "heard"),
    [
        ("greeting", "421 4.3.2 Busy", "451 4.4.1 "),
        ("greeting", "554 5.3.2 No", "451 4.4.1 "),
        ("EHLO", "421 4.3.2 Busy", "451 4.4.1 "),
        ("EHLO", "550 5.7.1 No", "451 4.4.1 "),
        ("MAIL", "451 4.3.0 Later", "451 4.3.0 Later"),
        ("MAIL", "421 4.3.2 Stopping", "421 4.3.2 Stopping"),
        ("MAIL", "550-5.7.1 No\n550 5.7.1 Never", "550-5.7.1 No\n550 5.7.1 Never"),
        ("DATA", "451 4.3.0 Later", "451 4.3.0 Later"),
        ("DATA", "554 5.3.0 No", "554 5.3.0 No"),
        ("DATA", "421 4.3.2 Stopping", "421 4.3.2 Stopping"),
        ("dot", "452 4.3.1 Disk full", "452 4.3.1 Disk full"),
        ("dot", "550-5.6.0 Bad\n550 5.6.0 content", "550-5.6.0 Bad\n550 5.6.0 content"),
        ("dot", "421 4.3.2 Stopping", "421 4.3.2 Stopping"),
    ],
)
async def test_refusals(step: str, answer: str, heard: str) -> None:
    """The client hears the next hop's own words, or a 451 when no session could be opened; nothing is delivered."""
    async with stand(FakeNextHop(script={step: answer}), probe=False) as built:
        said = await built.send(b"x")
        assert said == heard if not heard.endswith(" ") else said.startswith(heard)
    assert not built.next_hop.mails


@pytest.mark.parametrize("answer", ["550 5.1.1 Unknown", "450 4.2.0 Later", "421 4.3.2 Stopping"])
async def test_one_recipient_of_three_refused(answer: str) -> None:
    """The refusal is handed on; the mail goes to the others, but for 421, which ends the session: then 451 and no delivery."""
    async with (
        stand(FakeNextHop(script={"RCPT <carol@b.example>": answer}, after={"RCPT <carol@b.example>"} if answer[:3] == "421" else set())) as built,
        built.client() as client,
    ):
        for line in ("EHLO c", "MAIL FROM:<alice@a.example>"):
            await client.say(line)
        said = [await client.say(f"RCPT TO:<{one}>") for one in THREE]
        assert said[0].startswith("250 ")
        assert said[1] == answer
        final = await client.say("DATA")
        if final.startswith("354"):
            final = await client.say_octets(b"x\r\n.\r\n")
    if answer.startswith("421"):
        assert said[2].startswith("451 4.4.2 ")
        assert final.startswith("451 4.4.2 ")
        assert not built.next_hop.mails
    else:
        assert final.startswith("250 ")
        assert [mail.recipients for mail in built.next_hop.mails] == [[THREE[0], THREE[2]]]


@pytest.mark.parametrize("step", STEPS)
async def test_hangs(step: str) -> None:
    """No answer in time: 451 that names the step; nothing is delivered unless the final dot was sent, and then the journal says so."""
    async with stand(FakeNextHop(script={step: "hang"}), deadlines=SHORT, probe=False) as built:
        said = await built.send(b"x")
        assert said.startswith("451 4.4." if step != "RCPT" else ("451 4.4.2 ", "554 5.5.1 "))
        assert built.records
        assert all(record.code == 451 for record in built.records if record.cause)
        if step == "dot":
            assert built.records[-1].cause.startswith("no answer after final dot (RFC 1047)")
        elif step != "RCPT":
            assert "in time" in said
    # The script hangs before it answers the dot: the next hop has the mail then, which RFC 1047 says cannot be helped.
    assert len(built.next_hop.mails) == 0


@pytest.mark.parametrize("step", STEPS)
async def test_closes(step: str) -> None:
    """A connection that is closed without an answer: 451 at once, nothing delivered, the next mail on a fresh connection is."""
    async with stand(FakeNextHop(script={step: ["close", ""]}), probe=False) as built:
        said = await built.send(b"x")
        assert said.startswith(("451 4.4.2 ", "554 5.5.1 ") if step == "RCPT" else "451 4.4.2 ")
        if step == "dot":
            assert built.records[-1].cause.startswith("no answer after final dot (RFC 1047)")
        built.next_hop.script.clear()
        assert (await built.send(b"y")).startswith("250 ")
    assert len(built.next_hop.mails) == 1


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "answer", ["hello", "999 x", "250-x\n251 y", "x" * 5_000, "\n".join(["250-x"] * 600)], ids=["text", "code", "codes", "long", "lines"]
)
async def test_nonsense(step: str, answer: str) -> None:
    """What is no SMTP reply is a broken next hop: 451, never a 250."""
    async with stand(FakeNextHop(script={step: answer}), probe=False, deadlines=SHORT) as built:
        said = await built.send(b"x")
        assert said.startswith(("451 4.4.", "554 5.5.1 ") if step == "RCPT" else "451 4.4.")


@pytest.mark.parametrize(("step", "answer"), [("DATA", "250 2.0.0 Ok"), ("dot", "354 Go on"), ("MAIL", "354 Go on"), ("RCPT", "354 Go on")])
async def test_codes_that_make_no_sense_there(step: str, answer: str) -> None:
    """A reply of the wrong kind gives 451 and no delivery that we would confirm."""
    async with stand(FakeNextHop(script={step: answer})) as built:
        assert (await built.send(b"x")).startswith(("451 4.4.2 ", "554 5.5.1 ") if step == "RCPT" else "451 4.4.2 ")


async def test_next_hop_refuses_in_the_middle_of_a_big_mail() -> None:
    """An early refusal while the mail is still being sent is the answer, whether or not the connection is closed behind it."""
    async with stand(FakeNextHop(script={"content": "552 5.3.4 Too big"}, after={"content"})) as built:
        assert await built.send(b"x" * 79 + (b"\r\n" + b"x" * 78) * 50_000) == "552 5.3.4 Too big"
    assert not built.next_hop.mails


async def test_next_hop_takes_a_mail_before_its_end() -> None:
    """A 250 while the mail is still being sent cannot be meant for it: 451, and the mail is not ended."""
    async with stand(FakeNextHop(script={"content": "250 2.0.0 Fast"})) as built:
        said = await built.send(b"x" * 79 + (b"\r\n" + b"x" * 78) * 200_000)
        assert said.startswith("451 4.4.2 ")
    assert not built.next_hop.mails


async def test_big_mail_passes_whole() -> None:
    """A mail of several megabytes, written at the next hop's pace, arrives octet for octet."""
    content = (b"." + b"x" * 77 + b"\r\n") * 40_000
    async with stand() as built:
        async with built.client() as client:
            for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
                await client.say(line)
            assert (await client.say_octets((b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")).startswith("250 ")
        assert built.judged[0].raw == content
    assert built.next_hop.mails[0].content.endswith(content)


async def test_idle_connection_that_was_closed_is_replaced() -> None:
    """When the next hop has closed or announces it with 421 on a connection that was idle, the mail goes over a fresh one, once."""
    async with stand(FakeNextHop(script={"MAIL": ["250 2.1.0 Ok", "421 4.4.2 Idle too long", "250 2.1.0 Ok", "close", "250 2.1.0 Ok"]})) as built:
        for _ in range(3):
            assert (await built.send(b"x")).startswith("250 ")
        assert built.next_hop.connections == 3
    assert len(built.next_hop.mails) == 3


async def test_second_try_is_the_last() -> None:
    """When the fresh connection says 421 as well, the client hears that."""
    async with stand(FakeNextHop(script={"MAIL": ["250 2.1.0 Ok", "421 4.4.2 First", "421 4.4.2 Second"]})) as built:
        await built.send(b"x")
        assert await built.send(b"x") == "421 4.4.2 Second"
    assert len(built.next_hop.mails) == 1


async def test_pool_survives_a_restart_of_the_next_hop() -> None:
    """Connections that were cut while idle are forgotten at once."""
    async with stand() as built:
        await built.send(b"x")
        built.next_hop.close_all()
        await asyncio.sleep(0.05)
        assert (await built.send(b"x")).startswith("250 ")
    assert len(built.next_hop.mails) == 2


async def test_unasked_words_on_an_idle_connection() -> None:
    """A connection on which the next hop spoke unasked is not used again: its next answer could be taken for another's."""
    async with stand(FakeNextHop(script={"dot": "250 2.0.0 Ok\n250 2.0.0 Twice"})) as built:
        assert await built.send(b"x") == "250 2.0.0 Ok"
        assert await built.send(b"y") == "250 2.0.0 Ok"
        assert built.next_hop.connections == 2
        built.next_hop.script["dot"] = "250 2.0.0 Third"
        assert await built.send(b"z") == "250 2.0.0 Third"
        assert built.next_hop.connections == 3
        built.next_hop.say_to_all("250 2.0.0 Not asked")
        await asyncio.sleep(0.05)
        assert await built.send(b"z") == "250 2.0.0 Third"
        assert built.next_hop.connections == 4


async def test_client_vanishes_before_the_end_of_the_mail() -> None:
    """No final dot, no delivery: the transaction is dropped, and the journal says that the client left."""
    async with stand() as built:
        async with built.client() as client:
            for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
                await client.say(line)
            client.writer.write(b"Subject: half\r\n\r\nhalf")
            await client.writer.drain()
            client.vanish()
        await asyncio.sleep(0.1)
        [record] = built.records
        assert (record.code, record.cause) == (0, "the client left before the end of the mail")
        assert not built.judged
    assert not built.next_hop.mails
    assert built.next_hop.commands[-1] == "RSET"


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
async def test_client_leaves_after_the_final_dot(how: str) -> None:
    """What has begun is finished: a client that goes away while its mail is judged has it delivered, once; a half-open one hears so."""
    async with stand() as built:
        reached = asyncio.Event()
        go_on = asyncio.Event()

        async def judge(mail: Mail) -> Decision:
            reached.set()
            await go_on.wait()
            return decision()

        built.decide = judge
        client = await Client.connect(built.port)
        for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
            await client.say(line)
        client.writer.write(b"x\r\n.\r\n")
        await client.writer.drain()
        await reached.wait()
        if how == "half-close":
            client.writer.write_eof()
        elif how == "reset":
            client.vanish()
        else:
            await client.close()
        await asyncio.sleep(0.05)
        go_on.set()
        if how == "half-close":
            assert await client.reply() == "250 2.0.0 Ok: queued as TEST1"
            assert await client.reply() == ""
        await asyncio.sleep(0.05)
        await client.close()
        [record] = built.records
        assert record.code == 250
    assert len(built.next_hop.mails) == 1


async def test_judge_raises() -> None:
    """A bug below us gives 451 4.3.0, is told, and delivers nothing; the session goes on."""
    async with stand() as built:

        async def judge(mail: Mail) -> Decision:
            raise ZeroDivisionError("secret")

        built.decide = judge
        async with built.client() as client:
            for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
                await client.say(line)
            assert await client.say_octets(b"x\r\n.\r\n") == "451 4.3.0 Error on our side; please try again later"
            assert (await client.say("NOOP")).startswith("250 ")
        assert [type(bug) for bug in built.bugs] == [ZeroDivisionError]
        assert built.records[-1].cause == "broke: ZeroDivisionError"
    assert not built.next_hop.mails


async def test_command_breaks() -> None:
    """A bug while a command is served gives 451 4.3.0 as well, never a 5xx and never its text."""
    async with stand() as built:

        def broken(self: object, peer: str) -> bool:
            raise RuntimeError("secret")

        built.proxy.is_trusted = broken.__get__(built.proxy)  # type: ignore[method-assign]
        async with built.client() as client:
            assert await client.say("EHLO c") == "451 4.3.0 Error on our side; please try again later"
            assert (await client.say("NOOP")).startswith("250 ")
        assert [type(bug) for bug in built.bugs] == [RuntimeError]


async def test_reading_a_mail_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the middle of a mail ends the connection: the rest of the mail must not be read as commands."""

    def broken(self: Inbox[LargeMail]) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Inbox, "data", broken)
    async with stand() as built:
        assert (await built.send(b"x\r\n\r\nRSET\r\nMAIL FROM:<evil@a.example>")).startswith("451 4.3.0 ")
        assert [type(bug) for bug in built.bugs] == [RuntimeError]
    assert built.next_hop.commands == ["MAIL FROM:<alice@a.example>", "RCPT TO:<bob@b.example>", "RSET"]


async def test_quarantine_cannot_store() -> None:
    """No 250 before the copy is safe: 451, its reason in the journal, nothing delivered."""
    async with stand() as built:
        built.decide = decides(Action.QUARANTINE)
        built.hold_error = QuarantineError("disk full")
        assert await built.send(b"x") == "451 4.3.0 The quarantine cannot store now; please try again later"
        assert built.records[-1].cause == "disk full"
        assert built.records[-1].action == "quarantine"
    assert not built.next_hop.mails


async def test_quarantine_stores_too_slowly() -> None:
    """A disk that hangs gives 451 before the client gives up, not silence."""
    async with stand(options=Options("gw.example", answer_seconds=0.1)) as built:

        async def hold(mail: Mail, decided: Decision, content: bytes, params: Params) -> str:
            await asyncio.sleep(60)
            return "Q1"

        built.proxy._quarantine = hold
        built.decide = decides(Action.QUARANTINE)
        assert await built.send(b"x") == "451 4.3.0 The quarantine cannot store now; please try again later"
        assert built.records[-1].cause == "the quarantine did not store in time"
        assert built.records[-1].in_doubt
    assert not built.next_hop.mails


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
@pytest.mark.parametrize("breaks", [False, True], ids=["well", "bug"])
async def test_a_log_that_cannot_be_written(error: Exception, *, breaks: bool) -> None:
    """A log on a full disk or a closed pipe takes no answer away: a client that hears nothing would send a delivered mail again."""

    def fails(*_: object) -> None:
        raise error

    async def judge(mail: Mail) -> Decision:
        if breaks:
            raise ZeroDivisionError
        return decision()

    async with stand() as built:
        built.proxy._journal = built.proxy._broke = fails
        built.decide = judge
        assert (await built.send(b"x")).startswith("451 4.3.0 " if breaks else "250 ")
        assert (await built.send(b"x\ny")).startswith("550 ")
    assert len(built.next_hop.mails) == (0 if breaks else 1)


async def test_judging_takes_too_long() -> None:
    """Judging that does not end gives 451 before the client gives up."""
    async with stand(options=Options("gw.example", answer_seconds=0.1)) as built:

        async def judge(mail: Mail) -> Decision:
            await asyncio.sleep(60)
            return decision()

        built.decide = judge
        assert (await built.send(b"x")).startswith("451 4.3.2 Judging took too long")
    assert not built.next_hop.mails


async def test_promised_parameter_that_is_gone() -> None:
    """A parameter that was offered, and that the next hop's fresh connection offers no more, gives 451: the client may try again."""
    async with stand() as built, built.client() as client:
        await client.say("EHLO c")
        built.next_hop.offers = ()
        built.next_hop.close_all()
        await asyncio.sleep(0.05)
        assert (await client.say("MAIL FROM:<> RET=HDRS")).startswith("451 4.3.3 The next hop does not offer RET any more")
        assert (await client.say("MAIL FROM:<> SIZE=3")).startswith("250 ")


async def test_no_file_descriptor_for_the_next_hop() -> None:
    """A connection to the next hop that cannot even be made gives 451 at MAIL; when there are file descriptors again, mail flows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with stand(probe=False) as built, built.client() as client:
        await client.say("EHLO c.example")
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            said = await client.say("MAIL FROM:<alice@a.example>")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert said == "451 4.4.1 Not delivered yet: no connection to the next hop (Too many open files); please try again later"
        assert built.records[-1].cause == "no connection to the next hop (Too many open files)"
        assert (await client.say("MAIL FROM:<alice@a.example>")).startswith("250 ")
