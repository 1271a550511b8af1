"""The next hop by itself: deliveries without a client, reuse of connections."""

from __future__ import annotations

import asyncio

import pytest

from milter.actions.next_hop import NextHop, Reuse
from milter.actions.transaction import Deadlines, Transaction
from milter.model.mail import Envelope, Params
from milter.model.reply import Reply
from tests.helpers.next_hop import FakeNextHop


def hop(fake: FakeNextHop, reuse: Reuse | None = None) -> NextHop:
    """The next hop with short deadlines."""
    return NextHop("127.0.0.1", fake.port, "gw.example", deadlines=Deadlines(0.3, 0.3, 0.3), reuse=reuse)


async def test_deliver() -> None:
    """A complete mail goes to the recipients that the next hop takes, with the parameters that its octets need."""
    fake = FakeNextHop(script={"RCPT <no@b.example>": "550 5.1.1 No"})
    async with fake.running():
        next_hop = hop(fake)
        done = await next_hop.deliver(Envelope("a@a.example", ("no@b.example", "jérôme@b.example")), "é\r\n".encode())
        next_hop.close()
    assert [one.code for one in done.recipients] == [550, 250]
    assert (done.final.code, done.in_doubt) == (250, False)
    assert fake.commands[0] == "MAIL FROM:<a@a.example> SIZE=4 BODY=8BITMIME SMTPUTF8"
    assert fake.mails[0].recipients == ["jérôme@b.example"]


GIVEN = Params(
    (b"SIZE=99999", b"BODY=8BITMIME", b"RET=HDRS", b"envid=QQ314159", b"SMTPUTF8", b"AUTH=<>", b"MT-PRIORITY=3"),
    ((b"NOTIFY=SUCCESS,FAILURE", b"ORCPT=rfc822;anne+40example.net", b"RRVS=2014-04-03T23:01:00Z"), ()),
)
RESENT = [
    (
        ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN"),
        "MAIL FROM:<> SIZE=6 RET=HDRS envid=QQ314159 SMTPUTF8",
        "RCPT TO:<anne@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anne+40example.net",
    ),
    (
        ("SIZE", "DSN"),
        "MAIL FROM:<> SIZE=6 RET=HDRS envid=QQ314159",
        "RCPT TO:<anne@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anne+40example.net",
    ),
    (("SMTPUTF8",), "MAIL FROM:<> SMTPUTF8", "RCPT TO:<anne@b.example>"),
    ((), "MAIL FROM:<>", "RCPT TO:<anne@b.example>"),
]


@pytest.mark.parametrize(("offers", "mail", "rcpt"), RESENT)
async def test_deliver_passes_the_parameters_that_are_offered(offers: tuple[str, ...], mail: str, rcpt: str) -> None:
    """The client's DSN and SMTPUTF8 parameters go with a mail when the next hop offers them; SIZE and BODY follow from the octets."""
    fake = FakeNextHop(offers=offers)
    async with fake.running():
        next_hop = hop(fake)
        done = await next_hop.deliver(Envelope("", ("anne@b.example", "paul@b.example")), b"A: b", GIVEN)
        next_hop.close()
    assert done.final.code == 250
    assert fake.commands[:3] == [mail, rcpt, "RCPT TO:<paul@b.example>"]


async def test_a_crooked_parameter_is_not_sent() -> None:
    """A parameter that holds what ends a command or begins another is left out."""
    fake = FakeNextHop()
    async with fake.running():
        next_hop = hop(fake)
        crooked = Params((b"ENVID=a\r\nDATA", b"RET=FULL SIZE=1"), ((b"NOTIFY=NEVER\r\nRSET",),))
        await next_hop.deliver(Envelope("", ("b@b.example",)), b"A: b\r\n", crooked)
        next_hop.close()
    assert fake.commands == ["MAIL FROM:<> SIZE=6", "RCPT TO:<b@b.example>", "DATA", "(mail)"]


async def test_deliver_to_nobody() -> None:
    """When no recipient is taken nothing is sent."""
    fake = FakeNextHop(script={"RCPT": "550 5.1.1 No"})
    async with fake.running():
        next_hop = hop(fake)
        done = await next_hop.deliver(Envelope("", ("b@b.example",)), b"x\r\n")
        assert done.final.code == 550
        done = await next_hop.deliver(Envelope("", ()), b"x\r\n")
        assert done.final.code == 554
        next_hop.close()
    assert not fake.mails


@pytest.mark.parametrize(("step", "in_doubt"), [("greeting", False), ("MAIL", False), ("DATA", False), ("dot", True)])
async def test_doubt(step: str, in_doubt: bool) -> None:  # noqa: FBT001  # a column of the table
    """Only silence after the final dot leaves in doubt whether the next hop has the mail."""
    fake = FakeNextHop(script={step: "close"})
    async with fake.running():
        next_hop = hop(fake)
        done = await next_hop.deliver(Envelope("", ("b@b.example",)), b"x\r\n")
        next_hop.close()
    assert (done.final.code, done.in_doubt) == (451, in_doubt)


async def test_connections_are_used_again_up_to_a_count() -> None:
    """A connection carries so many mails, then a new one is opened."""
    fake = FakeNextHop()
    async with fake.running():
        next_hop = hop(fake, Reuse(mails=2))
        for _ in range(5):
            assert (await next_hop.deliver(Envelope("", ("b@b.example",)), b"x\r\n")).final.code == 250
        assert fake.connections == 3
        next_hop.close()


async def test_idle_connections_end() -> None:
    """A connection that waits too long says QUIT."""
    fake = FakeNextHop()
    async with fake.running():
        next_hop = hop(fake, Reuse(idle=0.05))
        assert await next_hop.probe() == ""
        await asyncio.sleep(0.15)
        assert fake.log[-1] == "QUIT"
        await next_hop.deliver(Envelope("", ("b@b.example",)), b"x\r\n")
        assert fake.connections == 2
        next_hop.close()


async def test_without_pipelining_each_command_waits() -> None:
    """A next hop that does not offer PIPELINING gets one command at a time, XFORWARD as well."""
    fake = FakeNextHop(offers=("XFORWARD NAME ADDR HELO",))
    async with fake.running():
        next_hop = hop(fake)
        begun = await next_hop.begin(b"a@a.example", xforward={"NAME": "n" * 255, "HELO": "h" * 255})
        assert isinstance(begun, Transaction)
        assert [one.code for one in await begun.rcpt([(b"b@b.example", ()), (b"c@b.example", (b"NOTIFY=NEVER",))])] == [250, 555]
        assert (await begun.data(b"x\r\n")).code == 250
        begun.drop()
        next_hop.close()
    assert [line.split(" ")[0] for line in fake.commands] == ["XFORWARD", "XFORWARD", "MAIL", "RCPT", "DATA", "(mail)"]


async def test_refused_xforward_is_no_reason_to_lose_a_mail() -> None:
    """When the next hop refuses XFORWARD the mail goes on."""
    fake = FakeNextHop(offers=("PIPELINING", "XFORWARD NAME"), script={"XFORWARD": "550 5.7.1 No"})
    async with fake.running():
        next_hop = hop(fake)
        begun = await next_hop.begin(b"", xforward={"NAME": "x"})
        assert isinstance(begun, Transaction)
        begun.drop()
        next_hop.close()


async def test_xforward_of_a_refused_mail_is_taken_back() -> None:
    """On a connection that is used again, the next mail is not taken for one of the client whose MAIL was refused."""
    fake = FakeNextHop(offers=("PIPELINING", "XFORWARD ADDR"), script={"MAIL": ["550 5.7.1 No", "250 2.1.0 Ok"]})
    async with fake.running():
        next_hop = hop(fake)
        assert isinstance(await next_hop.begin(b"a@a.example", xforward={"ADDR": "192.0.2.9"}), Reply)
        begun = await next_hop.begin(b"b@b.example")
        assert isinstance(begun, Transaction)
        begun.drop()
        next_hop.close()
    assert fake.connections == 1
    assert fake.commands[:4] == ["XFORWARD ADDR=192.0.2.9", "MAIL FROM:<a@a.example>", "RSET", "MAIL FROM:<b@b.example>"]


@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
async def test_recipients_go_ahead(offers: tuple[str, ...]) -> None:
    """Recipients that are known at MAIL get their own replies, whether the next hop takes them together with it or not."""
    fake = FakeNextHop(offers=offers, script={"RCPT <no@b.example>": "550 5.1.1 No"})
    recipients = [(b"a@b.example", ()), (b"c@b.example", (b"NOTIFY=NEVER",)), (b"no@b.example", ())]
    async with fake.running():
        next_hop = hop(fake)
        begun = await next_hop.begin(b"a@a.example", ahead=recipients)
        assert isinstance(begun, Transaction)
        assert [one.code for one in await begun.rcpt(recipients)] == [250, 555, 550]
        assert [one.code for one in await begun.rcpt([(b"d@b.example", ())])] == [250]
        assert (await begun.data(b"x\r\n")).code == 250
        next_hop.close()
    assert fake.mails[0].recipients == ["a@b.example", "d@b.example"]


async def test_recipients_ahead_are_in_the_same_packet_as_mail() -> None:
    """What goes ahead costs no write of its own."""
    got: list[bytes] = []
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 PIPELINING\r\n")
        got.append(await reader.read(1_000))
        writer.write(b"250 Ok\r\n250 Ok\r\n")
        await reader.read()  # RSET and QUIT
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    next_hop = NextHop("127.0.0.1", server.sockets[0].getsockname()[1], "gw.example")
    begun = await next_hop.begin(b"a@a.example", ahead=[(b"b@b.example", ())])
    assert isinstance(begun, Transaction)
    assert [one.code for one in await begun.rcpt([(b"b@b.example", ())])] == [250]
    assert got == [b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"]
    begun.drop()
    next_hop.close()
    await over.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("rcpt", ["503 5.5.1 MAIL first", "250 2.1.5 Ok"])
async def test_recipients_ahead_of_a_refused_mail_are_forgotten(rcpt: str) -> None:
    """Whatever the next hop says to them, the next mail on the same connection has nothing of them, and neither has one that is dropped."""
    ahead = [(b"b@b.example", ()), (b"c@b.example", ())]
    fake = FakeNextHop(script={"MAIL": ["550 5.7.1 No", "250 2.1.0 Ok"], "RCPT": [rcpt, rcpt, "250 2.1.5 Ok"]})
    async with fake.running():
        next_hop = hop(fake)
        assert isinstance(await next_hop.begin(b"a@a.example", ahead=ahead), Reply)
        dropped = await next_hop.begin(b"a@a.example", ahead=ahead)
        assert isinstance(dropped, Transaction)
        dropped.drop()
        begun = await next_hop.begin(b"a@a.example", ahead=ahead[:1])
        assert isinstance(begun, Transaction)
        assert [one.code for one in await begun.rcpt(ahead[:1])] == [250]
        assert (await begun.data(b"x\r\n")).code == 250
        next_hop.close()
    assert fake.connections == 1
    assert [got.recipients for got in fake.mails] == [["b@b.example"]]


async def test_rset_that_is_refused_ends_the_connection() -> None:
    """A connection on which a transaction cannot be dropped is not used again."""
    fake = FakeNextHop(script={"RSET": "500 5.5.1 What"})
    async with fake.running():
        next_hop = hop(fake)
        for _ in range(2):
            begun = await next_hop.begin(b"")
            assert isinstance(begun, Transaction)
            begun.drop()
        await asyncio.sleep(0.05)
        assert fake.connections == 2
        next_hop.close()


async def test_cancelled_while_waiting() -> None:
    """A caller that is cancelled leaves no half-used connection behind."""
    fake = FakeNextHop(script={"MAIL": ["hang", "250 2.1.0 Ok"]})
    async with fake.running():
        next_hop = hop(fake)
        task = asyncio.ensure_future(next_hop.begin(b""))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await next_hop.begin(b""), Transaction)
        assert fake.connections == 2
        next_hop.close()


async def test_probe_says_why() -> None:
    """A probe that fails says why and leaves the minimum in force."""
    fake = FakeNextHop(script={"EHLO": "550 5.7.1 Go away"})
    async with fake.running():
        next_hop = hop(fake)
        assert await next_hop.probe() == "the next hop opened no session, it said at EHLO: 550 5.7.1 Go away"
        assert next_hop.capabilities.size is None
        next_hop.close()


async def test_one_command_of_the_client_has_an_end() -> None:
    """However many steps are slow, beginning a mail takes no longer than its share of the client's patience."""
    fake = FakeNextHop(offers=("XFORWARD NAME ADDR HELO",), script={"XFORWARD": "slow", "MAIL": "slow"})
    async with fake.running():
        next_hop = NextHop("127.0.0.1", fake.port, "gw.example", deadlines=Deadlines(5, 5, 5, step=0.2))
        began = asyncio.get_running_loop().time()
        begun = await next_hop.begin(b"", xforward={"NAME": "n" * 255, "HELO": "h" * 255})
        assert isinstance(begun, Reply)
        assert (begun.code, begun.cause) == (451, "the next hop did not answer MAIL in time")
        assert 0.15 < asyncio.get_running_loop().time() - began < 2
        next_hop.close()
