"""Phrases and regular expressions of rules: checked, folded, and looked for all at once in linear scans of a mail.

Everything is matched on `text.normal.fold`ed text, because RE2's `\\b` and `\\w` know ASCII only and because writers of
lures vary case, accents, blanks and look-alike letters. Knows RE2; must not know rules.
"""

from __future__ import annotations

import re

import re2

from milter.text.normal import fold, fold_map

MAX_REPEAT = 80
MAX_GAP = 8
QUOTE_CHARS = 120
AUTOMATA = 8
AUTOMATON_OCTETS = 8 * 1024 * 1024

_GAP = re.compile(r"\{(\d{1,3})-(\d{1,3})\}")
_TOKEN = re.compile(r"\{\d{1,3}-\d{1,3}\}|\([^(){}]*\)|[^\s(){}|]+")
_REPEAT = re.compile(r"\{(\d{0,9})(,?)(\d{0,9})\}")
_BETWEEN = "[^a-z0-9]{1,3}"


class PatternError(ValueError):
    """A phrase or regex cannot be used. The text says what to write instead."""


def options() -> re2.Options:
    """RE2 options that all patterns and automata share."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = AUTOMATON_OCTETS
    return chosen


def phrase_pattern(phrase: str) -> str:
    """RE2 pattern of a phrase over folded text. Raises PatternError.

    Whole words, anything but letters and digits between them. `confirm*` is a word with any ending, `(a|b c)` one of
    several, `{0-3}` up to three words between.
    """
    if rest := _TOKEN.sub("", phrase).strip():
        raise PatternError(f"{rest[0]!r} stands alone in {phrase!r}; a gap is written {{0-3}}, a choice (one|other words)")
    pieces: list[str] = []
    gap = ""
    for token in _TOKEN.findall(phrase):
        if bounds := _GAP.fullmatch(token):
            if not pieces or gap:
                raise PatternError(f"a gap stands between two words: {phrase!r}")
            gap = _gap(int(bounds[1]), int(bounds[2]))
            continue
        between = (gap or _BETWEEN) if pieces else ""
        choices = [_words(choice, phrase) for choice in token.strip("()").split("|")]
        pieces.append(between + (f"(?:{'|'.join(choices)})" if len(choices) > 1 else choices[0]))
        gap = ""
    if not pieces or gap:
        raise PatternError(f"a gap stands between two words: {phrase!r}" if gap else "an empty phrase matches nothing")
    return rf"\b{''.join(pieces)}\b"


def _gap(low: int, high: int) -> str:
    if not low <= high <= MAX_GAP:
        raise PatternError(f"a gap goes from few to at most {MAX_GAP} words, such as {{0-3}}")
    return f"{_BETWEEN}(?:[a-z0-9]+{_BETWEEN}){{{low},{high}}}"


def _words(text: str, phrase: str) -> str:
    """The pattern of plain words, one after the other."""
    words: list[str] = []
    for token in text.split():
        folded = fold(token)
        kept = "".join(char if char.isascii() and (char.isalnum() or char == "*") else " " for char in folded).split()
        for word in kept:
            if "*" in word[:-1] or word == "*":
                raise PatternError(f"`*` ends a word: {phrase!r}")
            words.append(word[:-1] + "[a-z0-9]*" if word.endswith("*") else word)
    if not words:
        raise PatternError(f"only letters and digits count in a phrase; {text!r} in {phrase!r} has none")
    return _BETWEEN.join(words)


def check_regex(pattern: str) -> str:
    """The pattern itself when RE2 takes it, it is folded already and repeats at most 80 times. Raises PatternError."""
    for position, char in enumerate(pattern):
        if char != " " and fold(char) != char and pattern[position - 1 : position] != "\\":
            raise PatternError(f"the text is folded before it is matched: write {fold(char)!r} for {char!r}")
    for found in _REPEAT.finditer(pattern):
        if max(int(found[1] or 0), int(found[3] or 0)) > MAX_REPEAT:
            raise PatternError(f"repeats more than {MAX_REPEAT} times: {found.group()}")
    try:
        compiled = re2.compile(pattern, options=options())
    except re2.error as broken:
        reason = broken.args[0].decode() if isinstance(broken.args[0], bytes) else broken.args[0]
        raise PatternError(f"not RE2 syntax: {reason}") from None
    if compiled.search("") is not None:
        raise PatternError("matches the empty text, so it would always match")
    return pattern


class PatternSet:
    """All patterns of a rule set in at most eight RE2 sets. Raises PatternError when they are too much for their memory.

    One set would be faster on plain text (0.02 ms against 0.18 ms for 15 kB), but 200 kB made of the words of many phrases
    multiply its states: 500 ms, against 40 ms when the patterns are spread over eight.
    """

    def __init__(self, patterns: frozenset[str]) -> None:
        self.patterns: tuple[str, ...] = tuple(sorted(patterns))
        self._sets = [(part, _automaton(part)) for start in range(AUTOMATA) if (part := self.patterns[start::AUTOMATA])]

    def found(self, folded: str) -> frozenset[str]:
        """The patterns that occur in folded text."""
        # Set.Match gives None, not [], when nothing matches
        return frozenset(part[number] for part, automaton in self._sets for number in automaton.Match(folded) or ()) if folded else frozenset()


def _automaton(patterns: tuple[str, ...]) -> re2.Set:
    automaton = re2.Set.SearchSet(options())
    try:
        for pattern in patterns:
            automaton.Add(pattern)
        automaton.Compile()
    except re2.error as broken:
        raise PatternError(f"the phrases and patterns of all rules are too much together: {broken}") from None
    return automaton


class TextScan:
    """The wording of one mail (`ruleset.facts.Wording`). Folds and scans when first asked, then remembers."""

    def __init__(self, patterns: PatternSet, subject: str, own: str) -> None:
        self._patterns = patterns
        self._texts = {"subject": subject, "own": own}
        self._found: dict[str, frozenset[str]] = {}
        self._maps: dict[str, tuple[str, list[int]]] = {}

    def has(self, scope: str, pattern: str) -> bool:
        """True when `pattern` occurs in `scope`: `subject`, `own` or `any`."""
        return any(pattern in self._in(part) for part in self._parts(scope))

    def quote(self, scope: str, pattern: str) -> str:
        """The words as the mail writes them where `pattern` first occurs, at most 120 characters, "" when nowhere."""
        for part in self._parts(scope):
            if pattern in self._in(part):
                return self._quote(part, pattern)
        return ""

    def _parts(self, scope: str) -> tuple[str, ...]:
        return ("subject", "own") if scope == "any" else (scope,)

    def _in(self, part: str) -> frozenset[str]:
        if part not in self._found:
            self._found[part] = self._patterns.found(fold(self._texts[part]))
        return self._found[part]

    def _quote(self, part: str, pattern: str) -> str:
        text = self._texts[part]
        if part not in self._maps:
            self._maps[part] = fold_map(text)
        folded, places = self._maps[part]
        found = re2.search(pattern, folded, options=options())
        if found is None or found.end() == found.start():
            return ""
        return " ".join(text[places[found.start()] : places[found.end() - 1] + 1].split())[:QUOTE_CHARS]
