"""What a front hands to the pipeline: the octets, and what the SMTP session said.

Must not know how the mail arrived beyond these facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Connection:
    """The SMTP client. `client_ip` is None when unknown (then SPF is `none`, never guessed from Received).

    `client_name` is the verified reverse name or "", `helo` the name it gave in EHLO or HELO.
    """

    client_ip: str | None = None
    client_name: str = ""
    helo: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Envelope:
    """RFC 5321 envelope: `mail_from` without angle brackets ("" is the null sender), `rcpt_to` in order."""

    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Params:
    """ESMTP parameters as the client gave them (`NAME=value`): of MAIL, and of each RCPT in the order of the envelope's recipients."""

    mail: tuple[bytes, ...] = ()
    rcpt: tuple[tuple[bytes, ...], ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as received. `raw` is the DATA content after dot-unstuffing, octet for octet.

    Where the front had to make proper line ends, `raw` is the result (what is judged is what is delivered) and `received` are the
    octets as they came, which signatures cover; else None.
    """

    raw: bytes
    connection: Connection = field(default_factory=Connection)
    envelope: Envelope = field(default_factory=Envelope)
    queue_id: str = ""
    received: bytes | None = None
