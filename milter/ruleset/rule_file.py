"""Reads rule files: strict YAML, known keys in their order, every mistake of every file at once with its place.

One rule a file; the folder names its kind and the file its id. Must not open files: it is handed names and octets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from milter import strict_yaml
from milter.errors import FileError, Problem, RuleError
from milter.ruleset import detection, lint
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import KEY_ORDER, Kind, Rule, RuleText
from milter.ruleset.wording import PatternError
from milter.strict_yaml import Document

MAX_RULES = 5_000


def load(sources: Iterable[tuple[str, bytes]]) -> RuleSet:
    """All rules of these (file name, octets), compiled. Raises RuleError with every problem of every file."""
    problems: list[Problem] = []
    rules: list[Rule] = []
    for number, (file, octets) in enumerate(sources):
        if number >= MAX_RULES:
            problems.append(Problem(file, 0, 0, "", f"more than {MAX_RULES} rule files"))
            break
        rule = _rule(file, octets, problems)
        if rule is not None:
            rules.append(rule)
    problems += lint.across(rules)
    if problems:
        raise RuleError(problems)
    try:
        return RuleSet.build(rules)
    except PatternError as broken:
        raise RuleError([Problem("rules", 0, 0, "", str(broken))]) from None


def _rule(file: str, octets: bytes, problems: list[Problem]) -> Rule | None:
    """One rule, or None after its mistakes went to `problems` in the order of the file."""
    found: list[Problem] = []
    kind = _kind(file, found)
    text: RuleText | None = None
    try:
        document = strict_yaml.parse(octets, file, RuleError)
    except FileError as broken:
        problems += [*found, *broken.problems]
        return None
    try:
        text = strict_yaml.validate(document, RuleText, RuleError)
    except FileError as broken:
        found += broken.problems
    found += _order(document)
    compiled = detection.read(document, octets, found)
    rule = Rule(text, kind, compiled, file) if text and kind and compiled else None
    if rule:
        found += lint.check(rule, document)
    problems += sorted(found, key=lambda problem: (problem.line, problem.column))
    return rule


def _kind(file: str, problems: list[Problem]) -> Kind | None:
    folder = PurePath(file).parent.name
    if folder in tuple(Kind):
        return Kind(folder)
    kinds = ", ".join(Kind)
    problems.append(Problem(file, 0, 0, "", f"the folder of a rule names its kind, one of: {kinds}; not {folder!r}"))
    return None


def _order(document: Document) -> list[Problem]:
    """The first key that stands in the wrong place."""
    if not isinstance(document.value, dict):
        return []
    known = [key for key in document.value if key in KEY_ORDER]
    wanted = sorted(known, key=KEY_ORDER.index)
    for is_key, should in zip(known, wanted, strict=True):
        if is_key != should:
            return [document.problem((should,), f"stands too late; `{should}` comes before `{is_key}`", at_key=True)]
    return []
