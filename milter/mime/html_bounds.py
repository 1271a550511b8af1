"""Is it safe to build the tree of this HTML? A linear look at its tags, before any parser sees it.

Knows the tokens of the HTML standard (§13.2.5) and what makes tree builders slow: deep nesting, many attributes on one element,
formatting elements that are rebuilt in every block. A tree builder never has more elements open than this count: where it cannot
follow, it keeps them open.
"""

from __future__ import annotations

import re
from itertools import repeat
from operator import contains

from milter.model.limits import Limits


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BLANK = r"[\t\n\f\r ]*+"
_NAME = r"[^\t\n\f\r />][^\t\n\f\r />=]*+"
_VALUE = r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+)"""
_ATTRIBUTE = rf"{_NAME}(?:{_BLANK}={_BLANK}{_VALUE}?+)?+"
# A tag as the tokenizer sees it, also one that the end of the input cuts, or a comment. All repeats are possessive, so this is linear.
_TOKEN = re.compile(
    rf"""<(?:(/?)([a-zA-Z][^\t\n\f\r />]*+)((?:[\t\n\f\r /]++|{_ATTRIBUTE})*+)(?:>|\Z)
    |!--(?:>|->|(?:[^-]++|-(?!-!?>))*+(?:--!?>|\Z))
    |[!?/][^>]*+(?:>|\Z))""",
    re.VERBOSE,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_ODD_VALUE = re.compile(rf"""={_BLANK}(?:"[^"<>]*+[<>]|'[^'<>]*+[<>])""")
# Elements with rules of their own that the count does not follow; mails show them rarely.
_EXOTIC = re.compile(r"<(?:svg|math|select|template|frameset|plaintext)", re.IGNORECASE)
_ROOTS = re.compile(r"<[bBhH][oOtT][dDmM][yYlL]")

_VOID = _names("area base br col embed hr img input link meta param source track wbr")
_ROOT = _names("html head body")
_RAW = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}  # until the end tag nothing inside is a tag
_FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
_TABLE = _names("table caption colgroup tbody thead tfoot tr td th")
_MARKERS = _names("td th caption applet marquee object")
# §13.2.4.2: an end tag of a block reaches up to one of _SCOPE, any other end tag up to one of _SPECIAL.
_SCOPE = _names("applet caption html table td th marquee object button")
_BLOCKS = _names(
    "address article aside blockquote button center details dialog dir div dl fieldset figcaption figure footer header hgroup "
    "listing main menu nav ol pre search section summary ul dd dt h1 h2 h3 h4 h5 h6 applet marquee object li p"
)
_SPECIAL = _SCOPE | _BLOCKS | _TABLE | _names("form noscript")
# Open elements that a start tag closes when they are the innermost, in this order.
_CLOSES = {
    "li": ("p", "li"), "dd": ("p", "dd", "dt"), "dt": ("p", "dd", "dt"), "td": ("p", "td", "th"), "th": ("p", "td", "th"),
    "tr": ("p", "td", "th", "tr"), "option": ("option",),
} | dict.fromkeys(_names("p div table ul ol center blockquote h1 h2 h3 h4 h5 h6 pre section article header footer form"), ("p",))  # fmt: skip

_FEW_TAGS = 500
_MOST_STEPS = 2_000_000  # sum of the depth over all tags: the work of a tree builder
_MOST_REBUILT = 100_000  # formatting elements rebuilt in all
_ATTRIBUTES_OF_ONE = 256
_REACH = 60


def problem(html: str, limits: Limits) -> str:
    """Why no tree of `html` may be built, in fixed words; "" when it may. Linear, never raises."""
    few = html.count("<") <= min(_FEW_TAGS, limits.html_depth)
    if few and _is_tame(html):
        return ""
    if not few and _EXOTIC.search(html):
        return "HTML with exotic elements"
    count = Count(limits)
    pos, match_token, find = 0, _TOKEN.match, html.find
    while not count.word and (pos := find("<", pos)) >= 0:
        match = match_token(html, pos)
        if match is None:
            pos += 1
            continue
        pos = match.end()
        close, name, attributes = match.groups()
        if name is None:
            continue
        name = name.lower()
        if close:
            count.close(name)
            continue
        if attributes:
            count.attributes_of(name, attributes)
        count.open(name)
        if name in _RAW:
            end = _RAW[name].search(html, pos)
            pos = end.start() if end else len(html)
    return count.word


def _is_tame(html: str) -> bool:
    """True when every tag ends at the first ">" after it and has few attributes."""
    pieces = html.split("<")
    del pieces[0]
    if not all(map(contains, pieces, repeat(">"))):
        return False
    if pieces and max(map(len, pieces)) > 2 * _ATTRIBUTES_OF_ONE:
        for piece in pieces:
            end = piece.find(">")
            if end > 2 * _ATTRIBUTES_OF_ONE and len(_ATTRIBUTES.findall(piece, 0, end)) > _ATTRIBUTES_OF_ONE:
                return False
    return not _ODD_VALUE.search(html) and len(_ROOTS.findall(html)) <= 4


class Count:
    """A stack of open elements that is never lower than a tree builder's. `word` says which bound is broken, "" none."""

    __slots__ = ("attributes", "deepest", "formatting", "limits", "rebuilt", "root_attributes", "stack", "steps", "word")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stack: list[tuple[str, int]] = []  # (name, formatting elements when it was opened)
        self.steps = self.rebuilt = self.attributes = self.root_attributes = self.formatting = self.deepest = 0
        self.word = ""

    def attributes_of(self, name: str, text: str) -> None:
        """Count the attributes of one tag; exactly only when they could be many. Those of all <body> tags end up on one element."""
        number = text.count("=")
        if len(text) > 2 * _ATTRIBUTES_OF_ONE or name in _ROOT:
            number = len(_ATTRIBUTES.findall(text))
            self.root_attributes += number if name in _ROOT else 0
            if max(number, self.root_attributes) > _ATTRIBUTES_OF_ONE:
                self.word = "too many attributes on one HTML element"
        self.attributes += number
        if self.attributes > self.limits.html_attributes:
            self.word = "too many HTML attributes"

    def open(self, name: str) -> None:
        """A start tag."""
        if name in _VOID or name in _ROOT or (name in _TABLE and not self._table_opens(name)):
            return
        stack = self.stack
        if name in _CLOSES:
            for closed in _CLOSES[name]:
                if stack and stack[-1][0] == closed:
                    self._pop(1)
        formatting = self.formatting
        stack.append((name, formatting))
        if name in _FORMATTING:
            formatting += 1
            self.formatting = formatting
        depth = len(stack) + formatting
        self.steps += depth
        self.rebuilt += formatting
        if depth > self.deepest:
            self.deepest = depth
            if depth > self.limits.html_depth:
                self.word = "HTML nested too deep"
        if self.steps > _MOST_STEPS or self.rebuilt > _MOST_REBUILT:
            self.word = "HTML too entangled"

    def _table_opens(self, name: str) -> bool:
        """§13.2.6.4.9: a table inside a table but outside its cells replaces it; cells without a table are ignored."""
        for back in range(1, len(self.stack) + 1):
            found = self.stack[-back][0]
            self.steps += 1
            if found == "table":
                if name == "table":
                    self._pop(back)
                return True
            if found in ("td", "th", "caption"):
                return True
        return name == "table"

    def _pop(self, number: int) -> None:
        """Close the innermost `number` elements. §13.2.4.3: formatting elements end with the marker that they follow."""
        stack = self.stack
        for name, formatting in reversed(stack[-number:]):
            if name in _MARKERS:
                self.formatting = formatting
        del stack[-number:]

    def close(self, name: str) -> None:
        """An end tag. Only the innermost element is closed: of others a tree builder may think differently."""
        if self.stack and self.stack[-1][0] == name:
            self._pop(1)
            if name in _FORMATTING:
                self.formatting -= self.formatting > 0
