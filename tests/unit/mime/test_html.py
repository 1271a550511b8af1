"""What a reader sees of an HTML part."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.html import read
from milter.model.limits import Limits
from milter.model.message import Link

LIMITS = Limits()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>un</p><p>deux</p>", "un\ndeux"),
        ("un<br>deux", "un\ndeux"),
        ("am<b>e</b>li", "ameli"),
        ("<span>a<div>b</div></span>c", "a\nb\nc"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"),
        ("a&nbsp;b &eacute;&#233;&lt;", "a b éé<"),
        ("  a \n b\t", "a b"),
        ("<head><title>t</title><style>s</style></head><script>x</script>a", "a"),
        ("a<!-- c -->b", "ab"),
        ("<textarea>a</textarea>", "a"),
        ("<pre>a\n> b</pre>", "a\n> b"),
        ("<a href=x>a<img alt=logo></a><img alt=photo>", "a logo"),
        ("", ""),
        ("\0\ufffd", "\ufffd"),
    ],
)
def test_reads_text_by_blocks(source: str, text: str) -> None:
    """A block is a line, inline elements join, what is not shown is left out."""
    assert read(source, LIMITS).text.replace("\ufffd\ufffd", "\ufffd") == text


@pytest.mark.parametrize(
    "style",
    [
        "display:none", "DISPLAY : NONE !important", "color:red;visibility: hidden", "font-size:0", "font-size: 0px;", "font-size:1px", "opacity:0;",
        "max-height:0px", "mso-hide:all", "text-indent:-9999px",
    ],
)  # fmt: skip
def test_keeps_hidden_text_apart(style: str) -> None:
    """Text that a style hides is not what the reader sees."""
    page = read(f'<div>vu<span style="{style}">caché <b>aussi</b></span>vu</div>', LIMITS)
    assert (page.text, page.hidden) == ("vuvu", "caché aussi")


@pytest.mark.parametrize("style", ["font-size:10px", "font-size:0.9em", "opacity:0.5", "max-height:100px", "text-decoration:none", "line-height:1"])
def test_shows_what_a_style_does_not_hide(style: str) -> None:
    """Styles that only look like hiding leave the text visible."""
    assert read(f'<p style="{style}">vu</p>', LIMITS).text == "vu"


def test_hidden_attribute_and_title_are_hidden() -> None:
    """The `hidden` attribute hides; the title of the page is shown nowhere in a mail."""
    page = read("<title>t</title><p hidden>h</p><p>v</p>", LIMITS)
    assert (page.text, page.hidden) == ("v", "t\nh")


@pytest.mark.parametrize(
    "quote",
    [
        "<blockquote>cité</blockquote>",
        '<div class="x gmail_quote">cité</div>',
        "<BLOCKQUOTE type=cite>cité</BLOCKQUOTE>",
        '<div class="yahoo_quoted">cité</div>',
        '<div id="divRplyFwdMsg">cité</div>',
    ],
)
def test_keeps_quoted_text_apart(quote: str) -> None:
    """What mail programs mark as quoted is not the author's own."""
    page = read(f"<div>mien</div>{quote}<div>mien</div>", LIMITS)
    assert (page.text, page.quoted) == ("mien\nmien", "cité")


@pytest.mark.parametrize(
    ("source", "links"),
    [
        ('<a href=" https://x.example/?a=1&amp;b=2 ">Cliquez <b>ici</b></a>', [Link("https://x.example/?a=1&b=2", "Cliquez ici", "html")]),
        ('<a href="https://x.example"><img src=y alt="Mon espace"></a>', [Link("https://x.example", "Mon espace", "html")]),
        ("<a name=x>a</a><a>b</a>", []),
        ("<map><area href=https://x.example alt=zone></map>", [Link("https://x.example", "zone", "area")]),
        ("<form action=https://x.example><input name=a></form>", [Link("https://x.example", "", "form")]),
        ("<form><button formaction=https://x.example>b</button></form>", [Link("", "", "form"), Link("https://x.example", "", "button")]),
        ("<input type=submit formaction=https://x.example value=OK>", [Link("https://x.example", "OK", "button")]),
        ("<base href=https://x.example/><a href=y>z</a>", [Link("https://x.example/", "", "html"), Link("y", "z", "html")]),
        ("<a href=https://x.example/" + "y" * 9_000 + ">z</a>", [Link("https://x.example/" + "y" * 8_174, "z", "html")]),
        ("<A HREF=https://x.example>a<a href=https://y.example>b", [Link("https://x.example", "a", "html"), Link("https://y.example", "b", "html")]),
    ],
)
def test_finds_links_and_forms(source: str, links: list[Link]) -> None:
    """Targets come decoded, with the text that the reader sees, pictures by their alternative text."""
    assert read(source, LIMITS).links == links


def test_reads_crudely_what_may_not_become_a_tree() -> None:
    """Too deep HTML is not built; text and targets are still found, and the reading says why it is crude."""
    source = "<div>" * 600 + "Votre &eacute;ch&eacute;ance <a class=x href='https://x.example/?a&amp;b'>ici</a><form action=https://y.example>"
    page = read(source, LIMITS)
    assert page.incomplete == "HTML nested too deep"
    assert page.text == "Votre échéance ici"
    assert [(link.url, link.place) for link in page.links] == [("https://x.example/?a&b", "html"), ("https://y.example", "form")]


def test_reads_a_long_page_up_to_the_limit_and_its_rest_crudely() -> None:
    """Beyond `html_octets` no tree is built, but text and targets are found there too."""
    page = read("<p>un</p>" * 10 + "<p>deux <a href=https://x.example>ici</a>", Limits(html_octets=90))
    assert page.incomplete == "HTML too long"
    assert page.text.startswith("un\nun")
    assert page.text.endswith("deux ici")
    assert [link.url for link in page.links] == ["https://x.example"]


def test_stops_at_the_limits() -> None:
    """Links and text are bounded."""
    page = read("<a href=https://x.example>abc</a>" * 50, Limits(links=5, text_chars=10))
    assert (len(page.links), len(page.text)) == (5, 10)


@pytest.mark.parametrize("tricky", ["", "<img title='>'>", "1 < 2", "<!-- <p> -->"])
def test_breaks_lines_alike_in_simple_and_tricky_sources(tricky: str) -> None:
    """Where a block ends does not depend on whether its source has odd tags elsewhere."""
    page = read(f"{tricky}<div>a<b>b</b><table><tr><td>c<td>d</table>e<br>f</div>g", LIMITS)
    assert page.text.splitlines()[-5:] == ["c", "d", "e", "f", "g"]
    assert page.text.splitlines()[-6].endswith("ab")


def test_what_looks_like_a_block_inside_a_tag_changes_no_tag() -> None:
    """No name of a tag and no attribute is cut in two, so nothing is hidden or linked that readers see otherwise."""
    page = read("<script<p>vu</script<p> <i hidden<p>vu</i> <i a=1hidden<p>vu</i> <i a='>'hidden<p>vu</i>", LIMITS)
    assert (page.text.split(), page.hidden) == (["vu"] * 4, "")


@pytest.mark.parametrize("forged", ["\ue000", "&#xe000;", "\ue000&#xe001;", "\ue000e", "\ue000h"])
def test_nobody_forges_where_hidden_text_ends(forged: str) -> None:
    """No character of a page is taken for the end or the start of a hidden element."""
    page = read(f"<p>a{forged}b<p hidden>c{forged}d", LIMITS)
    assert (page.text[0], page.text[-1], page.hidden[0], page.hidden[-1]) == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("source", "own", "quoted", "hidden"),
    [
        ("<blockquote>q<p hidden>h</p>q</blockquote>o", "o", "qq", "h"),
        ("<p hidden>h<span class=gmail_quote>h</span></p>o", "o", "", "hh"),
        ("<div hidden><style>s</style>h</div>o<style>s</style>o", "oo", "", "h"),
        ("o<div hidden>h</div>o<3", "oo<3", "", "h"),
        ("o<div hidden>h</div><p hidden>h</p>o", "oo", "", "h\nh"),
        ("<p>o</p><i hidden>h</i>o", "o\no", "", "h"),
        ("o<p hidden>h<p>o", "o\no", "", "h"),
        ("<table><tr><td>o<tr><td hidden>h<tr><td>o", "o\no", "", "h"),
        ("<object>h<script>s</script></object>o", "o", "", "h"),
        ("<body hidden>h", "", "", "h"),
        ("<title>t</title><style>s</style><p>o<title>s</title>o", "oo", "", "t"),
        ("<a href=x>o<i hidden>h</i></a>", "o", "", "h"),
    ],
)
def test_sorts_nested_kinds(source: str, own: str, quoted: str, hidden: str) -> None:
    """Hidden inside quoted is hidden; what no reader shows at all is left out of both."""
    page = read(source, LIMITS)
    assert (page.text, page.quoted, page.hidden) == (own, quoted, hidden)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=100) | st.lists(st.sampled_from(["<", ">", "/", "a", " href=", '"', "'", "!--", "-->", "&", "div", "\0", "x"])).map("".join))
def test_reading_never_raises(source: str) -> None:
    """For any text the reading is a page."""
    assert read(source, LIMITS).incomplete == ""
