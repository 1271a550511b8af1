"""Is it safe to build the tree of this HTML? A linear look at its tags, before any parser sees it.

Knows the tokens of the HTML standard (§13.2.5) and what makes tree builders slow: deep nesting, many attributes on one element,
formatting elements that are rebuilt in every block. A tree builder never has more elements open than this count: where it cannot
follow, it keeps them open.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from milter.mime import html_signs
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
_ATTRIBUTES_OF_OCTETS = re.compile(_ATTRIBUTE.encode("ascii"))
# Elements with rules of their own that the count does not follow; mails show them rarely.
_EXOTIC = re.compile(r"<(?:svg|math|frameset)", re.IGNORECASE)

_VOID = _names("area base br col embed hr img input link meta param source track wbr")
_ROOT = _names("html head body")
_RAW = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}  # until the end tag nothing inside is a tag
_FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
# Open elements that a start tag closes when they are the innermost, in this order.
_CLOSES = {
    "li": ("p", "li"), "dd": ("p", "dd", "dt"), "dt": ("p", "dd", "dt"), "td": ("p", "td", "th"), "th": ("p", "td", "th"),
    "tr": ("p", "td", "th", "tr"), "option": ("option",),
} | dict.fromkeys(_names("p div table ul ol center blockquote h1 h2 h3 h4 h5 h6 pre section article header footer form"), ("p",))  # fmt: skip

_FEW_TAGS = 500
_MOST_STEPS = 2_000_000  # sum of the depth over all tags: the work of a tree builder
_MOST_REBUILT = 100_000  # formatting elements rebuilt in all
_ATTRIBUTES_OF_ONE = 256
_LONG = 2 * _ATTRIBUTES_OF_ONE  # octets; a shorter tag has fewer attributes


def problem(html: str, limits: Limits) -> str:
    """Why no tree of `html` may be built, in fixed words; "" when it may. Linear, never raises."""
    if _EXOTIC.search(html):
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
            if "select" in count.stack and name not in ("script", "textarea"):
                return "HTML with exotic elements"  # ignored there by some, so nobody knows where their text ends
            end = _RAW[name].search(html, pos)
            pos = end.start() if end else len(html)
    return count.word


def is_small(octets: bytes, signs: AbstractSet[str], limits: Limits) -> bool:
    """True when a source (and what `html_signs.look` says of it) is harmless without a closer look.

    Nothing nests deeper than there are start tags; an end tag costs at most a look at everything that is open.
    """
    if html_signs.TRICKY in signs or html_signs.ROOTS in signs:
        return False
    tags = octets.count(b"<")
    if tags > _FEW_TAGS or tags > limits.html_depth:
        ends = octets.count(b"</")
        if tags - ends > min(_FEW_TAGS, limits.html_depth) or (tags - ends) * ends > _MOST_STEPS:
            return False
    return not _has_many_attributes(octets)


def _has_many_attributes(octets: bytes) -> bool:
    """True when a tag has; only those are looked at that are long, the others are jumped over, many at once."""
    pos = 0
    while pos >= 0 and pos + _LONG < len(octets):
        later = octets.rfind(b"<", pos + 1, pos + _LONG + 2)
        if later < 0:
            later = octets.find(b"<", pos + _LONG + 2)
            end = octets.find(b">", pos, later if later >= 0 else len(octets))
            if end - pos > _LONG and len(_ATTRIBUTES_OF_OCTETS.findall(octets, pos + 1, end)) > _ATTRIBUTES_OF_ONE:
                return True
        pos = later
    return False


class Count:
    """A stack of open elements that holds all of a tree builder's. `word` says which bound is broken, "" none.

    Only the innermost element is ever closed: about any other, a tree builder may think differently.
    """

    __slots__ = ("attributes", "deepest", "formatting", "limits", "rebuilt", "root_attributes", "stack", "steps", "word")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stack: list[str] = []
        self.steps = self.rebuilt = self.attributes = self.root_attributes = self.formatting = self.deepest = 0
        self.word = ""

    def attributes_of(self, name: str, text: str) -> None:
        """Count the attributes of one tag; exactly only when they could be many. Those of all <body> tags end up on one element."""
        number = text.count("=")
        if len(text) > _LONG or name in _ROOT:
            number = len(_ATTRIBUTES.findall(text))
            self.root_attributes += number if name in _ROOT else 0
            if max(number, self.root_attributes) > _ATTRIBUTES_OF_ONE:
                self.word = "too many attributes on one HTML element"
        self.attributes += number
        if self.attributes > self.limits.html_attributes:
            self.word = "too many HTML attributes"

    def open(self, name: str) -> None:
        """A start tag."""
        if name in _VOID or name in _ROOT:
            return
        stack = self.stack
        for closed in _CLOSES.get(name, ()):
            if stack and stack[-1] == closed:
                stack.pop()
        stack.append(name)
        if name in _FORMATTING:
            self.formatting += 1
        depth = len(stack) + self.formatting
        self.steps += 2 * depth  # implied table elements may double it
        self.rebuilt += self.formatting
        if depth > self.deepest:
            self.deepest = depth
            if depth > self.limits.html_depth:
                self.word = "HTML nested too deep"
        if self.steps > _MOST_STEPS or self.rebuilt > _MOST_REBUILT:
            self.word = "HTML too entangled"

    def close(self, name: str) -> None:
        """An end tag."""
        stack = self.stack
        if not stack or stack[-1] != name:
            self.steps += len(stack)  # a tree builder looks for it
            if self.steps > _MOST_STEPS:
                self.word = "HTML too entangled"
        else:
            stack.pop()
            if name in _FORMATTING:
                self.formatting -= self.formatting > 0
