"""The DNS as authentication needs it: a protocol that adapters fulfil and tests replace by a dictionary.

Tells NXDOMAIN, NODATA, SERVFAIL, timeout and refused apart (RFC 1035 §4.1.1, RFC 2308 §2); nobody above blurs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from milter.model.quick import quick

Question = tuple[str, str]
"""Name and kind, as `Resolver.query` takes them."""


class DnsStatus(StrEnum):
    """What became of one question."""

    OK = "ok"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    SERVFAIL = "servfail"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    MALFORMED = "malformed"

    @property
    def is_temporary(self) -> bool:
        """True when asking later may give another answer: the caller reports `temperror`."""
        return self not in _LASTING

    @property
    def is_void(self) -> bool:
        """True for the two answers without records (RFC 7208 §4.6.4 "void lookups")."""
        return self in _VOID


_VOID = (DnsStatus.NXDOMAIN, DnsStatus.NODATA)
_LASTING = (DnsStatus.OK, *_VOID)


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """Records of one question; empty unless `status` is OK.

    TXT: each record's character-strings joined, as bytes. A, AAAA: address text. MX: `preference host`.
    PTR, CNAME: host text without the root dot. Host names are lower case. `ttl` is how many seconds the answer may
    be kept (RFC 2308 §5 for one without records), 0 when nothing allows keeping it.
    """

    status: DnsStatus
    texts: tuple[bytes, ...] = ()
    names: tuple[str, ...] = ()
    ttl: int = 0


class Resolver(Protocol):
    """Asks the DNS. Never raises for what the network does; cancellation passes through."""

    def within(self, seconds: float) -> Resolver:
        """The same resolver for the work of one mail: what is not answered `seconds` from now is TIMEOUT."""
        ...

    def prefetch(self, questions: Iterable[Question]) -> None:
        """A hint: these will be asked soon, so start asking them side by side. Returns at once."""
        ...

    async def query(self, name: str, kind: str) -> Answer:
        """Ask for `kind` (TXT, A, AAAA, MX, PTR) at `name` (A-labels, no root dot needed). CNAMEs are followed."""
        ...
