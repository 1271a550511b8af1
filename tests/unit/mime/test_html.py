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


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=100) | st.lists(st.sampled_from(["<", ">", "/", "a", " href=", '"', "'", "!--", "-->", "&", "div", "\0", "x"])).map("".join))
def test_reading_never_raises(source: str) -> None:
    """For any text the reading is a page."""
    assert read(source, LIMITS).incomplete == ""
