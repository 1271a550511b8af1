"""10,000 mails through real Postfix while everything around the gateway fails by turns."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.daemons import gateway, stand
from tests.soak import chaos
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
MAILS = int(os.environ.get("SOAK_MAILS", "10000"))
ROUNDS = max(1, MAILS // 800)


async def test_nothing_is_lost_in_chaos(tmp_path: Path, report: Report) -> None:
    """10,000 mails and 96 misfortunes: each mail is taken or refused, is there as often as the log says, and log, counters and mails agree."""
    reason = stand.why_not()
    if reason or not gateway.is_built():
        pytest.skip(reason or "the command insurer-milter is not installed beside this Python")
    root = Path(tempfile.mkdtemp(prefix="insurer-milter-postfix-"))  # not pytest's folder: it is closed to the user whom virtual(8) becomes
    try:
        with stand.running(root) as postfix:
            report(await chaos.run(tmp_path, postfix, mails=MAILS, rounds=ROUNDS, seed=SEED))
    except chaos.NoDiskError as error:
        pytest.skip(f"a disk of its own cannot be mounted here: {error}")
    finally:
        shutil.rmtree(root, ignore_errors=True)
