"""Values ↔ octets, for the way between processes: what is read is exactly of the declared type, or ValueError.

Knows frozen dataclasses, enumerations, text, octets, numbers, tuples, frozensets, dictionaries and unions of these. JSON outside; unlike pickle it
can make nothing but the declared classes, through their constructors, so their own checks hold too. Must not know what the values mean.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast

T = TypeVar("T")
Reader = Callable[[object], Any]  # Any: of the type it was made for


def dump(value: object) -> bytes:
    """The octets of a value. TypeError for what this module does not know: our own mistake."""
    return json.dumps(_plain(value), separators=(",", ":")).encode("ascii")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(cast("frozenset[str]", value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, *(_plain(getattr(value, field.name)) for field in fields(value))]
    raise TypeError(f"no plain form for {type(value).__name__}")


def load(kind: type[T], octets: bytes) -> T:
    """The value of type `kind` that `octets` hold. Raises ValueError for anything else, whoever wrote it."""
    try:
        found: T = _reader_of(cast(Any, kind))(json.loads(octets, parse_constant=_no_number))
    except (ValueError, TypeError, RecursionError, OverflowError) as wrong:
        raise ValueError(f"octets hold no {kind.__name__}: {type(wrong).__name__}") from None
    return found


def _no_number(text: str) -> object:
    raise ValueError(text)


def _check(is_right: bool) -> None:  # noqa: FBT001  # one condition
    if not is_right:
        raise ValueError


def _reader(kind: Any) -> Reader:  # Any: types, generic aliases and unions have no common type
    """What makes a value of this type out of JSON's; each checks its own."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _union_reader(inner)
    if origin is tuple:
        return _tuple_reader(inner)
    if origin is frozenset:
        read_all = _tuple_reader((*inner, ...))
        return lambda found: frozenset(read_all(found))
    if origin is dict:
        return _dict_reader(*inner)
    if origin is typing.Literal:
        return _literal_reader(inner)
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if kind in _SCALARS:
        return _SCALARS[kind]
    raise TypeError(f"no reader for {kind!r}")


@cache
def _reader_of(kind: Any) -> Reader:  # Any: see `_reader`
    return _reader(kind)


def _text(found: object) -> str:
    _check(type(found) is str)
    return cast(str, found)


def _octets(found: object) -> bytes:
    return _text(found).encode("latin-1")


def _number(found: object) -> float:
    _check(type(found) in (int, float))
    return float(cast(float, found))


def _whole(found: object) -> int:
    _check(type(found) is int)
    return cast(int, found)


def _flag(found: object) -> bool:
    _check(type(found) is bool)
    return cast(bool, found)


def _nothing(found: object) -> None:
    _check(found is None)


_SCALARS: dict[object, Reader] = {str: _text, bytes: _octets, float: _number, int: _whole, bool: _flag, types.NoneType: _nothing}


def _literal_reader(values: tuple[object, ...]) -> Reader:
    def read(found: object) -> object:
        _check(type(found) is str and found in values)
        return found

    return read


def _tuple_reader(kinds: tuple[Any, ...]) -> Reader:  # Any: see `_reader`
    readers = [_reader(kind) for kind in kinds if kind is not ...]

    def read(found: object) -> tuple[object, ...]:
        _check(type(found) is list)
        ones = cast("list[object]", found)
        if kinds[-1] is ...:
            return tuple(map(readers[0], ones))
        _check(len(ones) == len(readers))
        return tuple(reader(one) for reader, one in zip(readers, ones, strict=True))

    return read


def _dict_reader(key: Any, value: Any) -> Reader:  # Any: see `_reader`
    read_key, read_value = _reader(key), _reader(value)

    def read(found: object) -> dict[object, object]:
        _check(type(found) is dict)
        return {read_key(one): read_value(other) for one, other in cast("dict[object, object]", found).items()}

    return read


def _dataclass_reader(kind: Any) -> Reader:  # Any: a dataclass's constructor takes what it takes
    hints = typing.get_type_hints(kind)
    readers = [_reader(hints[field.name]) for field in fields(kind)]

    def read(found: object) -> object:
        _check(type(found) is list)
        name, *values = cast("list[object]", found)
        _check(name == kind.__name__ and len(values) == len(readers))
        return kind(*(reader(one) for reader, one in zip(readers, values, strict=True)))

    return read


def _union_reader(kinds: tuple[Any, ...]) -> Reader:  # Any: see `_reader`
    """Dataclasses are told apart by name, the rest by the first that fits."""
    readers = [(kind, _reader(kind)) for kind in kinds]
    named = {str(getattr(kind, "__name__", "")): reader for kind, reader in readers if is_dataclass(kind)}
    others = [reader for kind, reader in readers if not is_dataclass(kind)]

    def read(found: object) -> object:
        if type(found) is list and found and type(found[0]) is str and found[0] in named:
            return named[found[0]](found)
        for reader in others:
            try:
                return reader(found)
            except ValueError:
                continue
        raise ValueError

    return read
