"""The counters: made from log events alone, never backwards, readable by Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from milter.adapters import metrics
from milter.adapters.metrics import FAMILIES, PREFIX, STAGES, Metrics
from milter.model.verdict import Action, VerdictKind

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "deploy/monitoring"
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
MAIL: dict[str, Any] = {
    "event": "mail",
    "action": "tag",
    "would": "quarantine",
    "verdict": "suspect",
    "insurer": "mutuelle-lavande",
    "octets": 1_000,
    "recipients": 2,
    "code": 250,
    "next_hop": "250 2.0.0 Ok",
    "ms": {"auth": 5.0, "deliver": 20.0, "total": 30.0},
}
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: package prometheus), so its checks are skipped")


def made(*events: dict[str, Any]) -> Metrics:
    """Metrics that have observed these events."""
    built = Metrics(["mutuelle-lavande"])
    for event in events:
        built.observe(event)
    return built


def series(built: Metrics) -> dict[str, float]:
    """Every series of the text that is not zero, as Prometheus reads it, without the prefix."""
    text = built.text().decode()
    return {
        sample.name.removeprefix(PREFIX) + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value and not sample.name.endswith("_bucket")
    }


def test_a_mail_is_counted_everywhere() -> None:
    """One line of the log, one count in each metric that it speaks of."""
    assert series(made(MAIL, MAIL)) == {
        "mails_total[tag]": 2,
        "would_total[quarantine]": 2,
        "verdicts_total[suspect]": 2,
        "insurer_mails_total[mutuelle-lavande][suspect]": 2,
        "received_bytes_total": 2_000,
        "recipients_total": 4,
        "answers_total[2xx]": 2,
        "next_hop_answers_total[2xx]": 2,
        "stage_seconds_count[auth]": 2,
        "stage_seconds_sum[auth]": 0.01,
        "stage_seconds_count[deliver]": 2,
        "stage_seconds_sum[deliver]": 0.04,
        "stage_seconds_count[total]": 2,
        "stage_seconds_sum[total]": 0.06,
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"next_hop": "451 4.2.0"}, "4xx"),
        ({"next_hop": "554 5.7.1"}, "5xx"),
        ({"next_hop": ""}, "none"),
        ({"next_hop": "", "in_doubt": True}, "doubt"),
        ({"next_hop": "", "ms": {}, "cause": "no connection to the next hop (Connection refused)"}, "none"),
        ({"next_hop": "", "ms": {"store": 5}}, ""),
        ({"next_hop": "", "ms": {"store": 5}, "in_doubt": True, "cause": "the worker died while it stored the mail"}, ""),
        ({"next_hop": "", "ms": {}, "in_doubt": True, "cause": "the worker died before the next hop's answer was passed on"}, "doubt"),
        ({"next_hop": "", "ms": {}, "cause": "bigger than allowed"}, ""),
    ],
)
def test_what_the_next_hop_said(more: dict[str, Any], expected: str) -> None:
    """A mail that was handed over has one outcome; one that was not has none."""
    found = {name for name in series(made({**MAIL, **more})) if name.startswith("next_hop")}
    assert found == ({f"next_hop_answers_total[{expected}]"} if expected else set())


@pytest.mark.parametrize(("code", "expected"), [(250, "2xx"), (451, "4xx"), (550, "5xx"), (0, "none"), (None, "none"), (99, "none"), (1e300, "none")])
def test_answers_by_class(code: float | None, expected: str) -> None:
    """The class of the code; `none` when the client heard nothing."""
    event = {"event": "mail", **({} if code is None else {"code": code})}
    assert made(event).count("answers_total", expected) == 1


@pytest.mark.parametrize(("why", "expected"), [("paused", "paused"), ("KeyError", "bug"), ("RecursionError", "bug"), ("x" * 1_000, "bug")])
def test_unscanned_by_reason(why: str, expected: str) -> None:
    """An error of ours counts as one kind, whatever its name."""
    assert made({**MAIL, "unscanned": why}).count("unscanned_total", expected) == 1


def test_an_insurer_that_the_registry_does_not_know_is_other() -> None:
    """Series are as many as the registry has ids; a new registry brings its own."""
    built = made({**MAIL, "insurer": "invented"})
    assert built.count("insurer_mails_total", "other", "suspect") == 1
    built.set_insurers(["invented"])
    built.observe({**MAIL, "insurer": "invented"})
    assert built.count("insurer_mails_total", "invented", "suspect") == 1


def counts(pid: int, timeouts: int, **more: Any) -> dict[str, Any]:
    """What a worker says each second."""
    return {"event": "counts", "pid": pid, "dns": {"hits": 10 * timeouts, "asked": {"timeout": timeouts}}, **more}


def test_sums_of_workers_never_go_back() -> None:
    """Two workers' sums are added; one that was replaced, even with its number given again, goes on where the other ended."""
    built = made(counts(1, 5), counts(2, 7), counts(1, 6), counts(1, 6))
    assert built.count("dns_answers_total", "timeout") == 13
    built.observe({"event": "worker died", "pid": 1})
    built.observe(counts(3, 4, lost=2, children_killed=1, quarantine_mails=3, quarantine_octets=900))
    built.observe(counts(1, 1))
    built.observe(counts(2, 2))
    assert built.count("dns_answers_total", "timeout") == 13 + 4 + 1 + 2
    assert built.count("dns_cache_hits_total") == 200
    assert (built.count("log_lines_lost_total"), built.count("children_killed_total"), built.count("worker_deaths_total")) == (2, 1, 1)
    assert series(built)["quarantine_bytes"] == 900


def test_thousands_of_workers_are_forgotten() -> None:
    """Reloads by the hundred leave nothing behind in memory, and lose no count."""
    built = Metrics()
    for pid in range(5_000):
        built.observe(counts(pid, 1))
    assert built.count("dns_answers_total", "timeout") == 5_000
    assert len(built._seen) <= 256


def test_other_events() -> None:
    """Reloads, deaths and bugs are counted; what is not known is not."""
    built = made(
        {"event": "reload", "result": "done"},
        {"event": "reload", "result": "refused"},
        {"event": "worker died", "pid": 5, "exit_code": -9},
        {"event": "bug", "place": "x"},
        {"event": "limit", "limit": "smtp.max_connections", "client": "192.0.2.1", "times": 7},
        {"event": "limit", "limit": "smtp.unknown", "client": "192.0.2.1"},
        {"event": "listening"},
        {},
    )
    assert series(built) == {
        "reloads_total[done]": 1,
        "reloads_total[refused]": 1,
        "worker_deaths_total": 1,
        "bugs_total": 1,
        "limits_total[smtp.max_connections]": 7,
        "limits_total[other]": 1,
    }


@pytest.mark.parametrize(
    "event",
    [
        {"event": ["mail"]},
        {"event": None},
        {"event": "mail", "code": "x"},
        {"event": "mail", "action": {}},
        {"event": "mail", "ms": 5},
        {"event": "mail", "ms": {"total": "x"}},
        {"event": "mail", "octets": "9"},
        {"event": "counts", "dns": 5},
        {"event": "counts", "pid": [], "dns": {"asked": {"ok": 1}}},
        {"event": "counts", "pid": 1, "dns": {"asked": {"ok": None}}},
    ],
)
def test_no_event_breaks_the_counting(event: dict[str, Any]) -> None:
    """An event that is not as it must be raises nothing, and the next one counts."""
    built = made(event, MAIL)
    assert built.count("mails_total", "tag") == 1
    assert built.text()


def test_state_is_shown_when_it_is_set() -> None:
    """Gauges appear once they are known, and keep their value; an unknown name is a mistake."""
    built = made()
    assert b"insurer_milter_workers " not in built.text()
    built.set_state(workers=2, paused=True)
    built.set_state(workers=1)
    assert {name: value for name, value in series(built).items() if name in ("workers", "paused")} == {"workers": 1, "paused": 1}
    with pytest.raises(KeyError):
        built.set_state(wrokers=1)


def test_every_series_is_there_from_the_start() -> None:
    """A rate sees the first event: series with known labels begin at zero; actions and verdicts are those of the model."""
    text = made().text().decode()
    for action in (*Action, "unjudged"):
        assert f'{PREFIX}mails_total{{action="{action}"}} 0.0' in text
    for verdict in VerdictKind:
        assert f'{PREFIX}verdicts_total{{verdict="{verdict}"}} 0.0' in text
    for stage in STAGES:
        assert f'{PREFIX}stage_seconds_count{{stage="{stage}"}} 0.0' in text


def test_histogram_buckets_hold_the_times() -> None:
    """A time counts in each bucket that is not below it, and in +Inf."""
    built = made(*({**MAIL, "ms": {"total": ms}} for ms in (0.5, 1.0, 1.1, 300.0, 10**9)))
    found = dict(re.findall(r'stage_seconds_bucket\{le="([^"]+)",stage="total"\} ([0-9.]+)', built.text().decode()))
    assert (found["0.001"], found["0.004"], found["1.0"], found["64.0"], found["+Inf"]) == ("2.0", "3.0", "4.0", "4.0", "5.0")


def test_a_mail_costs_little() -> None:
    """Below 30 µs, here with a margin for a busy machine."""
    built = made()
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            built.observe(MAIL)
        best = min(best, (time.perf_counter() - began) / 100)
    assert best < 60e-6


def test_every_metric_is_documented() -> None:
    """The reference page has each metric with its help."""
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert [family.name for family in FAMILIES if f"| `{family.name}` |" not in page or family.help not in page] == []
    assert metrics.CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def names(text: str) -> set[str]:
    """The metrics that an expression or a page asks for."""
    found = re.findall(rf"{PREFIX}(\w+)", text)
    return {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in found}


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    """No rule waits for a name, and no label, that nobody writes."""
    known = {family.name: family for family in FAMILIES}
    alerts = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
    dashboard = (MONITORING / "dashboard.json").read_text(encoding="utf-8")
    expressions = [rule["expr"] for group in yaml.safe_load(alerts)["groups"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in json.loads(dashboard)["panels"] for target in panel["targets"]]
    assert len(expressions) > 30
    for expression in expressions:
        assert names(expression) <= known.keys(), expression
        for name, selector in re.findall(rf"{PREFIX}(\w+?)(?:_bucket|_sum|_count)?\{{([^}}]*)\}}", expression):
            for label, wanted in re.findall(r'(\w+)=~?"([^"]*)"', selector):
                if label != "instance":
                    assert set(wanted.split("|")) <= set(known[name].labels[label]), expression


@needs_promtool
def test_promtool_finds_the_text_good() -> None:
    """Names, types, helps and units follow Prometheus's conventions."""
    built = made(MAIL, counts(1, 1))
    built.set_state(workers=1, workers_wanted=1, quarantine_bytes=5, mails_in_flight=0)
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=built.text(), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@needs_promtool
def test_promtool_finds_the_alert_rules_good() -> None:
    """Every expression of the alert rules can be read."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "rules", str(MONITORING / "alerts.yml")], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
