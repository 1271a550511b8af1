"""The settings: one frozen field an option, with its default, its documentation and the form it must have.

The example file, the reference page and the checks are made from these fields; nothing is written twice.
Metadata: `doc` one sentence; `example` puts the key into the example file as a live line, `sample` as a comment; `form` names a check of
`check.FORMS`; `least` and `most` bound a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar

from milter.model.limits import Limits

T = TypeVar("T")


def _setting(
    default: T,
    doc: str,
    *,
    example: object = None,
    sample: object = None,
    form: str = "",
    least: float | None = None,
    most: float | None = None,
) -> T:
    more = {"example": example, "sample": sample, "form": form, "least": least, "most": most}
    return field(default=default, metadata={"doc": doc, **more})


@dataclass(frozen=True, slots=True)
class Bypass:
    """Mail that is delivered unjudged, with `unscanned=internal` or `unscanned=authenticated` in our header and in the log."""

    clients: tuple[str, ...] = _setting(
        (),
        "Addresses and networks of clients whose mail is not judged. The client is the one that XFORWARD names where a listed peer says it, else the"
        " one that is connected.",
        form="network",
    )
    authenticated: bool = _setting(
        False,
        "Mail of users who logged in is not judged: a listed peer's topmost Received field says `with ESMTPA`, `ESMTPSA`, `UTF8SMTPA` or `UTF8SMTPSA`"
        " (RFC 3848). Only where that peer always puts its own Received on top, as Postfix does; where it is taken out again, a sender can write it.",
    )


@dataclass(frozen=True, slots=True)
class Smtp:
    """The SMTP proxy: where it listens, where it delivers, and what it takes."""

    listen: tuple[str, ...] = _setting(
        ("127.0.0.1:10025",), "Addresses the proxy listens on, each `IP:PORT`. A change needs a restart.", example=["127.0.0.1:10025"], form="listen"
    )
    next_hop: str = _setting(
        "127.0.0.1:10026",
        "The mail server that takes judged mail, `HOST:PORT`; must not be one of our own addresses.",
        example="127.0.0.1:10026",
        form="peer",
    )
    trusted_peers: tuple[str, ...] = _setting(
        ("127.0.0.1", "::1"), "Addresses and networks whose XFORWARD is believed; nobody else's is.", example=["127.0.0.1", "::1"], form="network"
    )
    line_ends: Literal["reject", "normalise"] = _setting(
        "reject", "Bare CR and bare LF in a mail: `reject` answers 550 5.5.2, `normalise` makes CRLF of LF and a blank of CR. NUL is always refused."
    )
    max_octets: int = _setting(52_428_800, "Largest mail that is taken, in octets; announced as SIZE.", least=65_536, most=1_073_741_824)
    max_recipients: int = _setting(1_000, "Most recipients of one mail; beyond it 452.", least=100, most=100_000)
    max_connections: int = _setting(200, "Most connections at once to all workers; beyond it 421. A change needs a restart.", least=1, most=100_000)
    max_client_connections: int = _setting(
        50,
        "Most connections at once of one client (an IPv4 address, an IPv6 /64 network); beyond it 421. Does not hold for `trusted_peers`, which speak"
        " for many.",
        least=1,
        most=100_000,
    )
    max_mails: int = _setting(1_000, "Most mails of one connection; the client then hears 421 between two mails.", least=1, most=1_000_000)
    max_errors: int = _setting(
        20, "After so many 5xx answers a connection is ended with 421; of `trusted_peers` only unknown commands count.", least=1, most=10_000
    )
    max_received: int = _setting(50, "A mail with more Received fields goes round in a circle: 554 5.4.6.", least=10, most=1_000)
    max_in_flight: int = _setting(
        100,
        "Most mails that are judged, delivered or stored at once by all workers; others wait `wait_seconds`, then 451. Those larger than"
        " `limits.large_octets` do not count: of them only so many are let in as `memory_octets` holds.",
        least=1,
        most=100_000,
    )
    memory_octets: int = _setting(
        134_217_728,
        "Room for large mails in flight, all workers together, in octets of mail: one that does not fit waits `wait_seconds`, then 452. Mails up to"
        " 262144 octets (or this divided by `max_connections`, if that is less) always go on, beside it. A mail that does not say its SIZE counts as"
        " one of `max_octets` once it is larger.",
        least=1_048_576,
        most=1_099_511_627_776,
    )
    wait_seconds: float = _setting(20.0, "How long a mail waits for its turn or for room.", least=0, most=60)
    idle_seconds: float = _setting(
        300.0,
        "A client that has not sent a whole command, or no octet of its mail, or that has not read our answers for this long is disconnected with 421"
        " (RFC 5321 §4.5.3.2.7).",
        least=1,
        most=3_600,
    )
    min_octets_per_second: int = _setting(
        500, "A client that sends its mail more slowly than this on the whole is disconnected with 421.", least=1, most=1_000_000
    )
    grace_seconds: float = _setting(60.0, "So long it may be slower than that.", least=1, most=3_600)
    next_hop_seconds: float = _setting(
        80.0, "The next hop has this long for each answer; below the 100 s that Postfix gives a before-queue filter.", least=1, most=600
    )
    bypass: Bypass = _setting(Bypass(), "Mail that is delivered unjudged.")  # noqa: RUF009  # frozen: safe to share


@dataclass(frozen=True, slots=True)
class Dns:
    """The DNS that authentication asks."""

    resolvers: tuple[str, ...] = _setting(
        (),
        "Resolvers, each `IP` or `IP:PORT`; best one of your own that validates. Empty: those of /etc/resolv.conf.",
        example=["127.0.0.1:53"],
        form="resolver",
    )
    timeout_seconds: float = _setting(5.0, "One question waits this long, tries included; then the result is `temperror`.", least=0.1, most=60)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Child processes for work on hostile octets."""

    children: int = _setting(
        1, "Child processes of each worker that judge mails larger than `limits.large_octets`, so many at once.", least=1, most=16
    )
    memory_octets: int = _setting(
        0,
        "Memory that a child may take for one mail; beyond it the mail is `unscanned`. 0: 128 MiB and eight times `smtp.max_octets`.",
        least=0,
        most=68_719_476_736,
    )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """How long held mails stay, and how much room they may take. The oldest go first; one that is being released never goes."""

    keep_days: int = _setting(30, "Mails are deleted after so many days.", example=30, least=1, most=36_500)
    keep_mails: int = _setting(100_000, "Beyond so many mails the oldest are deleted, but none of the last `spare_days`.", least=1, most=100_000_000)
    keep_octets: int = _setting(
        10_737_418_240,
        "Beyond so many octets the oldest are deleted, but none of the last `spare_days`; when a quarter more is held all the same, a mail that"
        " should be held is answered 451.",
        least=1_048_576,
        most=1_099_511_627_776_000,
    )
    spare_days: int = _setting(
        3, "Younger mails are deleted for no number or size: a flood must not push out what nobody could look at yet.", least=0, most=36_500
    )
    min_free_octets: int = _setting(
        268_435_456, "When storing a mail would leave less of the disk free, it is answered 451.", least=0, most=1_099_511_627_776
    )
    keep_audit_days: int = _setting(365, "The audit (who viewed, released or deleted what, and when) is kept so many days.", least=1, most=36_500)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where `/metrics`, `/healthz` and `/readyz` are shown."""

    listen: str = _setting(
        "127.0.0.1:9825",
        "Address of `/metrics`, `/healthz` and `/readyz`, `IP:PORT`, or `off`. They have no password, so keep them on loopback or behind a proxy."
        " A change needs a restart.",
        example="127.0.0.1:9825",
        form="listen_or_off",
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What the log shows."""

    addresses: Literal["masked", "full"] = _setting(
        "masked",
        "Addresses in the log: `masked` shows `j…@example.org` and of the next hop's replies the usual words alone; `full` shows both as they are,"
        " which is personal data.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Unknown keys are errors."""

    hostname: str | None = _setting(
        None,
        "Our name in EHLO and, unless `authserv_id` differs, in Authentication-Results. Unset: the name of this machine.",
        example="mx.example.org",
        form="hostname",
    )
    authserv_id: str | None = _setting(
        None,
        "Our name in Authentication-Results (RFC 8601 §2.5); copies that bear it are removed at entry. Unset: `hostname`.",
        sample="mx.example.org",
        form="hostname",
    )
    policy: str | None = _setting(
        None,
        "What is done with a judged mail: `observe`, `tag`, `quarantine`, or a policy file. Unset: `observe`, which only adds headers.",
        example="observe",
        form="policy",
    )
    workers: int = _setting(1, "Processes that take and judge mail; one a core is most. A change needs a restart.", example=1, least=1, most=64)
    registry: tuple[str, ...] = _setting(("fr",), "Insurer registries: markets (`fr`) or registry files.", example=["fr"], form="market")
    rules: tuple[str, ...] = _setting(
        (),
        "Folders of your own rules, read beside the shipped ones and those in /etc/insurer-milter/rules; their ids begin with `local-`.",
        form="folder",
    )
    public_suffix_list: str | None = _setting(
        None,
        "A public suffix list to use in place of the newer of the shipped one and the system's.",
        sample="/etc/insurer-milter/public_suffix_list.dat",
        form="file",
    )
    data_dir: str = _setting(
        "/var/lib/insurer-milter",
        "Folder of the quarantine and of the control socket. A change needs a restart.",
        example="/var/lib/insurer-milter",
        form="path",
    )
    on_failure: Literal["pass", "defer"] = _setting(
        "pass", "When judging itself breaks: `pass` delivers with an `unscanned` header, `defer` answers 451."
    )
    judge_seconds: float = _setting(20.0, "DNS questions of one mail may take this long in all; the rest is `temperror`.", least=1, most=90)
    smtp: Smtp = _setting(Smtp(), "The SMTP proxy.")  # noqa: RUF009  # frozen: safe to share
    dns: Dns = _setting(Dns(), "The DNS.")  # noqa: RUF009  # frozen: safe to share
    quarantine: Quarantine = _setting(Quarantine(), "The quarantine.")  # noqa: RUF009  # frozen: safe to share
    metrics: Metrics = _setting(Metrics(), "Metrics and health.")  # noqa: RUF009  # frozen: safe to share
    log: Log = _setting(Log(), "The log.")  # noqa: RUF009  # frozen: safe to share
    sandbox: Sandbox = _setting(Sandbox(), "Child processes for large mails.")  # noqa: RUF009  # frozen: safe to share
    limits: Limits = _setting(Limits(), "How much of a mail is looked at. Beyond a limit `incomplete` says so.")  # noqa: RUF009  # frozen: safe to share
