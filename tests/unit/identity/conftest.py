"""The two shipped registries, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from milter.identity import registry_file
from milter.identity.registry import Registry

REGISTRIES = Path(__file__).resolve().parents[3] / "config" / "registry"


def _load(name: str) -> Registry:
    return registry_file.load([(name, (REGISTRIES / name).read_bytes())])


@pytest.fixture(scope="session")
def invented() -> Registry:
    """The invented insurers."""
    return _load("example.yml")


@pytest.fixture(scope="session")
def french() -> Registry:
    """The French market."""
    return _load("fr.yml")
