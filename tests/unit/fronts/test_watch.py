"""What `status` remembers of the log: the next hop and the DNS of now, not of before."""

from __future__ import annotations

from datetime import datetime

from milter.fronts.watch import Watch


def counts(pid: int, **asked: int) -> dict[str, object]:
    """A line of a worker's sums."""
    return {"event": "counts", "pid": pid, "dns": {"hits": 1, "misses": sum(asked.values()), "asked": asked}}


def test_another_next_hop_has_no_past() -> None:
    """After a reload with another next hop its address is shown, and nothing that the old one said; the same one keeps what it said."""
    watch = Watch("127.0.0.1:10026", ())
    watch.read({"event": "mail", "timestamp": "T1", "next_hop": "250 2.0.0 Ok"})
    watch.about("127.0.0.1:10026", ())
    assert watch.summary()["next_hop"]["last_reply"] == {"at": "T1", "reply": "250 2.0.0 Ok"}
    watch.about("127.0.0.1:10027", ())
    assert watch.summary()["next_hop"] == {"address": "127.0.0.1:10027", "last_reply": None, "last_trouble": None}


def test_the_last_failure_of_the_dns_has_its_time() -> None:
    """Sums say that there were failures; whether the DNS fails now is seen by the time of the last one, which an answer does not change."""
    watch = Watch("127.0.0.1:10026", ("127.0.0.1:53",))
    watch.read(counts(1, ok=5, nxdomain=1))
    assert watch.summary()["dns"]["last_failure"] is None
    watch.read(counts(1, ok=5, nxdomain=1, timeout=1))
    failed = watch.summary()["dns"]["last_failure"]
    assert datetime.fromisoformat(failed).tzinfo is not None
    watch._dns["last_failure"] = "T1"
    watch.read(counts(1, ok=9, nxdomain=1, timeout=1))
    watch.about("127.0.0.1:10026", ("127.0.0.1:53",))
    assert watch.summary()["dns"] == {
        "resolvers": ["127.0.0.1:53"],
        "last_failure": "T1",
        "hits": 1,
        "misses": 11,
        "asked": {"ok": 9, "nxdomain": 1, "timeout": 1},
    }
    watch.about("127.0.0.1:10026", ("127.0.0.2:53",))
    assert watch.summary()["dns"]["last_failure"] is None
