"""Large mails: taken, looked at and sent in pieces, with the result that one piece would have had."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from milter.actions import edits, smtp_client, transaction
from milter.actions.next_hop import NextHop
from milter.actions.transaction import Deadlines
from milter.adapters.lane import Lane
from milter.fronts import inbox, large_mail, line_ends, listen, smtp_proxy
from milter.fronts.inbox import Fault, Inbox
from milter.fronts.large_mail import LargeMail, Taken
from milter.fronts.smtp_contract import Options
from milter.model.edit import Insert, Remove
from milter.model.mail import Mail
from milter.model.verdict import Action, Decision
from milter.settings.addresses import HostPort
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import decides, decision, stand, without_trace

PIECE = st.sampled_from([b"\r", b"\n", b".", b"..", b"\r\n", b"\r\n.", b"\r\n\r\n", b"a", b"\0", b"x" * 9])
MAIL = st.lists(PIECE, max_size=40).map(b"".join)
HEAD = b"From: a@a.example\r\nX-Insurer-Milter: action=pass; forged\r\nSubject: s\r\n\r\n"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mails are large from 20 octets on, and slices of them have 7."""
    monkeypatch.setattr(inbox, "LARGE", 20)
    monkeypatch.setattr(inbox, "_PIECE", 7)
    monkeypatch.setattr(smtp_proxy, "LARGE", 20)
    monkeypatch.setattr(transaction, "_SLICE", 7)
    monkeypatch.setattr(large_mail, "_SLICE", 7)


class Kept:
    """A sink that only keeps."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_closed = False

    def add(self, octets: bytes) -> None:
        """One more."""
        self.pieces.append(octets)

    def close(self) -> None:
        """Not wanted."""
        self.is_closed = True


def received(octets: bytes, cuts: list[int], *, most: int = 1_000, sinks: bool = True) -> list[bytes | Fault]:
    """All mails that the octets hold, cut into packets at these places."""
    box: Inbox[Kept] = Inbox()
    found: list[bytes | Fault] = []
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    box.begin_data(most, Kept if sinks else None)
    for start, end in pairwise(places):
        box.feed(octets[start:end])
        while (content := box.data()) is not None:
            found.append(b"".join(content.pieces) if isinstance(content, Kept) else content)
            box.begin_data(most, Kept if sinks else None)
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MAIL, MAIL, st.lists(st.integers(0, 400), max_size=30), st.sampled_from([30, 100, 1_000]))
@example(first=b"x" * 38 + b"\r\n", second=b"x" * 45, cuts=[44], most=30)  # the end of data begins at the last octet that is allowed
def test_what_is_handed_on_is_what_would_have_been_kept(small: None, first: bytes, second: bytes, cuts: list[int], most: int) -> None:
    """However the packets fall, a mail in pieces is the mail in one, dots removed, and the next one begins where it ends."""
    octets = first + b"\r\n.\r\n" + second + b"\r\n.\r\n"
    assert received(octets, cuts, most=most) == received(octets, [], most=most, sinks=False)


def test_a_sink_is_let_go_when_the_mail_is_too_big(small: None) -> None:
    """Nothing of it is kept."""
    box: Inbox[Kept] = Inbox()
    sink = Kept()
    box.begin_data(30, lambda: sink)
    for _ in range(10):
        box.feed(b"x" * 20)
        assert box.data() is None
    assert sink.is_closed
    assert not box.is_large
    box.feed(b"\r\n.\r\nQUIT\r\n")
    assert box.data() is Fault.TOO_BIG
    assert box.line() == b"QUIT"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MAIL, st.lists(st.integers(0, 400), max_size=20), st.booleans())
def test_a_mail_in_pieces_is_looked_at_like_one(small: None, content: bytes, cuts: list[int], normalise: bool) -> None:  # noqa: FBT001  # hypothesis
    """The same stray octet with the same line, the same proper form."""

    async def both() -> tuple[Taken, Taken]:
        mail = LargeMail(normalise=normalise)
        places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
        for start, end in pairwise(places):
            mail.add(content[start:end])
        return await mail.take(Lane()), await large_mail.take(content, Lane(), normalise=normalise)

    pieces, whole = asyncio.run(both())
    assert pieces.stray == whole.stray
    if whole.stray is None:
        assert pieces == whole
        assert (pieces.proper is pieces.received) == (whole.proper is whole.received)


@pytest.mark.parametrize("before", range(12))
def test_line_ends_at_the_edge_of_a_slice(small: None, before: int) -> None:
    """Where a slice ends in a bare CR, the CRLF behind it stays whole."""
    content = b"x" * before + b"\r\r\n\r\r\r\n\n\r" + b"y" * 9

    async def taken() -> Taken:
        mail = LargeMail(normalise=True)
        mail.add(content)
        return await mail.take(Lane())

    assert asyncio.run(taken()).proper == line_ends.normalise(content)


@settings(max_examples=300, deadline=None)
@given(MAIL, st.lists(st.integers(0, 400), max_size=20))
def test_stuffing_in_pieces_is_stuffing(content: bytes, cuts: list[int]) -> None:
    """The same octets on the wire, or the same refusal."""
    stuffing, sent = smtp_client.Stuffing(), []
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    try:
        expected = smtp_client.stuffed(content)
    except ValueError:
        with pytest.raises(ValueError, match="bare CR"):
            _ = [*(stuffing.feed(content[start:end]) for start, end in pairwise(places)), stuffing.end()]
        return
    sent = [stuffing.feed(content[start:end]) for start, end in pairwise(places)]
    assert b"".join((*sent, stuffing.end())) == expected


@pytest.mark.parametrize("raw", [HEAD + b"body\r\n", b"From x Mon\r\n" + HEAD, b"", b"\r\n"])
def test_edits_in_pieces_are_the_edits(raw: bytes) -> None:
    """Joined, the pieces are the mail as it is delivered; what is inserted stands in the first two."""
    changes = (Insert(b"A: 1\r\n"), Insert(b"B: 2\r\n"), *((Remove(1),) if b"forged" in raw else ()))
    pieces = edits.carry_out_in_pieces(raw, changes)
    assert b"".join(pieces) == edits.carry_out(raw, changes)
    assert b"A: 1\r\nB: 2\r\n" in b"".join(pieces[:2])


async def test_bytes_in_are_bytes_out_for_large_mails_too(small: None) -> None:
    """A mail with dots at every kind of place leaves as it came, but for our fields and the forged one."""
    content = HEAD + b".\r\n..\r\n.a\r\n\r\n.b" + b"\r\n." * 50 + b"end\r\n"
    async with stand() as place:
        place.decide = decides(Action.TAG, (Insert(b"X-A: 1\r\n"), Remove(1)))
        said = await place.send(content.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n"))
        assert said.startswith("250")
        assert place.judged[0].raw == content
        sent = without_trace(place.next_hop.mails[0].content)
        assert sent == b"X-A: 1\r\n" + content.replace(b"X-Insurer-Milter: action=pass; forged\r\n", b"")


async def test_a_large_mail_is_held_with_its_trace(small: None) -> None:
    """The quarantine gets the mail as received, and our fields."""
    async with stand() as place:
        place.decide = decides(Action.QUARANTINE, (Insert(b"X-A: 1\r\n"),))
        assert (await place.send(HEAD + b"x" * 200)).startswith("250")
        mail, _, front = place.held[0]
        assert mail.raw == HEAD + b"x" * 200 + b"\r\n"
        assert front.startswith(b"Received: ")
        assert b"X-A: 1\r\n" in front


@pytest.mark.parametrize(
    ("line_ends", "content", "said"),
    [
        ("reject", HEAD + b"a\r\nb\nc", "550 5.5.2 bare <LF> in line 6 of the mail"),
        ("reject", HEAD + b"a\r\n" * 100 + b"\0", "550 5.5.2 NUL in line 105 of the mail"),
        ("normalise", HEAD + b"a\nb\rc", "250"),
        ("normalise", HEAD + b"a\n" * 30 + b"\0", "550 5.5.2 NUL in line 5 of the mail"),
        ("reject", b"x" * 100_000, "552 5.3.4 Mail bigger"),
    ],
)
async def test_large_mails_are_refused_like_small_ones(small: None, line_ends: str, content: bytes, said: str) -> None:
    """The same replies, and the conversation goes on."""
    options = Options("gw.example", line_ends="normalise" if line_ends == "normalise" else "reject", max_octets=70_000)
    async with stand(options=options) as place:
        assert (await place.send(content)).startswith(said)
        assert bool(place.judged) == (said == "250")
        if place.judged:
            assert place.judged[0].raw == HEAD + b"a\r\nb c\r\n"
            assert place.judged[0].received == content + b"\r\n"


async def test_a_stray_octet_of_ours_breaks_the_transfer_off(small: None) -> None:
    """A field of ours with a bare LF never gets its final dot: no 250, nothing delivered, and it is told as our bug."""
    async with stand() as place:
        place.decide = decides(Action.TAG, (Insert(b"X-A: 1\nX-B: 2\r\n"),))
        assert (await place.send(HEAD + b"x" * 200)).startswith("451")
        assert not place.next_hop.mails
        assert [type(bug) for bug in place.bugs] == [ValueError]


async def test_a_next_hop_that_refuses_early_is_heard(small: None) -> None:
    """Its refusal goes back though the mail was not sent whole."""
    async with stand(FakeNextHop(script={"content": "552 5.2.2 Too much"})) as place:
        assert await place.send(HEAD + b"x" * 200) == "552 5.2.2 Too much"


async def test_a_client_that_leaves_inside_a_large_mail_leaves_nothing(small: None) -> None:
    """No handle of its octets stays open, and the journal has it."""
    async with stand() as place:
        before = len(os.listdir("/proc/self/fd"))
        async with place.client() as client:
            for line in ("EHLO c.example", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "DATA"):
                await client.say(line)
            client.writer.write(HEAD + b"x" * 500)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        assert [record.cause for record in place.records] == ["the client left before the end of the mail"]
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # the next hop's connection may be kept


class Swallow:
    """A next hop in a thread of its own, which takes one mail and keeps nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def serve(self) -> None:
        """One session."""
        link, _ = self.listener.accept()
        with link, self.listener:
            link.sendall(b"220 hop\r\n")
            while line := self._until(link, b"\r\n"):
                if line[:4] == b"DATA":
                    link.sendall(b"354 go\r\n")
                    self._until(link, b"\r\n.\r\n")
                link.sendall(b"250 2.0.0 Ok\r\n")

    @staticmethod
    def _until(link: socket.socket, end: bytes) -> bytes:
        octets = b""
        while not octets.endswith(end):
            try:
                more = link.recv(1_048_576)
            except ConnectionError:
                more = b""
            if not more:
                return b""
            octets = (octets + more)[-100:]
        return octets


def send_in_a_thread(port: int, content: bytes) -> str:
    """One mail; the last reply."""
    with socket.create_connection(("127.0.0.1", port)) as link, link.makefile("rb") as replies:
        for line in (b"", b"HELO c.example\r\n", b"MAIL FROM:<a@a.example>\r\n", b"RCPT TO:<b@b.example>\r\n", b"DATA\r\n", content + b".\r\n"):
            link.sendall(line)
            said = replies.readline()
        return said.decode()


async def test_a_large_mail_holds_the_loop_no_longer_than_a_smaller_one() -> None:
    """The longest that the loop is held does not grow with the mail: eight times the octets, far from eight times the wait."""

    async def longest(octets: int) -> float:
        content = HEAD + b"Some  words. \r\n" * (octets // 15)
        hop = Swallow()
        serving = asyncio.create_task(asyncio.to_thread(hop.serve))
        next_hop = NextHop("127.0.0.1", hop.port, "gw.example", deadlines=Deadlines(30, 30, 30))

        async def judge(mail: Mail) -> Decision:
            assert len(mail.raw) == len(content)
            return decision()

        async def hold(mail: Mail, decided: Decision, octets: bytes, params: object) -> str:
            raise AssertionError

        proxy = smtp_proxy.SmtpProxy(Options("gw.example", max_octets=64_000_000), judge, hold, next_hop, lambda record: None, broke=_raise)
        listener = await listen.open_all([HostPort("127.0.0.1", 0)], proxy.session)
        sending = asyncio.create_task(asyncio.to_thread(send_in_a_thread, listener.addresses[0].port, content))
        worst = 0.0
        while not sending.done():
            began = time.thread_time()
            await asyncio.sleep(0)
            worst = max(worst, time.thread_time() - began)
        listener.close()
        await proxy.drain(5)
        await serving
        assert (await sending).startswith("250")
        return worst

    await longest(1_500_000)
    assert await longest(16_000_000) < 3 * max(await longest(2_000_000), 0.008)


def _raise(bug: BaseException) -> None:
    raise bug
