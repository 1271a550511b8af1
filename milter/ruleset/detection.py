"""Reads the `detection` map of a rule file: its selections and its condition, with the place of every mistake."""

from __future__ import annotations

import string
from typing import Any

from milter.errors import Problem
from milter.ruleset.condition import KEYWORDS, ConditionError, Node, parse
from milter.ruleset.rule import Detection
from milter.ruleset.selection import Selection, compile_selection
from milter.strict_yaml import Document, Path, dotted

MAX_SELECTIONS = 30
_NAME = frozenset(string.ascii_lowercase + string.digits + "_")
_AT = ("detection",)


def read(document: Document, octets: bytes, problems: list[Problem]) -> Detection | None:
    """The compiled detection, or None when it cannot be compiled; every mistake goes to `problems`."""
    written = document.value.get("detection") if isinstance(document.value, dict) else None
    if not isinstance(written, dict):
        return None  # reported by the validation of the file's shape
    before = len(problems)
    selections = {name: _selection(document, name, value, problems) for name, value in written.items() if name != "condition"}
    if not selections:
        problems.append(document.problem(_AT, "has no selection"))
    elif len(selections) > MAX_SELECTIONS:
        problems.append(document.problem(_AT, f"more than {MAX_SELECTIONS} selections"))
    condition = _condition(document, octets, written.get("condition"), tuple(selections), problems)
    if condition is None or len(problems) > before:
        return None
    used = set(condition.names())
    for name in selections:
        if name not in used:
            problems.append(document.problem((*_AT, name), "is never used in the condition", at_key=True))
    return Detection(selections, condition)


def _selection(document: Document, name: str, value: Any, problems: list[Problem]) -> Selection:  # Any: as written
    at: Path = (*_AT, name)
    if not name or not set(name) <= _NAME or name in KEYWORDS or name[0] in string.digits:
        problems.append(document.problem(at, "a selection's name is lower-case letters, digits and _, and no word of the condition", at_key=True))

    def report(path: Path, message: str, *, at_key: bool = False) -> None:
        problems.append(document.problem((*at, *path), message, at_key=at_key))

    return compile_selection(name, value, report)


def _condition(document: Document, octets: bytes, text: Any, names: tuple[str, ...], problems: list[Problem]) -> Node | None:
    path: Path = (*_AT, "condition")
    if not isinstance(text, str):
        message = "key `condition` is missing" if text is None else "plain text expected"
        problems.append(document.problem(path if path in document.values else _AT, message))
        return None
    try:
        return parse(text, names)
    except ConditionError as broken:
        line, column = document.values[path]
        problems.append(Problem(document.file, line, _column(octets, line, column, text, broken.offset), dotted(path), str(broken)))
        return None


def _column(octets: bytes, line: int, column: int, text: str, offset: int) -> int:
    """Column of a character of a scalar: exact when the scalar stands on one line as it means."""
    written = octets.decode("utf-8-sig").splitlines()[line - 1][column - 1 :]
    start = written.find(text)
    return column + start + offset if 0 <= start <= 1 else column
