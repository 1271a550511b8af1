"""One Postfix for all tests here, and the figures that they want to show at the end of the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import gateway, stand

_FIGURES: list[str] = []


@pytest.fixture(scope="session")
def postfix() -> Iterator[stand.Postfix]:
    """A running Postfix; skipped with the reason where it cannot run."""
    reason = stand.why_not()
    if reason:
        pytest.skip(reason)
    if not gateway.is_built():
        pytest.skip("the command insurer-milter is not installed beside this Python")
    # Not pytest's own folder: that one is closed to the user whom virtual(8) becomes.
    root = Path(tempfile.mkdtemp(prefix="insurer-milter-postfix-"))
    try:
        with stand.running(root) as running:
            yield running
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def calm_dns() -> Iterator[gateway.FlatDns]:
    """A name server that knows no name."""
    with gateway.flat_dns(gateway.NXDOMAIN) as server:
        yield server


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines that are printed after the tests."""
    return _FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, whatever the verbosity."""
    if _FIGURES:
        terminalreporter.section("figures of tests/daemons")
        for line in _FIGURES:
            terminalreporter.write_line(line)
