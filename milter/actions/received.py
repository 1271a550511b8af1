"""Our Received field (RFC 5321 §4.4): from whom, by whom, with what, under which queue id, when. Never for whom.

Knows the form of the field. Every value but our own name comes from a stranger: what could end a comment or a line becomes `?`.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache

from milter.actions import headers
from milter.model.mail import Connection

_ODD = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_LONGEST = 255


def field(connection: Connection, *, peer: str, hostname: str, protocol: str, queue_id: str, seconds: float) -> bytes:
    """One whole field ending in CRLF. `peer` is the address of the TCP peer, shown when the client's is unknown.

    `protocol` is a name of RFC 3848 or 6531 (`ESMTP`, `UTF8SMTP` …), `seconds` the time since 1970.
    """
    address = connection.client_ip or peer
    literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    host = _plain(connection.client_name) or "unknown"
    value = (
        f"from {_plain(connection.helo) or 'unknown'} ({host} {_plain(literal)}) by {_plain(hostname)} (insurer-milter)"
        f" with {protocol} id {_ODD.sub('?', queue_id)}; {_date(int(seconds))}"
    )
    return headers.field("Received", value.encode("ascii", "replace"))


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, localtime=True)


@lru_cache(maxsize=1_024)
def _plain(text: str) -> str:
    return _ODD.sub("?", text[:_LONGEST])
