"""The condition of a rule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.ruleset.condition import MAX_DEPTH, ConditionError, parse

NAMES = ("claim_a", "claim_b", "filter_x", "filter_y", "link")


@pytest.mark.parametrize(
    ("text", "true", "expected"),
    [
        ("link", {"link"}, True),
        ("link", set(), False),
        ("claim_a and link", {"claim_a", "link"}, True),
        ("claim_a and link", {"claim_a"}, False),
        ("claim_a or link", {"link"}, True),
        ("not link", set(), True),
        ("not not link", {"link"}, True),
        ("claim_a or claim_b and link", {"claim_a"}, True),
        ("(claim_a or claim_b) and link", {"claim_a"}, False),
        ("1 of claim_*", {"claim_b"}, True),
        ("1 of claim_*", {"link"}, False),
        ("all of claim_*", {"claim_a"}, False),
        ("all of claim_*", {"claim_a", "claim_b"}, True),
        ("claim_a and not 1 of filter_*", {"claim_a"}, True),
        ("claim_a and not 1 of filter_*", {"claim_a", "filter_y"}, False),
        ("not claim_a and link", {"link"}, True),
        ("  ((  link ) )", {"link"}, True),
    ],
)
def test_meaning(text: str, true: set[str], *, expected: bool) -> None:
    """`and` binds closer than `or`, `not` closest; `1 of` and `all of` take every selection with the prefix."""
    assert parse(text, NAMES).holds(true.__contains__) is expected


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "ends too early; a selection, `not`, `(`, `1 of` or `all of` expected"),
        ("link and", 8, "ends too early; a selection, `not`, `(`, `1 of` or `all of` expected"),
        ("link link", 5, "`link` is not expected here; join selections by `and` or `or`"),
        ("lnk", 0, "no selection `lnk`; there is: claim_a, claim_b, filter_x, filter_y, link"),
        ("link and and link", 9, "a selection expected, not `and`"),
        ("(link", 5, "ends too early; `)` expected"),
        ("(link link)", 6, "`)` expected, not `link`"),
        ("link)", 4, "`)` is not expected here; join selections by `and` or `or`"),
        ("link & link", 5, "the character '&' means nothing here; names are lower-case letters, digits and _"),
        ("1 link", 2, "`of` expected, not `link`"),
        ("1 of link", 5, "a name that ends in * expected, such as `filter_*`, not `link`"),
        ("all of want_*", 7, "no selection begins with `want_`"),
        ("1 of *", 5, "a name that ends in * expected, such as `filter_*`, not `*`"),
        ("not " * 30 + "link", 4 * MAX_DEPTH, "nested deeper than 20 levels"),
        ("(" * 30 + "link" + ")" * 30, MAX_DEPTH, "nested deeper than 20 levels"),
        ("link or " * 200 + "link", 1000, "longer than 1000 characters"),
    ],
)
def test_mistakes(text: str, offset: int, message: str) -> None:
    """A mistake is named with the offset of the character where it shows."""
    with pytest.raises(ConditionError) as raised:
        parse(text, NAMES)
    assert (raised.value.offset, str(raised.value)) == (offset, message)


def test_names_used() -> None:
    """The names that the answer depends on are all that the condition mentions, by pattern too."""
    assert set(parse("link and not 1 of filter_*", NAMES).names()) == {"link", "filter_x", "filter_y"}


@given(st.lists(st.sampled_from([*NAMES, "and", "or", "not", "(", ")", "1", "of", "all", "filter_*", "x", "*", "é"]), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_tokens(tokens: list[str]) -> None:
    """Any text is either read or refused with an offset inside it."""
    text = " ".join(tokens)
    offset, names = 0, set(NAMES)
    try:
        names = set(parse(text, NAMES).names())
    except ConditionError as refused:
        offset = refused.offset
    assert 0 <= offset <= len(text)
    assert names <= set(NAMES)
