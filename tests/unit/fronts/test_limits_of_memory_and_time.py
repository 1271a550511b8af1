"""Limits of memory and time: large mails wait for room, slow and silent clients are let go, and everybody else goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from milter.adapters.board import Scarce
from milter.model.mail import Mail
from milter.model.verdict import Decision
from tests.helpers.proxy import Client, Stand, decision, stand
from tests.unit.fronts.test_limits import MEGA, OPTIONS, begun

# -- memory --

TIGHT = replace(OPTIONS, max_octets=3_000_000, memory_octets=4_000_000, wait_seconds=0.15)


async def test_large_mails_wait_for_room() -> None:
    """A large mail for which there is no room waits at DATA, then hears 452; small ones go on meanwhile."""
    async with stand(options=TIGHT) as built:
        async with built.client() as holder, built.client() as client:
            assert (await begun(holder, size=3_000_000)).startswith("354 ")
            assert await begun(client, size=1_500_000) == "452 4.3.1 No memory for a mail of this size now; please try again later"
            assert (built.records[-1].code, built.records[-1].cause) == (452, "no memory for mails in flight")
            assert (await built.send(b"small")).startswith("250 ")
            assert built.proxy.place.octets == 3_000_000
            waiting = asyncio.create_task(begun(client, size=1_500_000))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert (await holder.say_octets(b"x\r\n.\r\n")).startswith("250 ")
            assert (await waiting).startswith("354 ")
            assert (await client.say_octets(MEGA * 1_400 + b".\r\n")).startswith("250 ")
        assert built.proxy.place.octets == 0


async def test_mail_that_grows_beyond_what_it_said() -> None:
    """A mail that says nothing of its size, or too little, needs the room of the largest one; without it, it is not kept and hears 452."""
    async with stand(options=TIGHT) as built:
        async with built.client() as holder, built.client() as client:
            assert (await begun(holder, size=2_000_000)).startswith("354 ")
            for size in (None, 10):
                assert (await begun(client, size=size)).startswith("354 ")
                said = await client.say_octets(MEGA * 2_000 + b".\r\n")
                assert said == "452 4.3.1 No memory for a mail of this size now; please try again later"
                assert built.records[-1].cause == "no memory for mails in flight"
            holder.vanish()
            await asyncio.sleep(0.05)
            assert (await begun(client)).startswith("354 ")
            assert (await client.say_octets(MEGA * 2_000 + b".\r\n")).startswith("250 ")
        assert built.proxy.place.octets == 0
    assert len(built.next_hop.mails) == 1


@pytest.mark.parametrize(("is_room", "code"), [(False, "452"), (True, "250")])
async def test_the_end_that_comes_during_the_wait_for_room(*, is_room: bool, code: str) -> None:
    """A mail whose last octets come while it waits for room is answered when the wait is over, not when its client seems too slow."""
    async with stand(options=TIGHT) as built, built.client() as holder, built.client() as client:
        assert (await begun(holder, size=2_000_000)).startswith("354 ")
        assert (await begun(client)).startswith("354 ")
        client.writer.write(MEGA * 21)
        await asyncio.sleep(0.05)
        client.writer.write(b".\r\n")
        if is_room:
            await asyncio.sleep(0.02)
            holder.vanish()
        async with asyncio.timeout(5):
            assert (await client.reply()).startswith(code)


async def test_a_wrong_size_with_little_memory() -> None:
    """A mail larger than its client said gets the room of the largest one when nobody else has any, even where that is more than there ever is."""
    async with stand(options=replace(TIGHT, memory_octets=2_000_000)) as built:
        async with built.client() as client:
            assert (await begun(client, size=500_000)).startswith("354 ")
            assert (await client.say_octets(MEGA * 1_500 + b".\r\n")).startswith("250 ")
        assert built.proxy.board.taken(Scarce.OCTETS) == 0


async def test_many_large_mails_at_once() -> None:
    """Twelve large mails, room for two: all are delivered one after another, and never is more held than there is room."""
    async with stand(options=replace(TIGHT, memory_octets=3_100_000, wait_seconds=20)) as built:
        most = 0

        async def judge(mail: Mail) -> Decision:
            nonlocal most
            most = max(most, built.proxy.board.taken(Scarce.OCTETS))
            return decision()

        async def send() -> str:
            async with built.client() as client:
                assert (await begun(client, size=1_500_000)).startswith("354 ")
                return await client.say_octets(MEGA * 1_500 + b".\r\n")

        built.decide = judge
        said = await asyncio.gather(*(send() for _ in range(12)))
        assert {answer[:3] for answer in said} == {"250"}
        assert 1_500_000 <= most <= 3_100_000
        assert built.proxy.place.octets == 0


# -- time --


async def ended(client: Client, built: Stand) -> str:
    """What the client hears at last; the connection is closed then."""
    said = await client.reply()
    assert await client.reply() == ""
    await asyncio.sleep(0)
    return said


async def test_silent_client() -> None:
    """A client that says nothing hears 421 when its time is over."""
    async with stand(options=replace(OPTIONS, idle_seconds=0.2)) as built, built.client() as client:
        assert await ended(client, built) == "421 4.4.2 Silent for too long"
        assert built.limits == ["smtp.idle_seconds 127.0.0.1"]


async def test_command_that_drips() -> None:
    """The time holds for a whole command: an octet now and then does not make it longer."""
    async with stand(options=replace(OPTIONS, idle_seconds=0.3)) as built, built.client() as client:

        async def drip() -> None:
            while True:
                client.writer.write(b"N")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        said = await asyncio.wait_for(ended(client, built), 3)
        dripping.cancel()
        assert said == "421 4.4.2 Silent for too long"


async def test_silent_in_the_middle_of_a_mail() -> None:
    """The journal says why the mail came to nothing."""
    async with stand(options=replace(OPTIONS, idle_seconds=0.2)) as built, built.client() as client:
        await begun(client)
        client.writer.write(b"half")
        assert await ended(client, built) == "421 4.4.2 Silent for too long"
        assert [(record.code, record.cause) for record in built.records] == [(421, "the client was silent for too long")]
    assert built.next_hop.commands[-1] == "RSET"


async def test_slow_writer() -> None:
    """A client that sends its mail too slowly on the whole hears 421, though it is never silent for long."""
    options = replace(OPTIONS, min_octets_per_second=10_000, grace_seconds=0.2)
    async with stand(options=options) as built, built.client() as client:
        await begun(client)

        async def drip() -> None:
            while True:
                client.writer.write(b"x" * 50)
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        said = await asyncio.wait_for(ended(client, built), 3)
        dripping.cancel()
        assert said == "421 4.4.2 Too slow; please try again later"
        assert built.limits == ["smtp.min_octets_per_second 127.0.0.1"]
        assert [(record.code, record.cause) for record in built.records] == [(421, "the client sent too slowly")]
    assert not built.next_hop.mails


async def test_a_mail_that_is_fast_enough() -> None:
    """Slow but not too slow, and a pause within the grace, is no reason to end it."""
    options = replace(OPTIONS, min_octets_per_second=1_000, grace_seconds=0.3)
    async with stand(options=options) as built, built.client() as client:
        await begun(client)
        for _ in range(12):
            client.writer.write(b"x" * 98 + b"\r\n")
            await asyncio.sleep(0.08)
        assert (await client.say_octets(b".\r\n")).startswith("250 ")


async def test_client_that_does_not_read_its_goodbye() -> None:
    """A client that reads nothing at all is gone when its time is over, also one that said QUIT."""
    options = replace(OPTIONS, idle_seconds=0.3, grace_seconds=0.2)
    async with stand(options=options) as built, built.client() as client:
        transport = client.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        client.writer.write(b"HELP\r\n" * 200_000 + b"QUIT\r\n")
        for _ in range(200):
            if not built.proxy.sessions:
                break
            await asyncio.sleep(0.02)
        assert not built.proxy.sessions
        assert built.proxy.place.connections == 0
