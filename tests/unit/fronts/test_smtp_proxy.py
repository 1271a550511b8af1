"""What the proxy hands to the judge, writes in front of a mail, and tells the journal."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from milter.fronts.smtp_contract import Options
from milter.model.edit import Insert
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import decides, decision, stand, without_trace


async def test_judge_sees_the_forwarded_client() -> None:
    """From a listed peer, connection facts are XFORWARD's; the mail is judged octet for octet."""
    async with stand() as built:
        async with built.client() as client:
            await client.say("EHLO outer.example")
            await client.say("XFORWARD NAME=mx.sender.example ADDR=192.0.2.9 HELO=helo.sender.example")
            for line in ('MAIL FROM:<"a b"@a.example>', "RCPT TO:<b@b.example>", "RCPT TO:<Postmaster>", "DATA"):
                await client.say(line)
            await client.say_octets("Subject: é\r\n\r\n..x\r\n.\r\n".encode("latin-1"))
        [mail] = built.judged
    assert mail == Mail(
        "Subject: é\r\n\r\n.x\r\n".encode("latin-1"),
        Connection("192.0.2.9", "mx.sender.example", "helo.sender.example"),
        Envelope('"a b"@a.example', ("b@b.example", "Postmaster")),
        "ID1",
    )


@pytest.mark.parametrize(
    ("peers", "expected"),
    [(("127.0.0.1",), Connection(None, "", "c.example")), (("192.0.2.0/24",), Connection("127.0.0.1", "", "c.example"))],
    ids=["listed", "stranger"],
)
async def test_judge_sees_who_connects(peers: tuple[str, ...], expected: Connection) -> None:
    """A stranger is the client itself; of a listed peer's client nothing is known without XFORWARD."""
    async with stand(options=Options("gw.example", trusted_peers=peers)) as built:
        async with built.client() as client:
            for line in ("EHLO c.example", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
                await client.say(line)
            await client.say_octets(b".\r\n")
        assert built.judged[0].connection == expected


async def test_forwarded_client_holds_for_one_mail() -> None:
    """XFORWARD counts for the next mail only, as at Postfix."""
    async with stand() as built:
        async with built.client() as client:
            await client.say("EHLO c.example")
            await client.say("XFORWARD ADDR=192.0.2.9")
            for _ in range(2):
                for line in ("MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
                    await client.say(line)
                await client.say_octets(b".\r\n")
        assert [mail.connection.client_ip for mail in built.judged] == ["192.0.2.9", None]


async def test_received_and_edits_stand_in_front() -> None:
    """Delivered are our Received field, the edits, and the mail as it came."""
    async with stand() as built:
        built.decide = decides(Action.TAG, (Insert(b"X-One: 1\r\n"), Insert(b"X-Two: 2\r\n")))
        await built.send(b"Subject: x\r\n\r\nbody")
    content = built.next_hop.mails[0].content
    assert without_trace(content) == b"X-One: 1\r\nX-Two: 2\r\nSubject: x\r\n\r\nbody\r\n"
    received = content[: content.index(b"X-One")].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    assert re.fullmatch(
        rb"Received: from client\.example \(unknown \[127\.0\.0\.1\]\) by gw\.example \(insurer-milter\) with ESMTP id ID1; "
        rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n",
        received,
    )
    assert b"bob@" not in received


async def test_hostile_names_in_received() -> None:
    """What a stranger calls itself cannot break out of our Received field."""
    async with stand() as built, built.client() as client:
        await client.say_octets(b"EHLO x) by bank.example; (\t\xff\xfe\x01" + b"y" * 2_000 + b"\r\n")
        await client.say("XFORWARD NAME=a+0D+0ASubject:+20b HELO=(+28+29)+0D+0A.+0D+0A")
        for line in ("MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
            await client.say(line)
        await client.say_octets(b"x\r\n.\r\n")
    content = built.next_hop.mails[0].content
    assert without_trace(content) == b"x\r\n"
    head = content[: -len(b"x\r\n")]
    assert b"Subject: b" not in head
    assert head.count(b"(") == head.count(b")") == 2


@pytest.mark.parametrize(
    ("action", "code", "next_hop", "quarantine_id"),
    [
        (Action.PASS, 250, "250 2.0.0 Ok: queued as … for …", ""),
        (Action.TAG, 250, "250 2.0.0 Ok: queued as … for …", ""),
        (Action.QUARANTINE, 250, "", "Q1"),
        (Action.REJECT, 550, "", ""),
        (Action.DEFER, 451, "", ""),
    ],
)
async def test_journal(action: Action, code: int, next_hop: str, quarantine_id: str) -> None:
    """The journal hears once a mail what was decided and what came of it, without any address."""
    verdict = Verdict(VerdictKind.SUSPECT, "harmonie-mutuelle", "Harmonie Mutuelle", 4.5, (Finding("some-rule", 4.5, {"fr": "Écrit à « vous »"}),))
    async with stand(FakeNextHop(script={"dot": "250 2.0.0 Ok: queued as 4Z1kYq0bJ1 for <bob@b.example>"})) as built:

        async def judge(mail: Mail) -> Decision:
            return replace(decision(action), verdict=verdict)

        built.decide = judge
        said = await built.send(b"x", recipients=("bob@b.example", "carol@b.example"))
        [record] = built.records
    assert said.startswith(str(code))
    assert (record.queue_id, record.action, record.would, record.verdict) == ("ID1", action.value, action.value, "suspect")
    assert (record.insurer, record.score, record.rules, record.recipients, record.octets) == ("harmonie-mutuelle", 4.5, ("some-rule",), 2, 3)
    assert (record.code, record.next_hop, record.quarantine_id, record.cause) == (code, next_hop, quarantine_id, "")
    assert record.next_hop_id == ("4Z1kYq0bJ1" if next_hop else "")
    assert (record.client, record.peer, record.sender, record.to) == ("", "127.0.0.1", "a…@a.example", ("b…@b.example", "c…@b.example"))
    assert record.ms is not None
    assert list(record.ms) == ["receive", *{"pass": ["deliver"], "tag": ["deliver"], "quarantine": ["store"]}.get(action.value, []), "total"]
    assert not any(word in repr(record) for word in ("bob", "carol", "alice"))
    if action is Action.REJECT:
        assert said == '550 5.7.1 Ecrit a " vous "'


async def test_pipelined_recipients_are_told_together() -> None:
    """Many RCPT in one packet are answered in order."""
    async with stand(FakeNextHop(script={"RCPT <r7@b.example>": "550 5.1.1 No"})) as built, built.client() as client:
        await client.say("EHLO c")
        many = "".join(f"RCPT TO:<r{number}@b.example>\r\n" for number in range(50))
        said = await client.say_octets(b"MAIL FROM:<>\r\n" + many.encode() + b"DATA\r\n")
        answers = [await client.reply() for _ in range(51)]
        assert said.startswith("250 ")
        assert [answer[:3] for answer in answers] == ["250"] * 7 + ["550"] + ["250"] * 42 + ["354"]
        assert (await client.say_octets(b".\r\n")).startswith("250 ")
    assert len(built.next_hop.mails[0].recipients) == 49


async def test_client_that_does_not_read() -> None:
    """A client that asks without end and never reads is cut off after the idle time; what waits for it stays small."""
    async with stand(options=Options("gw.example", idle_seconds=0.3)) as built, built.client() as client:
        transport = client.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        transport.set_write_buffer_limits(high=2**30)
        client.writer.write(b"HELP\r\n" * 1_000_000)
        most = 0
        for _ in range(500):
            if not built.proxy.sessions:
                break
            [session] = built.proxy.sessions
            if isinstance(session.transport, asyncio.Transport):
                most = max(most, session.transport.get_write_buffer_size())
            await asyncio.sleep(0.02)
        assert not built.proxy.sessions
        assert 0 < most < 4_000_000


async def test_an_endless_header_section_is_refused() -> None:
    """A header section beyond the limit up to which forged fields are found is refused, unjudged; the journal says so."""
    async with stand() as built:
        assert await built.send(b"A: b\r\n" * 50_001 + b"X-Insurer-Milter: action=pass\r\n\r\nx") == "552 5.3.4 Header section bigger than allowed"
        assert built.records[-1].cause == "header section bigger than allowed"
        assert not built.judged
    assert not built.next_hop.mails
