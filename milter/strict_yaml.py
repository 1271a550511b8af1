"""The only way in for YAML: text scalars, no duplicate or unknown key, no alias or tag, places for every error.

Knows YAML and dataclasses; must not know mail. Values stay text until pydantic converts them to the type that the
dataclass declares, so `NO`, `01` and `12:30` mean what they look like. All problems of a file are reported at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from milter.errors import FileError, Problem

MAX_OCTETS = 8_388_608
MAX_DEPTH = 30

Path = tuple[str | int, ...]
Place = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `value` is made of dict, list and str; `keys` and `values` map a path to (line, column) from 1."""

    file: str
    value: Any  # Any: the shape is the file's until it is validated
    keys: dict[Path, Place]
    values: dict[Path, Place]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A Problem at the place of `path`, or of the nearest parent that has a place."""
        table = self.keys if at_key else self.values
        probe = path
        while probe not in table and probe:
            table, probe = self.values, probe[:-1]
        line, column = table.get(probe, (1, 1))
        return Problem(self.file, line, column, dotted(path), message)


def dotted(path: Path) -> str:
    """`("smtp", "listen", 0)` as `smtp.listen[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse(octets: bytes, file: str, error: type[FileError] = FileError) -> Document:
    """Read one YAML document. Raises `error` with every duplicate key, alias and tag, or the first syntax error."""
    if len(octets) > MAX_OCTETS:
        raise error([Problem(file, 0, 0, "", f"larger than {MAX_OCTETS} octets; split it")])
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = octets.count(b"\n", 0, broken.start) + 1
        raise error([Problem(file, line, 1, "", "not UTF-8; save the file as UTF-8")]) from None
    reader = _Reader(file, text, error)
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise error([Problem(file, *place, "", _syntax(broken))]) from None
    except yaml.YAMLError as broken:
        raise error([Problem(file, 1, 1, "", f"not readable as YAML: {str(broken).splitlines()[0]}")]) from None
    if reader.problems:
        raise error(reader.problems)
    return Document(file, value, reader.keys, reader.values)


def _syntax(broken: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (broken.context, broken.problem) if part]
    return "YAML syntax: " + ", ".join(parts).replace("\t", "\\t")


class _Reader:
    """Turns YAML's events into dict, list and str and keeps the places: a third of the time that a tree of nodes takes."""

    def __init__(self, file: str, text: str, error: type[FileError]) -> None:
        self.file, self.error = file, error
        self.problems: list[Problem] = []
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self._events = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))

    def document(self) -> Any:
        """The value of the one document; an empty file is an empty mapping. Raises `error` when it is too deep, YAMLError."""
        value: Any = {}
        first: yaml.Event | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if first is not None:
                    marks: Any = first.start_mark, event.start_mark  # Any: the stubs take C's marks for another type
                    raise yaml.MarkedYAMLError("expected a single document in the stream", marks[0], "but found another document", marks[1])
                first = event
                value = self._value(next(self._events), (), 0)
        return value

    def _value(self, event: yaml.Event, path: Path, depth: int) -> Any:
        place = self.values[path] = self._place(event)
        if isinstance(event, yaml.ScalarEvent):
            return event.value
        if not isinstance(event, yaml.CollectionStartEvent):
            return ""
        if depth >= MAX_DEPTH:
            self.problems.append(Problem(self.file, *place, "", f"nested deeper than {MAX_DEPTH} levels"))
            raise self.error(self.problems)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth + 1)
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.problems.append(Problem(self.file, *_place(event), dotted(path), "a key must be plain text"))
                self._value(event, path, depth)
                self._value(next(self._events), path, depth)
                continue
            place, key = self._place(event), event.value
            if key in result:
                first = self.keys[(*path, key)][0]
                self.problems.append(Problem(self.file, *place, dotted((*path, key)), f"duplicate key, first on line {first}; remove one"))
            else:
                self.keys[(*path, key)] = place
            result[key] = self._value(next(self._events), (*path, key), depth)
        return result

    def _place(self, event: yaml.Event) -> Place:
        """Where it stands; anchors, aliases and tags are refused by the way."""
        place = _place(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.problems.append(Problem(self.file, *place, "", "anchors and aliases (& and *) are not allowed; write it out"))
        elif tag := _foreign_tag(event):
            self.problems.append(Problem(self.file, *place, "", f"tags (!) are not allowed: {tag}"))
        return place


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _foreign_tag(event: yaml.Event) -> str:
    tag: str = getattr(event, "tag", None) or ""
    return "" if tag == "!" and isinstance(event, yaml.ScalarEvent) else tag


def read(octets: bytes, file: str, kind: type[T], error: type[FileError] = FileError) -> T:
    """Parse and validate. `kind` is a dataclass (or a tuple, dict … of them). Raises `error` with all problems."""
    return validate(parse(octets, file, error), kind, error)


def validate(document: Document, kind: type[T], error: type[FileError] = FileError) -> T:
    """Turn a document into `kind`. Unknown keys name the nearest known one; all problems come in file order."""
    problems = list(_unknown_keys(document, kind, document.value, ()))
    try:
        result: T = _adapter(kind).validate_python(_without_unknown(document, problems))  # type: ignore[arg-type]  # every type hashes; mypy looks at its instances
    except ValidationError as broken:
        problems += [_value_problem(document, item) for item in broken.errors(include_url=False)]
        raise error(_ordered(problems)) from None
    if problems:
        raise error(_ordered(problems))
    return result


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # Any: one cache for every type
    return TypeAdapter(kind)


@cache
def _hints(kind: Any) -> dict[str, Any]:  # Any: annotations are values of every type
    return typing.get_type_hints(kind)


@cache
def _names(kind: Any) -> tuple[str, ...]:  # Any: as above
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _unknown_keys(document: Document, kind: Any, value: Any, path: Path) -> typing.Iterator[Problem]:
    kind = _plain(kind, value)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints, names = _hints(kind), _names(kind)  # type: ignore[arg-type]  # as above
        for key, item in value.items():
            if key in names:
                if not isinstance(item, str):
                    yield from _unknown_keys(document, hints[key], item, (*path, key))
            else:
                near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
                hint = f"did you mean `{near[0]}`?" if near else "known keys: " + ", ".join(names)
                yield document.problem((*path, key), f"unknown key; {hint}", at_key=True)
    elif isinstance(value, list) and typing.get_args(kind):
        for index, item in enumerate(value):
            yield from _unknown_keys(document, typing.get_args(kind)[0], item, (*path, index))
    elif isinstance(value, dict) and typing.get_origin(kind) is dict:
        for key, item in value.items():
            yield from _unknown_keys(document, typing.get_args(kind)[1], item, (*path, key))


def _plain(kind: Any, value: Any) -> Any:
    """The member of a union that a value of this shape means; other types as they are."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        for member in members:
            origin = typing.get_origin(member) or member
            if isinstance(value, dict) and (dataclasses.is_dataclass(origin) or origin is dict):
                return member
            if isinstance(value, list) and origin in (list, tuple, frozenset):
                return member
        return members[0]
    if typing.get_origin(kind) is typing.Annotated:
        return _plain(typing.get_args(kind)[0], value)
    return kind


def _without_unknown(document: Document, problems: list[Problem]) -> Any:
    if not problems:
        return document.value
    unknown = {(problem.line, problem.column) for problem in problems}

    def clean(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: clean(item, (*path, key)) for key, item in value.items() if document.keys[(*path, key)] not in unknown}
        if isinstance(value, list):
            return [clean(item, (*path, index)) for index, item in enumerate(value)]
        return value

    return clean(document.value, ())


_WORDS = {
    "tuple_type": "should be a list, as in `[a, b]`",
    "list_type": "should be a list, as in `[a, b]`",
    "dict_type": "should be a section of `key: value` lines",
    "dataclass_type": "should be a section of `key: value` lines",
    "string_type": "should be a text",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "bool_parsing": "should be `true` or `false`",
}


def _value_problem(document: Document, item: Any) -> Problem:
    path: Path = tuple(item["loc"])
    message: str = item["msg"]
    if item["type"] in ("missing", "missing_argument"):
        return document.problem(path[:-1], f"key `{path[-1]}` is missing") if len(path) > 1 else document.problem((), f"key `{path[-1]}` is missing")
    if item["type"] in ("value_error", "assertion_error"):
        message = str(item["ctx"]["error"])
    message = _WORDS.get(item["type"], message)
    known = path
    while known not in document.values and known:
        known = known[:-1]
    message = message.removeprefix("Input ")
    message = message[0].lower() + message[1:]
    shown = item["input"]
    named = shown if item["type"] == "value_error" and shown else repr(shown[:60] if isinstance(shown, str) else "")
    if isinstance(shown, str) and named not in message:
        message += f", not {shown[:60]!r}"
    return document.problem(known, message)
