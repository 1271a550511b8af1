"""Writes every generated file: example settings, reference pages, rule index and schema (`make generate`)."""

from __future__ import annotations

from pathlib import Path

from milter import app
from milter.fronts import watch_reference
from milter.ruleset import reference as rule_reference
from milter.settings import reference as settings_reference
from milter.settings.model import Settings

ROOT = Path(__file__).resolve().parents[1]


def pages() -> dict[str, str]:
    """The text of each generated file, by its path in the repository."""
    return {
        "config/settings.example.yml": settings_reference.example(),
        "docs/reference/settings.md": settings_reference.reference(),
        "docs/reference/log.md": watch_reference.log_page(),
        "docs/reference/metrics.md": watch_reference.metrics_page(),
        **rule_reference.generated(app.load_ruleset(Settings())),
    }


def main() -> None:
    """Write what differs and say so."""
    for name, text in pages().items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
