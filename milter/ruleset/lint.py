"""What a rule must be beyond its shape: two halves for a claim, no claim in a lure, filters on proof alone, a proof of each.

Static: runs no mail (`proving` does). Knows rules and places; must not know registry or policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from milter.errors import Problem
from milter.ruleset.fields import CLAIM, LINK
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import MAX_SCORE, PLACEHOLDERS, Example, Rule
from milter.strict_yaml import Document, Path

LANGUAGES = ("fr", "en")
MAX_SENTENCE = 300
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
_LANGUAGE = re.compile(r"[a-z]{2}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HOST = re.compile(r"(?:@|://)([^\s/<>\"'()\[\],;:?#]+)")
_SPACES = {0xA0: " ", 0x202F: " "}  # French puts no-break spaces before : ? ! ;
_RESERVED = (".example", ".test")


def check(rule: Rule, document: Document) -> list[Problem]:
    """Every problem of one rule, with its place in the file."""
    return [document.problem(path, message) for path, message in _problems(rule)]


def across(rules: Iterable[Rule]) -> list[Problem]:
    """Ids that several files use."""
    first: dict[str, str] = {}
    problems = []
    for rule in rules:
        if rule.id in first:
            problems.append(Problem(rule.file, 0, 0, "id", f"`{rule.id}` is the id of {first[rule.id]} already"))
        first.setdefault(rule.id, rule.file)
    return problems


def check_lock(ruleset: RuleSet, lock: str, file: str) -> list[Problem]:
    """Compare the shipped rules with `ids.lock`, one id a line in order, `#` for comments: an id once given stays given."""
    ids = {rule.id: rule.file for rule in ruleset.rules} | dict.fromkeys(ruleset.retired, "retired")
    replaced = {old for rule in ruleset.rules for old in rule.text.replaces}
    locked: list[str] = []
    problems = []
    for number, line in enumerate(lock.splitlines(), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if locked and name <= locked[-1]:
            problems.append(Problem(file, number, 1, "", f"`{name}` stands twice or out of order"))
        locked.append(name)
        if name not in ids and name not in replaced:
            message = f"no rule has the id `{name}` or replaces it; an id once given stays: set the rule to retired"
            problems.append(Problem(file, number, 1, "", message))
    problems += [Problem(file, 0, 0, "", f"`{name}` ({where}) is missing; add it") for name, where in ids.items() if name not in locked]
    return problems


def _problems(rule: Rule) -> Iterator[tuple[Path, str]]:
    yield from _names(rule)
    yield from _sentences(rule)
    yield from _lure(rule) if rule.kind.is_lure else _halves(rule)
    yield from _filters(rule)
    yield from _examples(rule)


def _names(rule: Rule) -> Iterator[tuple[Path, str]]:
    if not _ID.fullmatch(rule.id):
        yield ("id",), "an id is lower-case words joined by hyphens, such as `insurer-display-name-unauthenticated`"
    stem = rule.file.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".yml")
    if stem != rule.id:
        yield ("id",), f"the file must be named `{rule.id}.yml`, not `{stem}.yml`"
    for key in ("title", "description", "author"):
        if not getattr(rule.text, key).strip():
            yield (key,), "is empty"
    if rule.text.score is not None and not 0 < rule.text.score <= MAX_SCORE:
        yield ("score",), f"above 0 and at most {MAX_SCORE:g}"
    if not rule.text.tags:
        yield ("tags",), "needs one tag at least, such as `claim.display-name`"
    for index, tag in enumerate(rule.text.tags):
        if not tag.startswith(f"{rule.kind}."):
            yield ("tags", index), f"a tag begins with the rule's kind: `{rule.kind}.…`"
    if not rule.text.false_positives:
        yield ("false_positives",), "say once at least when the rule is wrong, and what to do then"


def _sentences(rule: Rule) -> Iterator[tuple[Path, str]]:
    bound = {"link_domain": LINK, "claim_domain": CLAIM}
    for language in LANGUAGES:
        if language not in rule.text.says:
            yield ("says",), f"the sentence in `{language}` is missing"
    for language, sentence in rule.text.says.items():
        path: Path = ("says", language)
        if not _LANGUAGE.fullmatch(language):
            yield path, "a language is two lower-case letters"
        if not sentence.strip() or len(sentence) > MAX_SENTENCE or not sentence.translate(_SPACES).isprintable():
            yield path, f"one printable line of 1 to {MAX_SENTENCE} characters"
        for name in _PLACEHOLDER.findall(sentence):
            if name not in PLACEHOLDERS:
                yield path, f"no placeholder `{{{name}}}`; there is: {', '.join(PLACEHOLDERS)}"
            elif name in bound and not _uses(rule, bound[name] + "."):
                yield path, f"`{{{name}}}` needs a selection over `{bound[name]}.*`"
        if "{" in _PLACEHOLDER.sub("", sentence) or "}" in _PLACEHOLDER.sub("", sentence):
            yield path, "a brace is left open"


def _uses(rule: Rule, *prefixes: str) -> bool:
    return any(selection.uses(*prefixes) for selection in rule.detection.selections.values())


def _halves(rule: Rule) -> Iterator[tuple[Path, str]]:
    claims = [selection for name, selection in rule.detection.selections.items() if name.startswith("claim_")]
    if not any(selection.uses(f"{CLAIM}.") for selection in claims):
        yield ("detection",), f"a rule of kind {rule.kind} needs a selection `claim_…` over `{CLAIM}.*`"
    if not _uses(rule, "auth.", "proof."):
        yield ("detection",), f"a rule of kind {rule.kind} needs an authentication fact (`auth.*` or `proof.*`)"


def _lure(rule: Rule) -> Iterator[tuple[Path, str]]:
    for name, selection in rule.detection.selections.items():
        for field in selection.fields:
            if field.startswith(("identity.", "auth.", "proof.", "author.")):
                yield ("detection", name), f"a rule of kind {rule.kind} must not look at `{field}`: the engine counts it only for an unproven claim"


def _filters(rule: Rule) -> Iterator[tuple[Path, str]]:
    for name in rule.detection.filters:
        for field in rule.detection.selections[name].fields:
            if not field.startswith(("auth.", "proof.")):
                yield ("detection", name), f"a filter looks at `auth.*` and `proof.*` only, not at `{field}`"
        if not any(example.tests == name for example in rule.text.examples.no_match):
            yield ("examples", "no_match"), f"needs an example with `tests: {name}`"


def _examples(rule: Rule) -> Iterator[tuple[Path, str]]:
    text = rule.text
    for part in ("match", "no_match"):
        if not getattr(text.examples, part):
            yield ("examples", part), "needs one example at least"
    groups: dict[Path, tuple[Example, ...]] = {
        ("examples", "match"): text.examples.match,
        ("examples", "no_match"): text.examples.no_match,
        ("known_miss",): text.known_miss,
        ("known_noise",): text.known_noise,
    }
    names: set[str] = set()
    for path, examples in groups.items():
        for index, example in enumerate(examples):
            if example.name in names or not example.name.strip():
                yield (*path, index, "name"), "each example has a name of its own"
            names.add(example.name)
            if example.tests and path != ("examples", "no_match"):
                yield (*path, index, "tests"), "only a `no_match` example tests a filter"
            elif example.tests and example.tests not in rule.detection.filters:
                yield (*path, index, "tests"), f"no filter `{example.tests}`"
            for host in _hosts(example):
                if not host.rstrip(".").endswith(_RESERVED):
                    yield (*path, index, "mail"), f"only names under .example and .test are allowed, not `{host}`"


def _hosts(example: Example) -> Iterator[str]:
    mail = example.mail
    for text in (mail.headers, mail.text, mail.html):
        yield from (found.lower().rstrip(".") for found in _HOST.findall(text))
    yield from mail.authenticated
    yield from mail.dns_trouble
