"""Listening, and stopping without losing a mail."""

from __future__ import annotations

import asyncio
import socket

import pytest

from milter.errors import ListenError
from milter.fronts import listen
from milter.model.mail import Mail
from milter.model.verdict import Decision
from milter.settings.addresses import HostPort
from tests.helpers.proxy import Client, decision, stand


async def test_busy_port() -> None:
    """A busy port is named, with what to do about it, and nothing stays open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenError, match=rf"cannot listen on 127\.0\.0\.1:{port}: another program listens there; stop it or choose another port"
        ):
            await listen.open_all([HostPort("127.0.0.1", 0), HostPort("127.0.0.1", port)], asyncio.Protocol)


async def test_address_of_another_machine() -> None:
    """An address that this machine does not have is said to be so."""
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:2525: this machine has no such address"):
        await listen.open_all([HostPort("192.0.2.1", 2525)], asyncio.Protocol)


async def test_several_addresses() -> None:
    """Each address is listened on, IPv6 too where there is any."""
    wanted = [HostPort("127.0.0.1", 0)]
    if socket.has_ipv6:
        wanted.append(HostPort("::1", 0))
    try:
        listener = await listen.open_all(wanted, asyncio.Protocol)
    except ListenError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert [address.host for address in listener.addresses] == [one.host for one in wanted]
    listener.close()


async def test_drain_lets_a_mail_finish() -> None:
    """At the end, a silent client is told 421 at once; a mail under way is finished and answered, then its client hears 421."""
    async with stand() as built:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def judge(mail: Mail) -> Decision:
            reached.set()
            await go_on.wait()
            return decision()

        built.decide = judge
        silent, busy = await Client.connect(built.port), await Client.connect(built.port)
        for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
            await busy.say(line)
        busy.writer.write(b"x\r\n.\r\n")
        await reached.wait()
        drained = asyncio.ensure_future(built.proxy.drain(5))
        assert (await silent.reply()).startswith("421 4.3.2 ")
        assert await silent.reply() == ""
        assert not drained.done()
        go_on.set()
        assert (await busy.reply()).startswith("250 ")
        assert (await busy.reply()).startswith("421 4.3.2 ")
        await drained
        for client in (silent, busy):
            await client.close()
    assert len(built.next_hop.mails) == 1


async def test_drain_has_an_end() -> None:
    """A mail that does not finish in time is given up without a delivery, and the client's connection is cut."""
    async with stand() as built:
        reached = asyncio.Event()

        async def judge(mail: Mail) -> Decision:
            reached.set()
            await asyncio.sleep(60)
            return decision()

        built.decide = judge
        client = await Client.connect(built.port)
        for line in ("EHLO c", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"):
            await client.say(line)
        client.writer.write(b"x\r\n.\r\n")
        await reached.wait()
        await built.proxy.drain(0.05)
        assert await client.reply() == ""
        await client.close()
        assert built.records[-1].cause == "given up while the proxy stopped"
    assert not built.next_hop.mails
