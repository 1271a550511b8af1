"""What the long tests counted: printed after the run, and written to bench/figures when SAVE_FIGURES is set."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

FIGURES = Path(__file__).resolve().parents[2] / "bench" / "figures"
_SKIPPED = pytest.StashKey[bool]()
_FOUND: dict[str, dict[str, float]] = {}

Report = Callable[[Counter[str]], None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Call it with what the test counted; the seconds that the test took are added."""
    name = request.node.nodeid.removeprefix("tests/soak/")
    began = time.monotonic()

    def add(counts: Counter[str]) -> None:
        _FOUND[name] = {**counts, "seconds": round(time.monotonic() - began, 1)}

    yield add
    assert name in _FOUND or request.session.testsfailed or request.node.stash.get(_SKIPPED, default=False), "a long test that counted nothing"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember what was skipped in its midst."""
    outcome = yield
    if outcome.skipped:
        item.stash[_SKIPPED] = True
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts, whatever the verbosity; save them only when nothing failed."""
    if not _FOUND:
        return
    terminalreporter.section("counts of tests/soak")
    for name, counts in _FOUND.items():
        terminalreporter.write_line(
            f"{name}: " + ", ".join(f"{label} {count:g}" if label == "seconds" else f"{count} {label}" for label, count in counts.items())
        )
    if not os.environ.get("SAVE_FIGURES"):
        return
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line("not saved: a test failed")
        return
    now = datetime.now(UTC)
    about = {"date": f"{now:%Y-%m-%d}", "python": platform.python_version(), "cores": os.cpu_count()}
    path = FIGURES / f"soak-{now:%Y-%m-%d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**about, "counts": _FOUND}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    terminalreporter.write_line(f"saved: {path.relative_to(FIGURES.parents[1])}")
