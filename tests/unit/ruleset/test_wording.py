"""Phrases and regular expressions of rules."""

from __future__ import annotations

import time

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.ruleset.wording import PatternError, PatternSet, TextScan, check_regex, phrase_pattern
from milter.text.normal import fold


def occurs(phrase: str, text: str) -> bool:
    """Does the phrase occur in the text, folded?"""
    pattern = phrase_pattern(phrase)
    return pattern in PatternSet(frozenset({pattern})).found(fold(text))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("mettre à jour", "Merci de METTRE A JOUR votre dossier"),
        ("mettre a jour", "mettre à\u00a0 jour"),
        ("mettre à jour", "mettre\nà jour"),
        ("mettre à jour {0-3} coordonnées bancaires", "mettre à jour vos coordonnées bancaires"),
        ("mettre à jour {0-3} coordonnées bancaires", "mettre à jour, ce soir, vos coordonnées bancaires."),
        ("mettre à jour {0-3} coordonnées", "mettre à jour coordonnées"),
        ("confirm* {0-1} RIB", "confirmez votre rib"),
        ("confirm* {0-1} RIB", "Confirmation RIB"),
        ("(droits|prise en charge) suspendus", "droits suspendus"),
        ("(droits|prise en charge) suspendu*", "prise en charge suspendue"),
        ("d'urgence", "agir d’urgence !"),
        ("d'urgence", "d urgence"),
        ("carte Vitale", "carte-vitale"),
        ("échéance", "l’ÉCHÉANCE"),
        ("échéance", "eche\u0301ance"),
        ("bestätigen", "BESTÄTIGEN"),
    ],
)
def test_phrase_occurs(phrase: str, text: str) -> None:
    """Case, accents, blanks, quotes and punctuation between words do not matter; gaps, choices and endings work."""
    assert occurs(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("RIB", "une tribune"),
        ("RIB", "RIBS"),
        ("mettre à jour {0-1} coordonnées", "mettre à jour un deux coordonnées"),
        ("mettre à jour {1-2} coordonnées", "mettre à jour coordonnées"),
        ("confirm*", "reconfirmer"),
        ("carte vitale", "carte ... puis vitale"),
        ("carte vitale", "carte"),
        ("carte vitale", ""),
    ],
)
def test_phrase_does_not_occur(phrase: str, text: str) -> None:
    """Words are whole and a gap has a bound."""
    assert not occurs(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("", "an empty phrase matches nothing"),
        ("  ", "an empty phrase matches nothing"),
        ("{0-3} rib", "a gap stands between two words: '{0-3} rib'"),
        ("rib {0-3}", "a gap stands between two words: 'rib {0-3}'"),
        ("a {0-1} {0-1} b", "a gap stands between two words: 'a {0-1} {0-1} b'"),
        ("a {3-1} b", "a gap goes from few to at most 8 words, such as {0-3}"),
        ("a {0-9} b", "a gap goes from few to at most 8 words, such as {0-3}"),
        ("a {3} b", "'{' stands alone in 'a {3} b'; a gap is written {0-3}, a choice (one|other words)"),
        ("a (b c", "'(' stands alone in 'a (b c'; a gap is written {0-3}, a choice (one|other words)"),
        ("a | b", "'|' stands alone in 'a | b'; a gap is written {0-3}, a choice (one|other words)"),
        ("!!!", "only letters and digits count in a phrase; '!!!' in '!!!' has none"),
        ("(a|)", "only letters and digits count in a phrase; '' in '(a|)' has none"),
        ("a * b", "`*` ends a word: 'a * b'"),
        ("a*b", "`*` ends a word: 'a*b'"),
    ],
)
def test_phrase_mistakes(phrase: str, message: str) -> None:
    """A phrase that cannot mean what its writer thinks is refused with a reason."""
    with pytest.raises(PatternError) as raised:
        phrase_pattern(phrase)
    assert str(raised.value) == message


@pytest.mark.parametrize("pattern", [r"\bsous (?:24|48) ?h\b", r"[0-9]{1,4}(?:,[0-9]{2})? ?€", r"\d{1,80}", r"\S+@\S+ x"])
def test_regex_allowed(pattern: str) -> None:
    """RE2 syntax over folded letters is taken as it is; escapes such as \\S are no capitals."""
    assert check_regex(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("é", "the text is folded before it is matched: write 'e' for 'é'"),
        ("Rib", "the text is folded before it is matched: write 'r' for 'R'"),
        (r"(a)\1", r"not RE2 syntax: invalid escape sequence: \1"),
        ("a(?=b)", "not RE2 syntax: invalid perl operator: (?="),
        ("a{1,81}", "repeats more than 80 times: {1,81}"),
        ("a{500}", "repeats more than 80 times: {500}"),
        ("(", "not RE2 syntax: missing ): ("),
        ("a*", "matches the empty text, so it would always match"),
        ("", "matches the empty text, so it would always match"),
    ],
)
def test_regex_mistakes(pattern: str, message: str) -> None:
    """What RE2 does not know, what never matches folded text and what always matches is refused."""
    with pytest.raises(PatternError) as raised:
        check_regex(pattern)
    assert str(raised.value) == message


def test_scopes() -> None:
    """Subject and own words are told apart; `any` means either of them, and never a phrase across both."""
    rib, card, across = phrase_pattern("rib"), phrase_pattern("carte"), phrase_pattern("rib carte")
    scan = TextScan(PatternSet(frozenset({rib, card, across})), "Votre RIB", "carte perdue")
    assert [scan.has(scope, rib) for scope in ("subject", "own", "any")] == [True, False, True]
    assert [scan.has(scope, card) for scope in ("subject", "own", "any")] == [False, True, True]
    assert not scan.has("any", across)


def test_quote() -> None:
    """A quote shows the words as they were written, on one line, at most 120 characters."""
    pattern = phrase_pattern("mettre à jour {0-3} coordonnées")
    scan = TextScan(PatternSet(frozenset({pattern})), "", "Merci de METTRE\r\n À  jour vos Coordonnées bancaires")
    assert scan.quote("any", pattern) == "METTRE À jour vos Coordonnées"
    assert scan.quote("subject", pattern) == ""


def test_nothing_asked_nothing_scanned() -> None:
    """A mail that no rule asks about is never folded."""

    class Never(PatternSet):
        def found(self, folded: str) -> frozenset[str]:
            raise AssertionError(folded)

    assert TextScan(Never(frozenset()), "s", "o") is not None


def test_empty_set() -> None:
    """A rule set without words finds nothing in any text."""
    assert PatternSet(frozenset()).found("rib") == frozenset()


def test_linear_on_hostile_text() -> None:
    """200,000 characters made of almost-phrases are scanned in about linear time."""
    patterns = frozenset(phrase_pattern(f"(confirm*|a) {{0-8}} (b|c) {{0-8}} word{number}") for number in range(20))
    compiled = PatternSet(patterns)
    started = time.perf_counter()
    assert not compiled.found("confirm a b c " * 14_000)
    assert time.perf_counter() - started < 5.0


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_phrase(text: str) -> None:
    """Whatever is written as a phrase or regex is either refused or compiles in RE2."""
    for make in (phrase_pattern, check_regex):
        try:
            pattern = make(text)
        except PatternError:
            continue
        assert re2.compile(pattern) is not None


def test_too_much_together() -> None:
    """Patterns that are too much for the automata's memory are refused when they are compiled, not when mail comes."""
    many = frozenset(f"(?:[^x]{{80}}){{10}}x{{{number % 80 + 1}}}y{{{number // 80 + 1}}}" for number in range(400))
    with pytest.raises(PatternError, match="the phrases and patterns of all rules are too much together"):
        PatternSet(many)
