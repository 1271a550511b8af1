"""Each limit of the proxy: what the client hears, what the journal hears, and that everybody else goes on."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from milter.adapters.board import Scarce
from milter.fronts import listen
from milter.fronts.smtp_contract import Options
from milter.model.mail import Mail, Params
from milter.model.verdict import Action, Decision
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import Client, decides, decision, stand

OPTIONS = Options("gw.example")
STRANGERS = replace(OPTIONS, trusted_peers=("192.0.2.1",))
ENVELOPE = ("EHLO c.example", "MAIL FROM:<alice@a.example>", "RCPT TO:<bob@b.example>")
MEGA = b"x" * 998 + b"\r\n"


async def begun(client: Client, *, size: int | None = None) -> str:
    """EHLO to DATA; the reply to DATA."""
    for line in ENVELOPE:
        await client.say(line + (f" SIZE={size}" if size is not None and line.startswith("MAIL") else ""))
    return await client.say("DATA")


# -- connections --


async def test_connections_in_all() -> None:
    """One connection too many hears 421 and is closed; when another one is gone, there is room again."""
    async with stand(options=replace(OPTIONS, max_connections=2)) as built:
        one, two = await Client.connect(built.port), await Client.connect(built.port)
        async with built.client() as third:
            assert third.greeting == "421 4.7.0 Too many connections; please try again later"
            assert await third.reply() == ""
        assert built.limits == ["smtp.max_connections 127.0.0.1"]
        await one.close()
        await asyncio.sleep(0.05)
        async with built.client() as fourth:
            assert fourth.greeting.startswith("220 ")
        await two.close()


async def test_connections_of_one_client() -> None:
    """A stranger's connections are counted by its address; one too many hears 421."""
    async with stand(options=replace(STRANGERS, max_client_connections=2)) as built:
        clients = [await Client.connect(built.port) for _ in range(3)]
        assert [client.greeting[:4] for client in clients] == ["220 ", "220 ", "421 "]
        assert clients[2].greeting == "421 4.7.0 Too many connections from your address; please try again later"
        assert built.limits == ["smtp.max_client_connections 127.0.0.1"]
        for client in clients:
            await client.close()


async def test_ipv4_clients_of_a_socket_for_both_kinds() -> None:
    """Where the service manager's socket takes IPv4 and IPv6, an IPv4 client is seen, logged and counted under its own address."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        async with stand(options=replace(STRANGERS, max_client_connections=1)) as built:
            listener = await listen.serve([both], built.proxy.session)
            first, second = [await Client.connect(both.getsockname()[1]) for _ in range(2)]
            assert await begun(first) == "354 End data with <CR><LF>.<CR><LF>"
            assert (await first.say_octets(b"x\r\n.\r\n")).startswith("250 ")
            assert second.greeting == "421 4.7.0 Too many connections from your address; please try again later"
            assert built.limits == ["smtp.max_client_connections 127.0.0.1"]
            assert built.records[0].client == "127.0.0.1"
            listener.close()
            for client in (first, second):
                await client.close()


async def test_connections_of_a_listed_peer() -> None:
    """A mail server that is listed speaks for many clients: only the limit in all holds for it."""
    async with stand(options=replace(OPTIONS, max_client_connections=1)) as built:
        clients = [await Client.connect(built.port) for _ in range(5)]
        assert all(client.greeting.startswith("220 ") for client in clients)
        for client in clients:
            await client.close()
    assert built.proxy.place.connections == 0


async def test_mails_of_one_connection() -> None:
    """After so many mails the client hears 421 instead of the next MAIL or RSET, and on another connection it may go on."""
    for command in ("MAIL FROM:<alice@a.example>", "RSET"):
        async with stand(options=replace(OPTIONS, max_mails=2)) as built:
            async with built.client() as client:
                await client.say(ENVELOPE[0])
                for _ in range(2):
                    for line in (*ENVELOPE[1:], "DATA"):
                        await client.say(line)
                    assert (await client.say_octets(b"x\r\n.\r\n")).startswith("250 ")
                assert await client.say(command) == "421 4.7.0 Enough mails on this connection; please open another one"
                assert await client.reply() == ""
            assert built.limits == ["smtp.max_mails 127.0.0.1"]
            assert (await built.send(b"x")).startswith("250 ")
        assert len(built.next_hop.mails) == 3


# -- errors --


async def test_refusals_of_a_stranger_are_errors() -> None:
    """Every 5xx that a stranger hears counts, the next hop's too; after so many it hears 421."""
    async with stand(FakeNextHop(script={"RCPT": "550 5.1.1 Unknown"}), replace(STRANGERS, max_errors=3)) as built, built.client() as client:
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<alice@a.example>")
        assert [await client.say("RCPT TO:<bob@b.example>") for _ in range(3)] == ["550 5.1.1 Unknown"] * 3
        assert await client.say("NOOP") == "421 4.7.0 Too many errors"
        assert await client.reply() == ""
    assert built.limits == ["smtp.max_errors 127.0.0.1"]
    assert built.next_hop.commands[-1] == "RSET"


async def test_refusals_are_no_errors_of_a_listed_peer() -> None:
    """It passes on what its clients want; only what no mail server says counts."""
    async with stand(FakeNextHop(script={"RCPT": "550 5.1.1 Unknown"}), replace(OPTIONS, max_errors=3)) as built, built.client() as client:
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<alice@a.example>")
        for _ in range(10):
            assert await client.say("RCPT TO:<bob@b.example>") == "550 5.1.1 Unknown"
        for _ in range(3):
            assert await client.say("HELLO?") == "500 5.5.2 Unknown command"
        assert await client.say("NOOP") == "421 4.7.0 Too many errors"
    assert built.limits == ["smtp.max_errors 127.0.0.1"]


async def test_login_is_refused() -> None:
    """AUTH is never offered and never taken; the password is asked for by nobody."""
    async with stand() as built, built.client() as client:
        assert "AUTH" not in await client.say("EHLO c.example")
        assert await client.say("AUTH PLAIN AGEAYg==") == "502 5.5.1 AUTH is not offered here; log in at your mail server"
        assert await client.say("AUTH LOGIN") == "502 5.5.1 AUTH is not offered here; log in at your mail server"


# -- mails --


async def test_recipients() -> None:
    """One recipient too many hears 452; the others get the mail."""
    async with stand(options=replace(OPTIONS, max_recipients=2)) as built:
        async with built.client() as client:
            for line in ENVELOPE:
                await client.say(line)
            assert (await client.say("RCPT TO:<carol@b.example>")).startswith("250 ")
            assert await client.say("RCPT TO:<dave@b.example>") == "452 4.5.3 Too many recipients"
            await client.say("DATA")
            assert (await client.say_octets(b"x\r\n.\r\n")).startswith("250 ")
        assert built.limits == ["smtp.max_recipients 127.0.0.1"]
    assert built.next_hop.mails[0].recipients == ["bob@b.example", "carol@b.example"]


async def test_announced_size() -> None:
    """A SIZE beyond the largest mail is refused at once; the journal has a line about that mail."""
    async with stand(options=replace(OPTIONS, max_octets=70_000)) as built, built.client() as client:
        await client.say("EHLO c.example")
        assert await client.say("MAIL FROM:<alice@a.example> SIZE=70001") == "552 5.3.4 Mail bigger than allowed"
        [record] = built.records
        assert (record.code, record.cause) == (552, "bigger than allowed")


async def test_mail_loop() -> None:
    """A mail that has passed too many servers is refused before it is judged."""
    async with stand(options=replace(OPTIONS, max_received=3)) as built:
        assert (await built.send(b"Received: x\r\n" * 3 + b"\r\nx")).startswith("250 ")
        assert await built.send(b"Received: x\r\n" * 4 + b"\r\nx") == "554 5.4.6 Too many hops: the mail goes round in a circle"
        assert (built.records[-1].code, built.records[-1].cause) == (554, "more than 3 Received fields")
        assert len(built.judged) == 1
    assert len(built.next_hop.mails) == 1


async def test_mails_in_flight() -> None:
    """A mail that does not get its turn in time hears 451; when another one has ended, the next goes on."""
    async with stand(options=replace(OPTIONS, max_in_flight=1, wait_seconds=0.1)) as built:
        go_on, reached = asyncio.Event(), asyncio.Event()

        async def judge(mail: Mail) -> Decision:
            reached.set()
            await go_on.wait()
            return decision()

        built.decide = judge
        first = asyncio.create_task(built.send(b"x"))
        await reached.wait()
        assert await built.send(b"y") == "451 4.3.2 Too many mails at once; please try again later"
        assert (built.records[-1].code, built.records[-1].cause) == (451, "too many mails in flight")
        waiting = asyncio.create_task(built.send(b"z"))
        await asyncio.sleep(0.03)
        go_on.set()
        assert (await first).startswith("250 ")
        assert (await waiting).startswith("250 ")
        assert built.proxy.board.taken(Scarce.TURNS) == 0
    assert len(built.next_hop.mails) == 2


async def test_large_mails_take_no_turn() -> None:
    """A large mail may wait long for a child; small ones go on meanwhile, and it goes on beside them."""
    async with stand(options=replace(OPTIONS, max_in_flight=1, wait_seconds=0.1, large_octets=1_000)) as built:
        go_on, reached = asyncio.Event(), asyncio.Event()

        async def judge(mail: Mail) -> Decision:
            if len(mail.raw) > 1_000:
                reached.set()
                await go_on.wait()
            return decision()

        built.decide = judge
        large = [asyncio.create_task(built.send(b"x" * 2_000)) for _ in range(2)]
        await reached.wait()
        assert (await built.send(b"y")).startswith("250 ")
        go_on.set()
        assert all(answer.startswith("250 ") for answer in await asyncio.gather(*large))
        assert built.proxy.board.taken(Scarce.TURNS) == 0


# -- mail that is not judged --


@pytest.mark.parametrize(
    ("peers", "said", "unscanned"),
    [
        (("127.0.0.1",), "XFORWARD ADDR=192.0.2.9", "internal"),
        (("127.0.0.1",), "XFORWARD ADDR=198.51.100.9", ""),
        (("127.0.0.1",), "NOOP", ""),
        (("192.0.2.1",), "XFORWARD ADDR=192.0.2.9", ""),
    ],
    ids=["listed client", "other client", "client not known", "stranger who claims it"],
)
async def test_listed_clients_are_not_judged(peers: tuple[str, ...], said: str, unscanned: str) -> None:
    """The client is the one that a listed peer names; a stranger may name nobody."""
    async with stand(options=replace(OPTIONS, trusted_peers=peers, bypass_clients=("192.0.2.0/24",))) as built:
        async with built.client() as client:
            await client.say("EHLO c.example")
            await client.say(said)
            for line in (*ENVELOPE[1:], "DATA"):
                await client.say(line)
            assert (await client.say_octets(b"x\r\n.\r\n")).startswith("250 ")
        assert built.records[-1].unscanned == unscanned
        assert len(built.judged) == (0 if unscanned else 1)


async def test_a_stranger_that_is_listed_is_not_judged() -> None:
    """Without a mail server before us the client is who connects."""
    async with stand(options=replace(STRANGERS, bypass_clients=("127.0.0.1",))) as built:
        assert (await built.send(b"x")).startswith("250 ")
        assert built.records[-1].unscanned == "internal"


@pytest.mark.parametrize(
    ("options", "unscanned"),
    [(OPTIONS, ""), (replace(OPTIONS, bypass_authenticated=True), "authenticated"), (replace(STRANGERS, bypass_authenticated=True), "")],
    ids=["by default", "listed peer", "stranger"],
)
async def test_users_who_logged_in_are_not_judged(options: Options, unscanned: str) -> None:
    """Only where the settings say so, and only on the word of a listed peer."""
    async with stand(options=options) as built:
        assert (await built.send(b"Received: from x (y [192.0.2.1]) by mx.example with ESMTPSA id 1; date\r\n\r\nx")).startswith("250 ")
        assert built.records[-1].unscanned == unscanned
        assert len(built.judged) == (0 if unscanned else 1)


# -- parameters --


async def test_parameters_go_with_a_held_mail() -> None:
    """MAIL's and those of each recipient that was taken, as the client gave them, mail by mail."""
    async with stand(FakeNextHop(script={"RCPT <no@b.example>": "550 5.1.1 No"})) as built:
        built.decide = decides(Action.QUARANTINE)
        async with built.client() as client:
            await client.say("EHLO c.example")
            for line in (
                "MAIL FROM:<alice@a.example> RET=HDRS ENVID=Q1",
                "RCPT TO:<no@b.example> NOTIFY=FAILURE",
                "RCPT TO:<bob@b.example> NOTIFY=NEVER",
                "RCPT TO:<carol@b.example>",
                "DATA",
            ):
                await client.say(line)
            await client.say_octets(b"x\r\n.\r\n")
            for line in (*ENVELOPE[1:], "DATA"):
                await client.say(line)
            await client.say_octets(b"x\r\n.\r\n")
        assert built.params == [Params((b"RET=HDRS", b"ENVID=Q1"), ((b"NOTIFY=NEVER",), ())), Params((), ((),))]
