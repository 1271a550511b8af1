"""Which HTML may be built into a tree, decided by looking at its tags alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from milter.mime import html_bounds
from milter.mime.html_bounds import problem
from milter.model.limits import Limits

LIMITS = Limits()
DEEP = "HTML nested too deep"
MANY = "too many attributes on one HTML element"
EXOTIC = "HTML with exotic elements"


@pytest.mark.parametrize(
    "html",
    [
        "",
        "no tags, 1 < 2",
        "<p>one<p>two" * 2_000,
        "<table>" + "<tr><td>a<td>b" * 2_000 + "</table>",
        "<ul>" + "<li>x" * 2_000 + "</ul>",
        "<div><b>x</b></div>" * 2_000,
        "<br><img src=x><hr>" * 2_000,
        "<select>" + "<option>x" * 1_000 + "</select>",
        "<!-- " + "<div>" * 2_000 + " -->",
        "<style>" + "<div>" * 2_000 + "</style>",
        '<a title="' + "<div>" * 2_000 + '">x</a>',
        "<a href=x?" + "a=b&" * 2_000 + ">x</a>",
        "<" * 3_000,
    ],
)
def test_lets_ordinary_pages_through(html: str) -> None:
    """Many tags, optional end tags, comments and long values are no reason to refuse."""
    assert problem(html, LIMITS) == ""


@pytest.mark.parametrize(
    ("html", "word"),
    [
        ("<div>" * 501, DEEP),
        ("<DIV/>" * 501, DEEP),
        ("<div></x>" * 501, DEEP),
        ("<div><object></div></object>" * 501, DEEP),
        ("<span><div></span></div>" * 501, DEEP),
        ("<div><!-- </div> -->" * 501, DEEP),
        ("<div><style></div></style>" * 501, DEEP),
        ('<div title="</div>">' * 501, DEEP),
        ('<i b="x"=">' + "<div>" * 600 + '">', DEEP),
        ("<style><!--</style>" + "<div>" * 501, DEEP),
        ("<form><div></form>" * 501, DEEP),
        ("<b><p></b></p>" * 501, DEEP),
        ("<td><font>x</td>" * 501, DEEP),
        ("<a " + " ".join(f"a{number}" for number in range(300)) + ">", MANY),
        ("<a " + " ".join(f'a{number}=">"' for number in range(300)) + ">", MANY),
        ("<a " + "".join(f'a{number}=""' for number in range(300)) + ">", MANY),
        ("".join(f"<body a{number}>" for number in range(300)), MANY),
        ("<br b=c>" * 50_001, "too many HTML attributes"),
        ("<svg>" + "<g></g>" * 501, EXOTIC),
        ("<select><style></select>" + "<div>" * 501, EXOTIC),
        ("".join(f"<b a={number}>" for number in range(200)) + "<p>x" * 1_000, "HTML too entangled"),
    ],
)
def test_refuses_what_would_be_slow(html: str, word: str) -> None:
    """Depth, attributes and rebuilt formatting count as a tree builder counts them, whatever hides them."""
    assert problem(html, LIMITS) == word


NAMES = """div span p b i font a table tr td th caption ul ol li form h1 object button style textarea script br option select dd noscript x-y"""
TAGS = [form % name for name in NAMES.split() for form in ("<%s>", "</%s>", '<%s a="</div>">', "<!--</%s>-->")]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TAGS), min_size=1, max_size=12), st.sampled_from([1, 20]))
def test_never_counts_less_than_half_of_the_real_depth(tags: list[str], times: int) -> None:
    """For any soup of tags: the real tree is at most twice as deep as the count (implied table elements), plus the root."""
    counts: list[html_bounds.Count] = []

    class Spy(html_bounds.Count):
        def __init__(self, limits: Limits) -> None:
            super().__init__(limits)
            counts.append(self)

    html = "x".join(tags) * times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_bounds, "Count", Spy)
        word = problem(html, Limits(html_depth=10**6))
    root = LexborHTMLParser(html.encode()).root
    assert root is not None
    assert word == EXOTIC or depth(root) <= 2 * counts[0].deepest + 6


def depth(root: LexborNode) -> int:
    """The nesting of elements below the root."""
    best, node = 0, root.first_child
    stack: list[LexborNode] = []
    while node is not None or stack:
        if node is None:
            node = stack.pop().next
        elif node.is_element_node:
            stack.append(node)
            best = max(best, len(stack))
            node = node.first_child
        else:
            node = node.next
    return best
