"""One named selection of a rule: a map of `field` or `field|modifier` to a value or a list of values.

A list means any of it; several keys mean all of them; keys that share a list prefix (`identity.claim.*`) must hold for
one and the same record. Compiled to plain membership tests, so that judging a mail parses nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from milter.model.evidence import Claim, LinkFact
from milter.ruleset.facts import Facts
from milter.ruleset.fields import CATALOGUE, CLAIM, LINK, MODIFIERS, TEXT_SCOPES, FieldSpec, FieldType
from milter.ruleset.wording import PatternError, check_regex, phrase_pattern

MAX_VALUES = 300
Path = tuple[str | int, ...]


class Report(Protocol):
    """Takes a mistake and its place inside the selection: () or (key,) or (key, index in its list)."""

    def __call__(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note the mistake; `at_key` when it is about the key itself."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """The value of a field is one of `values` (for a set: one of its values is)."""

    spec: FieldSpec
    values: frozenset[Any]  # Any: text or bool, as the field gives it

    def holds(self, subject: Any) -> bool:  # Any: what spec.get takes
        """Look at a record or at the facts."""
        value = self.spec.get(subject)
        return not self.values.isdisjoint(value) if isinstance(value, frozenset) else value in self.values


@dataclass(frozen=True, slots=True)
class Words:
    """One of several phrases or patterns, joined to one RE2 pattern, occurs in `scope`."""

    scope: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What made a selection hold: the record of each list, and the words."""

    claim: Claim | None = None
    link: LinkFact | None = None
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """A compiled selection. `fields` are the names it uses, in order."""

    name: str
    fields: tuple[str, ...]
    plain: tuple[Member, ...] = ()
    of_claim: tuple[Member, ...] = ()
    of_link: tuple[Member, ...] = ()
    words: tuple[Words, ...] = ()

    def look(self, facts: Facts) -> Bound | None:
        """What makes the selection hold, or None when it does not hold."""
        if not all(test.holds(facts) for test in self.plain):
            return None
        claim = _first(facts.claims, self.of_claim)
        link = _first(facts.links, self.of_link)
        if (self.of_claim and claim is None) or (self.of_link and link is None):
            return None
        if not all(facts.wording.has(test.scope, test.pattern) for test in self.words):
            return None
        return Bound(claim if self.of_claim else None, link if self.of_link else None, self.words[0] if self.words else None)

    def uses(self, *prefixes: str) -> bool:
        """True when a field begins with one of the prefixes."""
        return any(field.startswith(prefixes) for field in self.fields)


def _first(records: tuple[Any, ...], tests: tuple[Member, ...]) -> Any:  # Any: Claim or LinkFact
    if tests:
        for record in records:
            if all(test.holds(record) for test in tests):
                return record
    return None


def compile_selection(name: str, written: Any, report: Report) -> Selection:  # Any: what stood in the file
    """Turn the map of a file into a Selection. Each mistake goes to `report`; what is wrong is left out."""
    if not isinstance(written, dict) or not written:
        report((), "a selection is a map of fields to values")
        return Selection(name, ())
    tests: list[Member | Words] = []
    fields: list[str] = []
    for key, value in written.items():
        found = _field(key, report)
        if found is None:
            continue
        spec, modifier = found
        fields.append(spec.name)
        values = list(_values(key, value, report))
        if spec.type is FieldType.TEXT:
            tests += _text_tests(spec, modifier, values, report)
        else:
            tests.append(Member(spec, _members(spec, modifier, values, report)))
    members = [test for test in tests if isinstance(test, Member)]
    return Selection(
        name,
        tuple(fields),
        tuple(test for test in members if not test.spec.group),
        tuple(test for test in members if test.spec.group == CLAIM),
        tuple(test for test in members if test.spec.group == LINK),
        tuple(test for test in tests if isinstance(test, Words)),
    )


def _field(key: str, report: Report) -> tuple[FieldSpec, str] | None:
    name, bar, modifier = key.partition("|")
    spec = CATALOGUE.get(name)
    if spec is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else "see the reference of fields"
        report((key,), f"no field `{name}`; {hint}", at_key=True)
        return None
    allowed = MODIFIERS[spec.type]
    if modifier not in allowed or (bar and not modifier):
        forms = " or ".join(f"`{name}|{form}`" if form else f"`{name}`" for form in allowed)
        report((key,), f"`{name}` is asked as {forms}", at_key=True)
        return None
    return spec, modifier


def _values(key: str, value: Any, report: Report) -> Iterator[tuple[Path, str]]:  # Any: what stood in the file
    items: list[tuple[Path, Any]] = [((key, index), item) for index, item in enumerate(value)] if isinstance(value, list) else [((key,), value)]
    if not items:
        report((key,), "an empty list matches nothing")
    elif len(items) > MAX_VALUES:
        report((key,), f"more than {MAX_VALUES} values")
        return
    seen: set[str] = set()
    for path, item in items:
        if not isinstance(item, str):
            report(path, "a value is plain text")
        elif item in seen:
            report(path, f"{item!r} stands here twice")
        else:
            seen.add(item)
            yield path, item


def _members(spec: FieldSpec, modifier: str, values: list[tuple[Path, str]], report: Report) -> frozenset[Any]:
    result: set[Any] = set()
    for path, item in values:
        if item not in spec.values:
            near = difflib.get_close_matches(item, spec.values, n=1, cutoff=0.6)
            hint = f"did you mean `{near[0]}`?" if near else "one of: " + ", ".join(spec.values)
            report(path, f"`{spec.name}` is never {item!r}; {hint}")
        elif spec.type is FieldType.FLAG:
            result.add(item == "true")
        elif modifier == "at_least":
            result.update(spec.values[spec.values.index(item) :])
        else:
            result.add(item)
    return frozenset(result)


def _text_tests(spec: FieldSpec, modifier: str, values: list[tuple[Path, str]], report: Report) -> list[Words]:
    patterns: list[str] = []
    for path, item in values:
        try:
            patterns.append(phrase_pattern(item) if modifier == "phrase" else check_regex(item))
        except PatternError as broken:
            report(path, str(broken))
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return [Words(TEXT_SCOPES[spec.name], joined)] if joined else []
