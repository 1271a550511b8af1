"""The measuring stick, frozen: aiosmtpd as it comes, aiosmtplib behind it, one next-hop connection a mail, no judgement.

Must not be improved: every figure of the past is a ratio to it.

    python -m bench.baseline PORT NEXT_HOP_PORT
"""

from __future__ import annotations

import asyncio
import sys

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session


class Relay:
    def __init__(self, next_hop: int) -> None:
        self._next_hop = next_hop

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        content = envelope.original_content
        assert isinstance(content, bytes)
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=self._next_hop) as client:
            await client.sendmail(envelope.mail_from or "", [str(rcpt) for rcpt in envelope.rcpt_tos], content)
        return "250 2.0.0 Ok"


async def main(port: int, next_hop: int) -> None:
    loop = asyncio.get_running_loop()
    relay = Relay(next_hop)
    server = await loop.create_server(lambda: SMTP(relay, hostname="baseline.test", enable_SMTPUTF8=True), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
