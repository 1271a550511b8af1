"""What the parent remembers of the log for `status`: the next hop, the DNS, the quarantine, as they were last heard of."""

from __future__ import annotations

from typing import Any

from milter.adapters import clock
from milter.fronts.journal import Event

_SUMS = ("hits", "misses")
_WORKERS = 128  # of the latest the counts are kept
_FAILED = ("servfail", "timeout", "refused", "malformed")


class Watch:
    """Reads every event of the service."""

    def __init__(self, next_hop: str, resolvers: tuple[str, ...]) -> None:
        self._next_hop: dict[str, Any] = {}
        self._dns: dict[str, Any] = {}
        self._counts: dict[int, dict[str, Any]] = {}
        self._quarantine: dict[str, int] = {}
        self.about(next_hop, resolvers)

    def about(self, next_hop: str, resolvers: tuple[str, ...]) -> None:
        """These are in force from now on. What was heard of another next hop is not said of this one."""
        if self._next_hop.get("address") != next_hop:
            self._next_hop = {"address": next_hop, "last_reply": None, "last_trouble": None}
        if self._dns.get("resolvers") != list(resolvers):
            self._dns = {"resolvers": list(resolvers), "last_failure": None}

    def read(self, event: Event) -> None:
        """Take one event in."""
        name = event.get("event")
        if name == "mail":
            if reply := event.get("next_hop"):
                self._next_hop["last_reply"] = {"at": event.get("timestamp"), "reply": reply}
            elif "next hop" in (cause := event.get("cause", "")):
                self._next_hop["last_trouble"] = {"at": event.get("timestamp"), "trouble": cause}
        elif name == "next hop":
            self._next_hop["last_trouble"] = {"at": event.get("timestamp"), "trouble": event.get("trouble")}
        elif name == "counts" and "dns" in event:
            self._count(event)

    def _count(self, event: Event) -> None:
        pid, dns = event["pid"], event["dns"]
        before = self._counts.pop(pid, {})
        self._counts[pid] = dns
        if _failures(dns) > _failures(before):
            self._dns["last_failure"] = clock.now().isoformat("T", "seconds")
        if len(self._counts) > _WORKERS:
            del self._counts[next(iter(self._counts))]
        for key in ("quarantine_mails", "quarantine_octets"):
            if key in event:
                self._quarantine[key.removeprefix("quarantine_")] = event[key]

    def summary(self) -> dict[str, Any]:
        """For `status`; DNS counts are those of the latest workers since they started, `last_failure` is when the DNS last gave no answer."""
        asked: dict[str, int] = {}
        for counts in self._counts.values():
            for status, number in counts.get("asked", {}).items():
                asked[status] = asked.get(status, 0) + number
        sums = {name: sum(counts.get(name, 0) for counts in self._counts.values()) for name in _SUMS}
        return {"next_hop": self._next_hop, "dns": {**self._dns, **sums, "asked": asked}, "quarantine": self._quarantine or None}


def _failures(counts: dict[str, Any]) -> int:
    return sum(counts.get("asked", {}).get(status, 0) for status in _FAILED)
