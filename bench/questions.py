"""Counts the DNS questions that the judgement of the bench's mails asks, whether a cache would answer them or not.

python -m bench.questions        prints the count, by kind and for one mail
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from bench import mails
from milter.adapters.dns_zone import Zone
from milter.auth import collect
from milter.auth.resolver import Answer, DnsStatus, Question
from milter.mime import message
from milter.model.limits import Limits
from milter.model.mail import Connection, Envelope, Mail


class Counting:
    """A resolver that answers from the zone and counts."""

    def __init__(self, zone: mails.Zone) -> None:
        self.asked: Counter[Question] = Counter()
        self._zone = Zone({})
        for key, values in zone.items():
            name, _, kind = key.partition(" ")
            for value in values:
                self._zone.add(name, kind, value)

    def within(self, seconds: float) -> Counting:
        return self

    def prefetch(self, questions: Iterable[Question]) -> None:
        return

    async def query(self, name: str, kind: str) -> Answer:
        self.asked[name, kind] += 1
        found = self._zone.find(name, kind)
        if found.status is not DnsStatus.OK:
            return Answer(found.status, ttl=300)
        values = [value if isinstance(value, bytes) else value.encode() for value in found.values]
        if kind == "TXT":
            return Answer(found.status, texts=tuple(values), ttl=300)
        return Answer(found.status, names=tuple(value.decode() for value in values), ttl=300)


async def count() -> Counting:
    """Authenticate every mail of the bench once."""
    corpus = mails.load()
    resolver = Counting(corpus.zone)
    limits = Limits()
    for one in corpus.mails:
        mail = Mail(one.raw, Connection(one.client_ip, one.helo, one.helo), Envelope(one.mail_from, (one.rcpt_to,)))
        await collect.collect(mail, message.parse(one.raw, limits), resolver, limits, seconds=20, now=mails.SENT)
    return resolver


def main() -> None:
    resolver = asyncio.run(count())
    asked = resolver.asked.total()
    kinds: Counter[str] = Counter()
    for (_, kind), number in resolver.asked.items():
        kinds[kind] += number
    print(f"{asked} questions ({', '.join(f'{kind} {number}' for kind, number in kinds.items())}), {asked / mails.MAILS:.1f} a mail")
    print(f"{len(resolver.asked)} different ones: a cache that forgets nothing asks for {len(resolver.asked) / asked:.0%}")


if __name__ == "__main__":
    main()
