"""The counters of the whole service, made from its log events alone: what is logged and what is counted agree by construction.

Prometheus text format. Knows the events by name and their keys. Must not know who writes them. No label ever holds text of a mail: each value is
one of a list, everything else counts as `other`. Names are stable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "insurer_milter_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 64.0)
STAGES = ("receive", "mime", "auth", "identity", "engine", "deliver", "store", "total")
OTHER = "other"
_WORKERS = 256  # whose sums are remembered; more are never alive at once

Event = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `labels` maps each label to the values it may have; `insurers` stands for the registry's ids. Without labels it is one number."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, tuple[str, ...]]


_INSURERS = ("insurers",)
_CLASSES = ("2xx", "4xx", "5xx")
_UNSCANNED = ("paused", "internal", "authenticated", "bug")
_LIMITS = (
    *(
        f"smtp.{name}"
        for name in (
            "max_connections",
            "max_client_connections",
            "max_mails",
            "max_recipients",
            "max_errors",
            "idle_seconds",
            "min_octets_per_second",
        )
    ),
    "file descriptors",
)
_COUNTED: tuple[Family, ...] = tuple(
    Family(name, "counter", text, labels)
    for name, text, labels in (
        (
            "mails_total",
            "Mails that came to an end, by what was decided; `unjudged` ended before a judgement.",
            {"action": ("pass", "tag", "quarantine", "reject", "defer", "unjudged")},
        ),
        (
            "would_total",
            "Judged mails by what enforcing would have done with them; in observe mode this differs from the action.",
            {"action": ("pass", "tag", "quarantine", "reject", "defer")},
        ),
        ("verdicts_total", "Judged mails by verdict.", {"verdict": ("genuine", "mention", "suspect", "impersonation", "none")}),
        (
            "insurer_mails_total",
            "Mails about an insurer, by its registry id and the verdict. Series appear with the first such mail.",
            {"insurer": _INSURERS, "verdict": ("genuine", "mention", "suspect", "impersonation", "none")},
        ),
        ("received_bytes_total", "Size of the mails that were received whole.", {}),
        ("recipients_total", "Recipients of all mails.", {}),
        ("answers_total", "Final answers to clients by class of the code; `none`: the client was gone.", {"code": (*_CLASSES, "none")}),
        (
            "next_hop_answers_total",
            "Mails handed to the next hop by what it said in the end; `none`: it gave no answer, `doubt`: none after the final dot (RFC 1047).",
            {"outcome": (*_CLASSES, "none", "doubt")},
        ),
        ("unscanned_total", "Mails that went through unjudged, by reason; `bug` is an error of ours.", {"reason": _UNSCANNED}),
        ("incomplete_total", "Judged mails of which something could not be looked at (limits, DNS).", {}),
        (
            "dns_answers_total",
            "Answers of the DNS by outcome.",
            {"outcome": ("ok", "nxdomain", "nodata", "servfail", "timeout", "refused", "malformed")},
        ),
        ("dns_cache_hits_total", "Questions that were answered without asking the DNS.", {}),
        ("reloads_total", "Reloads of registry, rules, policy and settings by result; `refused` kept the old ones.", {"result": ("done", "refused")}),
        ("limits_total", "Times that a limit of the settings stopped a client, by its key.", {"limit": _LIMITS}),
        ("worker_deaths_total", "Workers that ended although nobody told them to.", {}),
        ("children_killed_total", "Children for the content of mails that were killed for their time or memory.", {}),
        ("bugs_total", "Errors of our own that were caught, each with a log line `bug`.", {}),
        ("log_lines_lost_total", "Log lines that the parent, or who reads its log, could not take in time.", {}),
    )
)
_STATES: tuple[Family, ...] = tuple(
    Family(name, "gauge", text, {})
    for name, text in (
        ("workers", "Workers that are alive."),
        ("workers_wanted", "Workers that the settings ask for."),
        ("mails_in_flight", "Mails between our 354 and our answer."),
        ("mails_in_flight_bytes", "Memory that mails in flight hold."),
        ("connections", "Open SMTP connections."),
        ("paused", "1 while judging is switched off by `pause`, else 0."),
        ("ready", "1 while every worker serves, else 0."),
        ("quarantine_mails", "Mails in the quarantine."),
        ("quarantine_bytes", "Size of the mails in the quarantine."),
        ("start_time_seconds", "When the service was started, in seconds since 1970."),
        ("sets_loaded_time_seconds", "When the registry, rules and policy in force were loaded, in seconds since 1970."),
    )
)
_TIMES = Family("stage_seconds", "histogram", "Time of a mail in each stage that it reached.", {"stage": STAGES})
FAMILIES: tuple[Family, ...] = (*_COUNTED, _TIMES, *_STATES)
"""Every metric, in the order of the text."""


@dataclass(slots=True)
class _Histogram:
    counts: list[int]
    total: float = 0.0


class Metrics:
    """Counts what it observes. `insurers` are the ids of the registry in force. Never raises for an event, whatever is in it."""

    def __init__(self, insurers: Collection[str] = ()) -> None:
        self._insurers = frozenset(insurers)
        self._counts: dict[str, dict[tuple[str, ...], float]] = {family.name: dict.fromkeys(_zeros(family), 0) for family in _COUNTED}
        self._times = {stage: _Histogram([0] * (len(BUCKETS) + 1)) for stage in STAGES}
        self._state: dict[str, float] = {}
        self._seen: dict[object, dict[tuple[str, str], float]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(self._collect))
        self._observers: dict[str, Callable[[Event], None]] = {
            "mail": self._mail,
            "counts": self._sums,
            "reload": self._reload,
            "limit": lambda event: self._add("limits_total", event.get("limit", ""), by=event.get("times", 1)),
            "worker died": self._death,
            "bug": lambda event: self._add("bugs_total"),
        }

    def set_insurers(self, insurers: Collection[str]) -> None:
        """The ids of a new registry; what was counted for others stays."""
        self._insurers = frozenset(insurers)

    def observe(self, event: Event) -> None:
        """Count one log event. One that is not known, or not well formed, counts as far as it can be read."""
        try:
            observer = self._observers.get(event.get("event", ""))
            if observer is not None:
                observer(event)
        except (TypeError, ValueError, AttributeError, OverflowError):
            self._add("bugs_total")  # a line of ours that is not as it must be

    def set_state(self, **values: float) -> None:
        """Gauges by name (`FAMILIES`, kind gauge), for the next `text`; those not named keep their value. Raises KeyError for any other name."""
        for name, value in values.items():
            self._state[_GAUGES[name].name] = float(value)

    def count(self, name: str, *labels: str) -> float:
        """One counter now, for `status` and tests. Raises KeyError for a name that there is not; 0 for labels never seen."""
        return self._counts[name].get(labels, 0)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    # -- the events --

    def _mail(self, event: Event) -> None:
        get = event.get
        action, verdict, code = get("action", ""), get("verdict", ""), get("code", 0)
        self._add("mails_total", action or "unjudged")
        self._add("answers_total", _class(code))
        if action:
            self._add("would_total", get("would", action))
        if verdict:
            self._add("verdicts_total", verdict)
        if (insurer := get("insurer")) and verdict:
            self._add("insurer_mails_total", insurer if insurer in self._insurers else OTHER, verdict)
        if why := get("unscanned"):
            self._add("unscanned_total", why if why in _UNSCANNED else "bug")
        if get("incomplete"):
            self._add("incomplete_total")
        if octets := get("octets"):
            self._add("received_bytes_total", by=octets)
        if recipients := get("recipients"):
            self._add("recipients_total", by=recipients)
        if outcome := _outcome(event):
            self._add("next_hop_answers_total", outcome)
        times: Mapping[str, float] = get("ms") or {}
        for stage, histogram in self._times.items():
            if (milliseconds := times.get(stage)) is not None:
                seconds = milliseconds / 1_000
                histogram.counts[bisect_left(BUCKETS, seconds)] += 1
                histogram.total += seconds

    def _sums(self, event: Event) -> None:
        """Sums that a worker has counted since it started: what they have grown by is added."""
        pid = event.get("pid")
        seen = self._seen[pid] = self._seen.pop(pid, {})  # put last: the first has been silent for longest
        if len(self._seen) > _WORKERS:
            del self._seen[next(iter(self._seen))]
        dns = event.get("dns") or {}
        for outcome, value in (dns.get("asked") or {}).items():
            self._grow(seen, "dns_answers_total", outcome, value)
        for name, value in (
            ("dns_cache_hits_total", dns.get("hits")),
            ("children_killed_total", event.get("children_killed")),
            ("log_lines_lost_total", event.get("lost")),
        ):
            if value is not None:
                self._grow(seen, name, "", value)
        if "quarantine_mails" in event:
            self.set_state(quarantine_mails=event["quarantine_mails"], quarantine_bytes=event.get("quarantine_octets", 0))

    def _grow(self, seen: dict[tuple[str, str], float], name: str, label: str, value: float) -> None:
        before = seen.get((name, label), 0)
        grown = value - before if value >= before else value  # a new worker with an old number
        seen[name, label] = value
        if grown > 0:
            self._add(name, *((label,) if label else ()), by=grown)

    def _reload(self, event: Event) -> None:
        self._add("reloads_total", event.get("result", ""))

    def _death(self, event: Event) -> None:
        self._add("worker_deaths_total")
        self._seen.pop(event.get("pid"), None)

    def _add(self, name: str, *labels: str, by: float = 1) -> None:
        counts = self._counts[name]
        if labels not in counts and not (name == "insurer_mails_total" and labels[1] in _VERDICTS):
            labels = tuple(OTHER for _ in labels)
        counts[labels] = counts.get(labels, 0) + by

    # -- the text --

    def _collect(self) -> Iterator[Metric]:
        for family in _COUNTED:
            counter = CounterMetricFamily(PREFIX + family.name.removesuffix("_total"), family.help, labels=tuple(family.labels))
            for labels, value in self._counts[family.name].items():
                counter.add_metric(labels, value)
            yield counter
        times = HistogramMetricFamily(PREFIX + _TIMES.name, _TIMES.help, labels=tuple(_TIMES.labels))
        for stage, histogram in self._times.items():
            times.add_metric((stage,), list(_cumulated(histogram.counts)), histogram.total)
        yield times
        for family in _STATES:
            if family.name in self._state:
                yield GaugeMetricFamily(PREFIX + family.name, family.help, value=self._state[family.name])


class _Families(Collector):
    """What prometheus-client asks for the metrics at each scrape."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


_GAUGES = {family.name: family for family in _STATES}
_VERDICTS = frozenset(next(family for family in _COUNTED if family.name == "verdicts_total").labels["verdict"])


def _zeros(family: Family) -> Iterator[tuple[str, ...]]:
    """The series that are there from the start, so that a rate is seen from the first event on."""
    values = list(family.labels.values())
    if not values:
        yield ()
    elif len(values) == 1:
        yield from ((value,) for value in values[0])


def _class(code: int) -> str:
    return f"{code // 100}xx" if 200 <= code <= 599 else "none"


def _outcome(event: Event) -> str:
    """What the next hop said to a mail that was handed to it, "" when it was not asked."""
    if said := event.get("next_hop"):
        return said[:1] + "xx" if said[:1] in "245" else "none"
    if "deliver" in (event.get("ms") or ()) or "next hop" in event.get("cause", ""):
        return "doubt" if event.get("in_doubt") else "none"
    return ""


def _cumulated(counts: list[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for end, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        yield end, total
