"""The log: one line a mail and a few about the service, JSON for programs, `key=value` for people on a terminal.

Holds no personal data (promise 6): no address, no subject, no quote, no body, and of our own bugs only their type and the
place in our code, never their text, which may quote the mail.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

_ENCODE = json.JSONEncoder(ensure_ascii=False, default=repr).encode  # made once: `json.dumps` makes an encoder for each line
_PACKAGE = str(Path(__file__).resolve().parent.parent)

Logger = structlog.typing.FilteringBoundLogger


class _Lossy:
    """A stream for which a line that cannot be written (full disk, closed pipe) is lost, and nothing else: mail goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _as_json(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:  # structlog's own types
    return _ENCODE(line)


def open_log(stream: TextIO | None = None) -> Logger:
    """A logger that writes to `stream` (stderr): readable when it is a terminal, one JSON object a line otherwise."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    render: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=True) if terminal else _as_json
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        render,
    ]
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, _Lossy(stream))),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
    )
    return logger


def facts(record: Mapping[str, object]) -> dict[str, object]:
    """The fields of a log line: what is empty is left out, numbers are rounded."""
    return {
        key: round(value, 2) if isinstance(value, float) else value
        for key, value in record.items()
        if value or not (value is None or isinstance(value, str | tuple | list))
    }


def bug_place(bug: BaseException) -> str:
    """Type of an exception and the place in our code that it came through last: `TypeError at mime/fields.py:88 in scan`."""
    frames = traceback.extract_tb(bug.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or list(frames)
    if not ours:
        return type(bug).__name__
    last = ours[-1]
    return f"{type(bug).__name__} at {last.filename.removeprefix(_PACKAGE).lstrip('/')}:{last.lineno} in {last.name}"
