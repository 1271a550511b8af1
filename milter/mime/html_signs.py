"""What may stand in an HTML source, found in one pass: the reader of pages then looks only for what is there.

Knows the words that announce quotes, hiding, links and unusual tags; must not know trees. A sign may promise too much, never too
little.
"""

from __future__ import annotations

import re

from milter.mime.signs import Signs

_BLANKS = r"[\t\n\f\r ]*"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


UNSEEN = _names("script style template title noframes noembed object applet select datalist iframe audio video canvas svg math")
HEAD_ONLY = ("style", "title")  # also unseen; honest mails have them in <head>
QUOTE_CLASSES = ("gmail_quote", "moz-cite-prefix", "protonmail_quote", "yahoo_quoted")
QUOTE_IDS = ("OLK_SRC_BODY_SECTION", "appendonsend", "divRplyFwdMsg", "replySplit")
# Property → what hides in it.
_ZERO = r"\s{0,9}:\s{0,9}(?:0|0?\.0\d?|1px)(?:px|pt|em|rem|%)?\s{0,9}(?:[;!\"']|$)"
HIDING = {
    "display": r"display\s{0,9}:\s{0,9}none",
    "visibility": r"visibility\s{0,9}:\s{0,9}hidden",
    "font-size": "font-size" + _ZERO,
    "max-height": "max-height" + _ZERO,
    "opacity": "opacity" + _ZERO,
    "mso-hide": r"mso-hide\s{0,9}:\s{0,9}all",
    "text-indent": r"text-indent\s{0,9}:\s{0,9}-\d{3}",
}

TRICKY = "tricky"  # a tag that does not end at the first ">" after it, or another "<" that confuses
ROOTS = "roots"  # more than MOST_ROOTS tags whose attributes all end up on one element
MOST_ROOTS = 4
CAPITALS = "capitals"  # a tag whose name holds some
_REST = r"(?:[\t\n\f\r /][^<>]*)?>"  # of a tag
# Nothing before <body> that would open the body earlier (§13.2.6.4.1-6); holds in sources that are not TRICKY.
_PLAIN_HEAD = (
    rf"(?:[\t\n\f\r ]|<(?:!doctype|html|head|meta|link|base){_REST}|</head>|<title{_REST}[^<]*</title>|<style{_REST}[^<]*</style>)*<body{_REST}"
)
_PATTERNS = {
    TRICKY: rf"""<[^<>]*(?:<|\z)|={_BLANKS}(?:"[^"<>]*[<>]|'[^'<>]*[<>])""",
    CAPITALS: "(?-i:</?[a-z0-9]*[A-Z])",
    "unseen": "<(?:" + "|".join(name for name in UNSEEN if name not in HEAD_ONLY) + ")",
    "head only": "<(?:" + "|".join(HEAD_ONLY) + ")",
    "plain head": r"\A" + _PLAIN_HEAD,
    "late": "<body.*<(?:" + "|".join(HEAD_ONLY) + ")",  # what belongs into the head
    ROOTS: rf"<(?:html|body)(?:.*<(?:html|body)){{{MOST_ROOTS}}}",
    "quote": "|".join(("<blockquote", *QUOTE_CLASSES, *QUOTE_IDS)),
    "base": "<base",
    "lines": "<(?:pre|xmp|listing)",
    "target": "<(?:area|form|button|input)",
    "link": "href",
    "picture": rf"alt{_BLANKS}={_BLANKS}(?:\"[^\"]|'[^']|[^\t\n\f\r \"'>])",
    "hidden": r"""[\t\n\f\r /"']hidden[\t\n\f\r />=]""",
} | {name: pattern.replace("{0,9}", "*").replace("|$)", ")") for name, pattern in HIDING.items()}  # a source ends with no style
look = Signs(_PATTERNS, utf8=False).look


def tag_pattern(names: tuple[str, ...], *, capitals: bool = True) -> str:
    """A regular expression for any of the names, in any case or in lower case; shared beginnings are tried once, the first names first."""
    rest: dict[str, list[str]] = {}
    for name in names:
        if name:
            rest.setdefault(name[0], []).append(name[1:])
    if not rest:
        return ""
    branches = "|".join(
        (f"[{first}{first.upper()}]" if capitals and first.isalpha() else first) + tag_pattern(tuple(more), capitals=capitals)
        for first, more in rest.items()
    )
    if "" in names:
        return f"(?:{branches})?+"
    return f"(?:{branches})" if len(rest) > 1 else branches


BLOCKS = _names(
    "td tr p div br table li tbody th center h1 h2 h3 h4 h5 h6 ul address article aside blockquote body dd details dialog dir dl dt fieldset "
    "figcaption figure footer form header hgroup hr listing main menu nav ol option pre section summary tfoot thead xmp"
)
# Letters are compared faster than pairs of letters.
_BLOCK_TAG = {capitals: re.compile(rf"<(?=/?{tag_pattern(BLOCKS, capitals=capitals)}[\t\n\f\r />])".encode("ascii")) for capitals in (True, False)}
BREAK = "\f"  # a blank for every HTML parser, so that it changes no tree


def with_breaks(octets: bytes, *, capitals: bool = True) -> bytes:
    """The source with a BREAK before the tags of every block. Only for sources that are not TRICKY: there no "<" stands inside a tag.

    `capitals`: the names of tags may hold some (CAPITALS); else this is faster.
    """
    return b"\f<".join(_BLOCK_TAG[capitals].split(octets))  # quicker than `sub`
