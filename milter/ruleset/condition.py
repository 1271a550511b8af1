"""The condition of a rule: which of its selections must hold together.

    expression = term { "or" term }        term = factor { "and" factor }
    factor = "not" factor | "(" expression ")" | ("1" | "all") "of" NAME* | NAME

`and` binds closer than `or`. Knows names only; must not know what a selection looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_LENGTH = 1_000
MAX_DEPTH = 20
KEYWORDS = frozenset({"and", "or", "not", "of", "all"})
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")

Truth = Callable[[str], bool]


class ConditionError(ValueError):
    """The condition cannot be read. `offset` counts characters from its start."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Name:
    """One selection holds."""

    name: str

    def holds(self, truth: Truth) -> bool:
        """Ask for the selection."""
        return truth(self.name)

    def names(self) -> Iterator[str]:
        """The selections that the answer depends on."""
        yield self.name


@dataclass(frozen=True, slots=True)
class Not:
    """The inner condition does not hold."""

    inner: Node

    def holds(self, truth: Truth) -> bool:
        """Turn the answer round."""
        return not self.inner.holds(truth)

    def names(self) -> Iterator[str]:
        """The selections that the answer depends on."""
        yield from self.inner.names()


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold: `and`, `all of name*`."""

    parts: tuple[Node, ...]

    def holds(self, truth: Truth) -> bool:
        """Stop at the first part that does not hold."""
        return all(part.holds(truth) for part in self.parts)

    def names(self) -> Iterator[str]:
        """The selections that the answer depends on."""
        for part in self.parts:
            yield from part.names()


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds: `or`, `1 of name*`."""

    parts: tuple[Node, ...]

    def holds(self, truth: Truth) -> bool:
        """Stop at the first part that holds."""
        return any(part.holds(truth) for part in self.parts)

    def names(self) -> Iterator[str]:
        """The selections that the answer depends on."""
        for part in self.parts:
            yield from part.names()


Node = Name | Not | Every | Some


def parse(text: str, selections: tuple[str, ...]) -> Node:
    """Read a condition over these selections. Raises ConditionError with the offset of the first mistake."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(MAX_LENGTH, f"longer than {MAX_LENGTH} characters")
    parser = _Parser(list(_tokens(text)), selections, len(text))
    node = parser.expression(0)
    if parser.at < len(parser.tokens):
        offset, token = parser.tokens[parser.at]
        raise ConditionError(offset, f"`{token}` is not expected here; join selections by `and` or `or`")
    return node


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char in "()":
            yield at, char
            at += 1
        elif char in _NAME or char == "*":
            end = at
            while end < len(text) and (text[end] in _NAME or text[end] == "*"):
                end += 1
            yield at, text[at:end]
            at = end
        else:
            raise ConditionError(at, f"the character {char!r} means nothing here; names are lower-case letters, digits and _")


class _Parser:
    """Recursive descent over the tokens; `at` is the next one."""

    def __init__(self, tokens: list[tuple[int, str]], selections: tuple[str, ...], length: int) -> None:
        self.tokens = tokens
        self.selections = selections
        self.length = length
        self.at = 0

    def expression(self, depth: int) -> Node:
        return self._joined("or", depth)

    def _joined(self, word: str, depth: int) -> Node:
        part = self._joined("and", depth) if word == "or" else self._factor(depth)
        parts = [part]
        while self._peek() == word:
            self.at += 1
            parts.append(self._joined("and", depth) if word == "or" else self._factor(depth))
        if len(parts) == 1:
            return part
        return Some(tuple(parts)) if word == "or" else Every(tuple(parts))

    def _factor(self, depth: int) -> Node:
        offset, word = self._next("a selection, `not`, `(`, `1 of` or `all of`")
        if depth >= MAX_DEPTH:
            raise ConditionError(offset, f"nested deeper than {MAX_DEPTH} levels")
        if word == "not":
            return Not(self._factor(depth + 1))
        if word == "(":
            node = self.expression(depth + 1)
            closing, found = self._next("`)`")
            if found != ")":
                raise ConditionError(closing, f"`)` expected, not `{found}`")
            return node
        if word in ("1", "all"):
            return self._quantified(word)
        if word in KEYWORDS or word == ")":
            raise ConditionError(offset, f"a selection expected, not `{word}`")
        if word not in self.selections:
            raise ConditionError(offset, f"no selection `{word}`; there is: {', '.join(self.selections) or 'none'}")
        return Name(word)

    def _quantified(self, quantity: str) -> Node:
        offset, word = self._next("`of`")
        if word != "of":
            raise ConditionError(offset, f"`of` expected, not `{word}`")
        offset, pattern = self._next("a name that ends in *")
        if not pattern.endswith("*") or "*" in pattern[:-1] or len(pattern) < 2:
            raise ConditionError(offset, f"a name that ends in * expected, such as `filter_*`, not `{pattern}`")
        parts = tuple(Name(name) for name in self.selections if name.startswith(pattern[:-1]))
        if not parts:
            raise ConditionError(offset, f"no selection begins with `{pattern[:-1]}`")
        return Some(parts) if quantity == "1" else Every(parts)

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _next(self, expected: str) -> tuple[int, str]:
        if self.at >= len(self.tokens):
            raise ConditionError(self.length, f"ends too early; {expected} expected")
        self.at += 1
        return self.tokens[self.at - 1]
