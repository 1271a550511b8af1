"""Everything around the gateway fails by turns, and no mail is lost. `make soak` does it with 10,000 mails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemons.stand import Postfix
from tests.soak import chaos

pytestmark = [pytest.mark.daemons]


async def test_nothing_is_lost_in_chaos(postfix: Postfix, tmp_path: Path, figures: list[str]) -> None:
    """DNS, disk, next hop and workers fail, sets are reloaded, judging is paused: each mail is taken or refused, and log and counters agree."""
    try:
        count = await chaos.run(tmp_path, postfix, mails=300, rounds=1, seed=20_260_115)
    except chaos.NoDiskError as error:
        pytest.skip(f"a disk of its own cannot be mounted here: {error}")
    assert count["workers died"] >= 1
    assert count["mails quarantine"] > 10
    figures.append("chaos: " + ", ".join(f"{number} {name}" for name, number in count.items()))
