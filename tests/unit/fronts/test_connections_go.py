"""What a connection leaves in memory: nothing."""

from __future__ import annotations

import asyncio
import gc

import pytest

from milter.fronts.smtp_session import SmtpSession
from tests.helpers.proxy import Stand, stand


async def _converse(built: Stand, *, polite: bool) -> None:
    async with built.client() as client:
        await client.say("EHLO c.example")
        if polite:
            await client.say("QUIT")


@pytest.mark.parametrize("polite", [True, False])
async def test_a_connection_goes_without_the_collector(*, polite: bool) -> None:
    """A session is gone when its client is: it is in no cycle, which the collector of a busy worker would find an hour later."""
    async with stand() as built:
        assert (await built.send(b"small")).startswith("250 ")
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                await _converse(built, polite=polite)
            await asyncio.sleep(0.05)
            assert not [one for one in gc.get_objects() if isinstance(one, SmtpSession)]
        finally:
            gc.enable()
