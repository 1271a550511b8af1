"""Every dialog file is a test: the real proxy on loopback, a scripted next hop, octets in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogs import dialog

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.dialog")), ids=lambda path: path.stem)
async def test_dialog(path: Path) -> None:
    """The proxy says and does what the dialog writes down."""
    await dialog.run(path)


def test_dialogs_begin_with_their_behaviour() -> None:
    """Each dialog file opens with a sentence that says what it shows."""
    for path in FOLDER.glob("*.dialog"):
        first = path.read_text("utf-8").splitlines()[0]
        assert first.startswith("# "), path.name
        assert first.endswith("."), path.name
