"""Time, from the outside world. Everything else is handed a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic() -> float:
    """Seconds that never go back, for measuring and for lifetimes."""
    return time.monotonic()


def now() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)
