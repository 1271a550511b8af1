"""The log: one line a mail and a few about the service, JSON for programs, `key=value` for people on a terminal.

Holds no personal data (promise 6): no address, no subject, no quote, no body, and of our own bugs only their type and the
place in our code, never their text, which may quote the mail.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TextIO

import structlog

from milter.model.mail import Mail
from milter.model.verdict import Decision

_PACKAGE = str(Path(__file__).resolve().parent.parent)

Logger = structlog.typing.FilteringBoundLogger


def open_log(stream: TextIO = sys.stderr) -> Logger:
    """A logger that writes to `stream`: readable when it is a terminal, one JSON object a line otherwise."""
    terminal = stream.isatty()
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=True) if terminal else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        render,
    ]
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(stream), processors=processors, wrapper_class=structlog.make_filtering_bound_logger(20), cache_logger_on_first_use=True
    )
    return logger


def judged(log: Logger, mail: Mail, decision: Decision, elapsed: float, **more: object) -> None:
    """The line of one mail. `elapsed` in seconds; `more` are facts without personal data (the reply, where it went)."""
    auth = decision.auth
    log.info(
        "mail",
        queue_id=mail.queue_id,
        action=decision.action.value,
        would=decision.would.value,
        verdict=decision.verdict.kind.value,
        insurer=decision.verdict.insurer,
        score=round(decision.verdict.score, 2),
        rules=[finding.rule for finding in decision.verdict.findings],
        spf=auth.spf.result.value if auth else None,
        dkim=[fact.result.value for fact in auth.dkim] if auth else None,
        dmarc=auth.dmarc.result.value if auth else None,
        incomplete=list(decision.incomplete),
        unscanned=decision.unscanned or None,
        octets=len(mail.raw),
        recipients=len(mail.envelope.rcpt_to),
        elapsed_ms=round(elapsed * 1000, 1),
        **more,
    )


def bug_place(bug: BaseException) -> str:
    """Type of an exception and the place in our code that it came through last: `TypeError at mime/fields.py:88 in scan`."""
    frames = traceback.extract_tb(bug.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or list(frames)
    if not ours:
        return type(bug).__name__
    last = ours[-1]
    return f"{type(bug).__name__} at {last.filename.removeprefix(_PACKAGE).lstrip('/')}:{last.lineno} in {last.name}"


def broke(log: Logger, mail: Mail, bug: BaseException) -> None:
    """The line of one bug of ours, met while judging `mail`."""
    log.error("bug", queue_id=mail.queue_id, place=bug_place(bug), octets=len(mail.raw))
