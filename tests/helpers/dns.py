"""The DNS of tests: a dictionary that tells NXDOMAIN from NODATA, fails as planned and records its calls.

    DictResolver({"example.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.1"]}, "dead.test": "SERVFAIL"})
    DictResolver(read_zone(text))          # `name KIND value` a line, see milter.adapters.dns_zone

Names that are not there are NXDOMAIN, names with other records NODATA; CNAMEs are followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from milter.adapters.dns_zone import Records, Zone, read_zone
from milter.auth.resolver import Answer, DnsStatus, Question

__all__ = ["DictResolver", "load_zone", "read_zone"]


class DictResolver:
    """Fulfils `milter.auth.resolver.Resolver`. `calls` are the questions in order, `prefetched` the hints."""

    def __init__(self, records: Records | Zone | None = None, *, ttl: int = 300) -> None:
        self.zone = records if isinstance(records, Zone) else Zone(records or {})
        self.ttl = ttl
        self.calls: list[Question] = []
        self.prefetched: list[Question] = []

    def within(self, seconds: float) -> DictResolver:
        """Answers come at once, so every deadline holds."""
        return self

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Only recorded."""
        self.prefetched.extend(questions)

    async def query(self, name: str, kind: str) -> Answer:
        """Answer from the dictionary."""
        name = name.rstrip(".").lower()
        self.calls.append((name, kind))
        found = self.zone.find(name, kind)
        if found.status is not DnsStatus.OK:
            return Answer(found.status, ttl=self.ttl if found.status.is_void else 0)
        values = found.values
        if kind == "TXT":
            return Answer(found.status, texts=tuple(v if isinstance(v, bytes) else v.encode() for v in values), ttl=self.ttl)
        names = tuple((v.decode() if isinstance(v, bytes) else v).rstrip(".").lower() for v in values)
        return Answer(found.status, names=names, ttl=self.ttl)


def load_zone(path: Path) -> DictResolver:
    """The resolver of a golden folder's `dns.zone`."""
    return DictResolver(read_zone(path.read_text(encoding="utf-8")))
