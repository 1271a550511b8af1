"""What may stand in an HTML source, found in one pass."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from milter.mime import html_signs
from milter.mime.html_signs import CAPITALS, TRICKY, look


@pytest.mark.parametrize(
    ("source", "signs"),
    [
        (b"<p style='color:red'>x</p>", set()),
        (b"<A HREF=x>y</A>", {CAPITALS, "link"}),
        (b'<img alt="">', set()),
        (b"<img ALT = x>", {"picture"}),
        (b"<p hidden>", {"hidden"}),
        (b"overflow: hidden;", set()),
        (b"<Script>", {CAPITALS, "unseen"}),
        (b"<div style='DISPLAY : none'>", {"display"}),
        (b"<blockQuote>", {CAPITALS, "quote"}),
        (b"<p></tD>", {CAPITALS}),
        (b"<h1 ID=A>B</h1>", set()),
        (b"<a b='>'>", {TRICKY}),
        (b"1 < 2", {TRICKY}),
        (b"<a <b>", {TRICKY}),
    ],
)
def test_names_what_may_be_there(source: bytes, signs: set[str]) -> None:
    """Each sign is seen in any case; ordinary sources have few."""
    assert look(source) - {""} == signs


@pytest.mark.parametrize("names", [("td", "tr", "t"), ("a", "ab", "abc"), ("x1", "y")])
def test_a_tag_pattern_fits_its_names_alone(names: tuple[str, ...]) -> None:
    """Names fit in any case; shorter and longer words do not."""
    pattern = re.compile(html_signs.tag_pattern(names))
    for name in ("t", "td", "tr", "tdr", "a", "ab", "abc", "abcd", "x", "x1", "y", ""):
        assert (pattern.fullmatch(name) is not None) == (name in names)
        assert (pattern.fullmatch(name.upper()) is not None) == (name in names)


PIECES = [
    "<p>",
    "<P>",
    "</tD>",
    "<p ",
    ">",
    "</p>",
    "<b hidden",
    '="',
    "='",
    '"',
    "'",
    "<br/>",
    "a",
    " ",
    "=",
    "<!--",
    "-->",
    "<td x=",
    "<title>",
    "</title>",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_breaks_change_no_attribute(source: str) -> None:
    """In a source that is not tricky, breaks stand between tags only: every element keeps its name and attributes."""
    octets = source.encode("ascii")
    if TRICKY in look(octets):
        octets += b">"
    if TRICKY not in look(octets):
        assert attributes(html_signs.with_breaks(octets)) >= attributes(octets)
        assert b"\f" not in b"".join(re.findall(rb"<[^<>]*>", html_signs.with_breaks(octets)))
        if CAPITALS not in look(octets):
            assert html_signs.with_breaks(octets, capitals=False) == html_signs.with_breaks(octets)


def attributes(octets: bytes) -> set[str]:
    """All elements with their attributes."""
    root = LexborHTMLParser(octets).root
    assert root is not None
    return {f"{node.tag} {sorted(node.attributes.items(), key=str)}" for node in root.css("*")}
