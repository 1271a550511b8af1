"""The faster constructor of frozen dataclasses makes the same values as the one of dataclasses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import dataclass, field

import pytest

from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Point:
    """A class with every kind of field that values here have."""

    x: int
    label: str = "none"
    marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what is no point."""
        if self.x < 0:
            raise ValueError("negative")


def test_fields_defaults_and_factories() -> None:
    """Positional and named arguments, defaults, and a new object from each factory."""
    first, second = Point(1), Point(x=1, label="none", marks=[])
    assert first == second
    assert first.marks is not Point(1).marks
    assert repr(Point(2, "a", [3])) == "Point(x=2, label='a', marks=[3])"


def test_construction_is_checked() -> None:
    """`__post_init__` runs, and wrong arguments are refused as usual."""
    with pytest.raises(ValueError, match="negative"):
        Point(-1)
    with pytest.raises(TypeError, match="x"):
        Point()  # type: ignore[call-arg]  # the mistake under test
    with pytest.raises(TypeError, match="y"):
        Point(1, y=2)  # type: ignore[call-arg]  # the mistake under test


def test_values_stay_frozen_and_can_be_copied() -> None:
    """Nothing can be set afterwards; replace, copy and pickle work."""
    point = Point(1, "a", [1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]  # the mistake under test
    assert dataclasses.replace(point, x=5) == Point(5, "a", [1])
    assert copy.deepcopy(point) == point == pickle.loads(pickle.dumps(point))


def test_other_classes_are_refused() -> None:
    """A class that is not frozen, has no slots or has fields of another kind is our mistake, said at once."""
    with pytest.raises(TypeError, match="no frozen dataclass with slots"):
        quick(dataclass(type("Open", (), {"__annotations__": {"x": int}})))
    with pytest.raises(TypeError, match="not a plain field"):
        quick(dataclass(frozen=True, slots=True, kw_only=True)(type("Named", (), {"__annotations__": {"x": int}})))
