"""A log event as one line for a person at a terminal: a mail as a short sentence, everything else as `key=value`.

Knows the keys of the log. Must not add to what they say. Whatever is in an event, nothing reaches the terminal but printable text and our colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]  # Any: JSON

_LONGEST = 500
_COLOURS = {"error": "31;1", "warning": "33", "tag": "33", "quarantine": "35", "reject": "31", "defer": "33", "unjudged": "33"}
_HIDDEN = frozenset(("event", "level", "timestamp"))


def show(event: Event, *, colours: bool = True) -> str:
    """One line without its line end. Never raises for the values of an event."""
    is_mail = event.get("event") == "mail"
    try:
        words = _mail(event) if is_mail else _others(event)
    except (TypeError, AttributeError, ValueError):  # no mail's line of ours
        words = _others(event)
    action = event.get("action") or "unjudged" if is_mail else ""
    text = _printable(f"{_time(event)} {words}")
    code = _COLOURS.get(str(event.get("level"))) or _COLOURS.get(str(action))
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code else text


def _time(event: Event) -> str:
    stamp = str(event.get("timestamp", ""))
    with suppress(ValueError):
        return f"{datetime.fromisoformat(stamp).astimezone():%H:%M:%S}"
    return stamp


def _mail(event: Event) -> str:
    get = event.get
    action = get("action") or "unjudged"
    words = [f"{action:10}"]
    if would := get("would"):
        words += [f"(would {would})"] if would != action else []
        words.append(" ".join(str(one) for one in (get("verdict"), get("insurer"), get("score")) if one))
    many = get("recipients", 0) - 1
    words.append(f"{get('sender', '<>')} → {next(iter(get('to') or ()), 'nobody')}{f' and {many} more' if many > 0 else ''}")
    words.append(_end(event))
    words += [f"{total:.0f} ms"] if isinstance(total := (get("ms") or {}).get("total"), int | float) else []
    words.append(str(get("queue_id", "")))
    words += [f"{name}: {get(name)}" for name in ("unscanned", "cause") if get(name)]
    words += [f"incomplete: {_value(get('incomplete'))}"] if get("incomplete") else []
    words += [f"[{_value(get('rules'))}]"] if get("rules") else []
    return "  ".join(word for word in words if word)


def _end(event: Event) -> str:
    """What the client heard, and where the mail is now."""
    code = str(event.get("code") or "client gone")
    if name := event.get("next_hop_id") or event.get("quarantine_id"):
        return f"{code} {'held as' if event.get('quarantine_id') else 'queued as'} {name}"
    return code


def _others(event: Event) -> str:
    return "  ".join([f"{event.get('event', '')!s:10}", *(f"{key}={_value(value)}" for key, value in event.items() if key not in _HIDDEN)])


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST])
