"""The log: one line a mail and a few about the service. Each is a JSON object; a person at a terminal sees it as `key=value`.

Holds no personal data (promise 6): no whole address, no subject, no quote, no body, and of our own bugs only their type and the
place in our code, never their text, which may quote the mail. What of a mail comes here is decided in `fronts.record`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import structlog
from pydantic_core import to_json

from milter.adapters import log_terminal
from milter.errors import SandboxError

_ENCODE = json.JSONEncoder(ensure_ascii=False, default=repr).encode  # made once: `json.dumps` makes an encoder for each line
_PACKAGE = str(Path(__file__).resolve().parent.parent)

Logger = structlog.typing.FilteringBoundLogger


class _Lossy:
    """A stream for which a line that cannot be written (full disk, closed pipe) is lost, and nothing else: mail goes on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _as_json(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:  # structlog's own types
    return _ENCODE(line)


class Stream(Protocol):
    """Takes whole lines of text."""

    def write(self, text: str, /) -> object:
        """Write one line with its line end."""
        ...

    def flush(self) -> None:
        """Write what waits."""
        ...


def terminal_renderer() -> Callable[[Mapping[str, Any]], str]:
    """Shows a log event to a person at a terminal, in one line."""
    return log_terminal.show


def open_log(stream: Stream) -> Logger:
    """A logger that writes to `stream`, one JSON object a line."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _as_json,
    ]
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, _Lossy(stream))),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
    )
    return logger


def line(event: str, values: Mapping[str, object], *, level: str = "info") -> bytes:
    """One log line as octets, like those of `open_log`, for what is logged with each mail: a third of the time."""
    made = {**values, "event": event, "level": level, "timestamp": datetime.now(UTC).isoformat().removesuffix("+00:00") + "Z"}
    try:
        return to_json(made) + b"\n"
    except ValueError:  # a lone surrogate
        return _ENCODE(made).encode("utf-8", "backslashreplace") + b"\n"


def facts(record: Mapping[str, object]) -> dict[str, object]:
    """The fields of a log line: what is empty is left out, numbers are rounded."""
    return {
        key: round(value, 2) if isinstance(value, float) else value
        for key, value in record.items()
        if value or not (value is None or isinstance(value, str | tuple | list))
    }


def bug_place(bug: BaseException) -> str:
    """Type of an exception and the place in our code that it came through last: `TypeError at mime/fields.py:88 in scan`."""
    if isinstance(bug, SandboxError):
        return f"SandboxError: {bug}"  # its text is made of such words too
    frames = traceback.extract_tb(bug.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or list(frames)
    if not ours:
        return type(bug).__name__
    last = ours[-1]
    return f"{type(bug).__name__} at {last.filename.removeprefix(_PACKAGE).lstrip('/')}:{last.lineno} in {last.name}"
