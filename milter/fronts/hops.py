"""How many servers a mail has passed: the count of its Received fields, which a loop makes ever longer.

RFC 5321 §6.3 (counting them is the simple way to find a loop), RFC 5322 §3.6.7. Must not know what is too many.
"""

from __future__ import annotations

import re

_SEARCHED = 1_048_576
_HEADER_END = re.compile(rb"\n\r\n")


def are_too_many(raw: bytes, most: int) -> bool:
    """Whether a mail has more than `most` Received fields. Soon answered for most mails: servers write `Received:` or `received:`."""
    found = _HEADER_END.search(raw, 0, _SEARCHED)
    end = found.start() + 1 if found else min(len(raw), _SEARCHED)
    if raw.count(b"eceived:", 0, end) <= most or raw.startswith(b"\r\n"):
        return False
    head = raw[:end].lower()
    return head.count(b"\nreceived:") + head.startswith(b"received:") > most
