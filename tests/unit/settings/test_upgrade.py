"""Settings of earlier versions still load."""

from __future__ import annotations

from pathlib import Path

import pytest

from milter.settings import check, load

FILES = Path(__file__).resolve().parents[2] / "vectors" / "settings-0.1"


@pytest.mark.parametrize("name", ["settings.yml", "every-key.yml"])
def test_settings_of_0_1_load(name: str) -> None:
    """A file that was in order stays in order, with the same values."""
    known = check.Known(("observe", "tag", "quarantine"), ("fr",), folder=str(FILES), is_file=lambda _: True)
    settings = load.load((FILES / name).read_bytes(), name, known)
    assert (settings.hostname, settings.policy, settings.smtp.next_hop, settings.dns.resolvers) == (
        "mx.example.org",
        "observe",
        "127.0.0.1:10026",
        ("127.0.0.1:53",),
    )
    assert settings.workers == 1
