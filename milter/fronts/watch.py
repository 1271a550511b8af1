"""What the parent remembers of the log for `status`: the next hop, the DNS, the quarantine, as they were last heard of."""

from __future__ import annotations

from typing import Any

from milter.fronts.journal import Event

_SUMS = ("hits", "misses")
_WORKERS = 128  # of the latest the counts are kept


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
        self._dns = {"resolvers": list(resolvers)}

    def read(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case {"event": "mail", "next_hop": str(reply)}:
                self._next_hop["last_reply"] = {"at": event.get("timestamp"), "reply": reply}
            case {"event": "mail", "cause": str(cause)} if "next hop" in cause:
                self._next_hop["last_trouble"] = {"at": event.get("timestamp"), "trouble": cause}
            case {"event": "next hop", "trouble": str(trouble)}:
                self._next_hop["last_trouble"] = {"at": event.get("timestamp"), "trouble": trouble}
            case {"event": "counts", "dns": dict(dns), "pid": int(pid)}:
                self._counts.pop(pid, None)
                self._counts[pid] = dns
                if len(self._counts) > _WORKERS:
                    del self._counts[next(iter(self._counts))]
                for name in ("quarantine_mails", "quarantine_octets"):
                    if name in event:
                        self._quarantine[name.removeprefix("quarantine_")] = event[name]

    def summary(self) -> dict[str, Any]:
        """For `status`; DNS counts are those of the workers since they started."""
        asked: dict[str, int] = {}
        for counts in self._counts.values():
            for status, number in counts.get("asked", {}).items():
                asked[status] = asked.get(status, 0) + number
        sums = {name: sum(counts.get(name, 0) for counts in self._counts.values()) for name in _SUMS}
        return {"next_hop": self._next_hop, "dns": {**self._dns, **sums, "asked": asked}, "quarantine": self._quarantine or None}
