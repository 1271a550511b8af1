"""How many servers a mail has passed: the count of its Received fields, which a loop makes ever longer.

RFC 5321 §6.3 (at least 100 are to be borne where the count alone decides; Postfix says 50), RFC 5322 §3.6.7. Must not know what is too many.
"""

from __future__ import annotations

_SEARCHED = 1_048_576


def are_too_many(raw: bytes, most: int) -> bool:
    """Whether a mail has more than `most` Received fields. Most mails have not even so many lines in their header section."""
    end = raw.find(b"\r\n\r\n", 0, _SEARCHED)
    end = min(len(raw), _SEARCHED) if end < 0 else end
    if raw.count(b"\n", 0, end) < most:
        return False
    head = raw[:end].lower()
    return head.count(b"\nreceived:") + head.startswith(b"received:") > most
