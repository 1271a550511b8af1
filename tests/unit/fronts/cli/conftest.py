"""The command line in tests: no site configuration, and a DNS that is a dictionary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from milter import app
from milter.adapters import files
from milter.settings.model import Settings
from tests.helpers.dns import DictResolver

Records = dict[str, object]


@pytest.fixture(autouse=True)
def no_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc/insurer-milter does not exist."""
    monkeypatch.setattr(files, "SITE", tmp_path / "no-site")


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictResolver]:
    """Call it with records to make them the whole DNS of the commands."""

    def use(records: Records | None = None) -> DictResolver:
        resolver = DictResolver(records)  # type: ignore[arg-type]  # records as tests write them

        @asynccontextmanager
        async def open_resolver(settings: Settings) -> AsyncIterator[DictResolver]:
            yield resolver

        monkeypatch.setattr(app, "open_resolver", open_resolver)
        return resolver

    return use
