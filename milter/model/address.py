"""Mailboxes as a mail shows them, and the reading of its From field.

RFC 5322 §3.4. A value here is what was *written*; nothing in it is authenticated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from milter.model.domain import Domain
from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. `local` is decoded text (maybe empty), `domain` None when it has none or an unusable one.

    `name` is the decoded display name, "" when absent; `written` is the address as written, for quoting.
    """

    local: str
    domain: Domain | None
    name: str = ""
    written: str = ""


class AuthorKind(StrEnum):
    """How many authors a mail program could find in the From field(s)."""

    ONE = "one"
    SEVERAL = "several"
    NONE = "none"
    MALFORMED = "malformed"


@quick
@dataclass(frozen=True, slots=True)
class Author:
    """The reading of every From field. `domain` is set only when `kind` is ONE.

    `candidates` are all mailboxes that some mail program may show as the author, in the order found;
    `reasons` names each ambiguity in fixed words (`repeated field`, `several mailboxes`, `address in display name` …).
    Do not conclude that a candidate other than the single author may be authenticated.
    """

    kind: AuthorKind
    candidates: tuple[Address, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def address(self) -> Address | None:
        """The author, when there is exactly one."""
        return self.candidates[0] if self.kind is AuthorKind.ONE and self.candidates else None

    @property
    def domain(self) -> Domain | None:
        """The author domain, when there is exactly one author."""
        return self.address.domain if self.address else None
