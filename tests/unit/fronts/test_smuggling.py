"""No octets that a client sends in DATA may become a second mail at the next hop, however careless that is."""

from __future__ import annotations

import pytest

from milter.fronts.line_ends import normalise
from milter.fronts.smtp_contract import Options
from milter.model.edit import Insert
from milter.model.verdict import Action
from tests.helpers.proxy import decides, stand, without_trace

SEQUENCES = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CR.CR": b"\r.\r",
    "CRLF.CR": b"\r\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "LF.CR": b"\n.\r",
    "CRLF.LF": b"\r\n.\n",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
    "CRLF.CR NUL LF": b"\r\n.\r\0\n",
}
SECOND = b"MAIL FROM:<evil@a.example>\r\nRCPT TO:<victim@b.example>\r\nDATA\r\nsecond\r\n"


def smuggled(sequence: bytes) -> bytes:
    """A mail that holds a second one behind the sequence."""
    return b"Subject: first\r\n\r\nfirst" + sequence + SECOND


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
async def test_reject_mode_refuses_the_whole_mail(sequence: bytes) -> None:
    """The mail is read to its real end, refused with 550 5.5.2 that names what was found, and nothing reaches the next hop."""
    async with stand() as built:
        said = await built.send(smuggled(sequence))
        assert said.startswith("550 5.5.2 ")
        assert "in line 3 " in said or "in line 4 " in said
        assert not built.judged
        [record] = built.records
        assert (record.code, record.action) == (550, "")
    assert not built.next_hop.mails
    assert built.next_hop.commands == ["MAIL FROM:<alice@a.example>", "RCPT TO:<bob@b.example>", "RSET"]


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
async def test_normalise_mode_delivers_one_mail_or_refuses_it(sequence: bytes) -> None:
    """A mail with bare CR or LF arrives as one mail even at the most careless server; one with NUL is refused in this mode too."""
    async with stand(options=Options("gw.example", line_ends="normalise")) as built:
        said = await built.send(smuggled(sequence))
        if b"\0" in sequence:
            assert said.startswith("550 5.5.2 NUL in line ")
        else:
            assert said.startswith("250 ")
            # A dot behind CRLF is the client's transparency dot (RFC 5321 §4.5.2).
            came = smuggled(sequence).replace(b"\r\n.", b"\r\n") + b"\r\n"
            [judged] = built.judged
            assert (judged.raw, judged.received) == (normalise(came), came), "judged as delivered, signatures read as received"
    assert len(built.next_hop.mails) == (0 if b"\0" in sequence else 1)
    for mail in built.next_hop.mails:
        assert mail.mails_for_the_careless == 1
        assert mail.octets.count(b"\r") == mail.octets.count(b"\n") == mail.octets.count(b"\r\n")
        assert b"second" in mail.content


async def test_normalise_mode_leaves_a_clean_mail_alone() -> None:
    """Without stray line ends nothing of the mail changes in normalise mode."""
    content = b"Subject: x\r\n\r\n.dot\r\n..\r\n" + b"y" * 3_000 + b"\r\n"
    async with stand(options=Options("gw.example", line_ends="normalise")) as built:
        async with built.client() as client:
            for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<bob@b.example>", "DATA"):
                await client.say(line)
            assert (await client.say_octets(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")).startswith("250 ")
        [mail] = built.judged
        assert (mail.raw, mail.received) == (content, None)
    assert without_trace(built.next_hop.mails[0].content) == content


async def test_quarantine_gets_octets_fit_for_data() -> None:
    """In normalise mode the quarantine keeps a mail that can be sent; what came stands beside it."""
    async with stand(options=Options("gw.example", line_ends="normalise")) as built:
        built.decide = decides(Action.QUARANTINE, (Insert(b"X-Ours: 1\r\n"),))
        assert (await built.send(b"Subject: x\n\nbody")).startswith("250 2.0.0 Ok: held in quarantine as Q1")
        [(mail, _, content)] = built.held
    assert (mail.raw, mail.received) == (b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\n\nbody\r\n")
    assert without_trace(content) == b"X-Ours: 1\r\nSubject: x\r\n\r\nbody\r\n"


async def test_an_edit_with_stray_line_ends_delivers_nothing() -> None:
    """Should our own edits hold a bare LF, that is our bug: 451, told to the log, and nothing is sent."""
    async with stand() as built:
        built.decide = decides(Action.TAG, (Insert(b"X-Ours: 1\n.\r\n"),))
        assert (await built.send(b"x")).startswith("451 4.3.0 ")
        assert len(built.bugs) == 1
        built.bugs.clear()
    assert not built.next_hop.mails
