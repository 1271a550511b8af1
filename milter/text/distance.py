"""How many slips of the finger lie between two words.

Optimal string alignment: insertion, omission, replacement and the swap of two neighbours cost one each. rapidfuzz counts.
"""

from __future__ import annotations

from rapidfuzz.distance import OSA


def osa(a: str, b: str, limit: int) -> int:
    """The distance, or `limit` + 1 when it is greater than `limit`. Linear in the longer word for a small limit."""
    return OSA.distance(a, b, score_cutoff=limit)
