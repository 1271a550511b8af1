"""HTML source → what a reader sees of it: text by lines, quoted and hidden text apart, links and forms.

Knows HTML as browsers build it (lexbor's tree) and the habits of mail programs that quote; must not know where the source comes
from. A tree is built only when `html_bounds` says that it is safe; else a crude linear reading keeps text and targets.
"""

from __future__ import annotations

import html as entities
import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from milter.mime import html_bounds
from milter.model.limits import Limits
from milter.model.message import Link

_BLOCKS = frozenset(
    "address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hgroup hr li listing main menu nav ol option p pre section summary table tbody td tfoot th thead title tr ul xmp".split()
)
_UNSEEN = frozenset("script style template head title noframes noembed object applet select datalist iframe audio video canvas svg math".split())
_TARGETS = {"a": "href", "area": "href", "form": "action", "button": "formaction", "input": "formaction"}
_QUOTE_CLASSES = frozenset(("gmail_quote", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "gmail_extra", "zmail_extra"))
_QUOTE_IDS = frozenset(("divRplyFwdMsg", "appendonsend", "OLK_SRC_BODY_SECTION", "replySplit"))
_MAY_QUOTE = re.compile(r"<blockquote|gmail_quote|yahoo_quoted|moz-cite-prefix|protonmail_quote|divRplyFwdMsg|appendonsend|OLK_SRC_BODY", re.IGNORECASE)
_HIDING = re.compile(
    r"display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden|(?:font-size|max-height|max-width|opacity|line-height)\s{0,9}:\s{0,9}"
    r"(?:0|0?\.0\d?|1px)(?:px|pt|em|rem|%)?\s{0,9}(?:[;!\"']|$)|mso-hide\s{0,9}:\s{0,9}all|text-indent\s{0,9}:\s{0,9}-\d{3}",
    re.IGNORECASE,
)
_MAY_HIDE = re.compile(r"\shidden|" + _HIDING.pattern, re.IGNORECASE)
_HIDE_WORDS = ("none", "hidden", "font-size", "max-", "opacity", "line-height", "mso-hide", "text-indent")
_CRUDE_TARGET = re.compile(r"""(?:href|action)[\t\n\r ]*+=[\t\n\r ]*+(?:"([^"<>]{1,2000}+)|'([^'<>]{1,2000}+)|([^\s"'<>]{1,2000}+))""", re.IGNORECASE)
_CRUDE_TAG = re.compile(r"<[^<>]*+>")
_BLANKS = re.compile(r"[ \t\r\f\xa0]+")


@dataclass(slots=True)
class Page:
    """One HTML part as read. Texts have a line for every block; `incomplete` says why the source was not read as a tree, or "" """

    text: str = ""
    quoted: str = ""
    hidden: str = ""
    links: list[Link] = field(default_factory=list)
    incomplete: str = ""


def read(source: str, limits: Limits) -> Page:
    """Read an HTML part. Never raises."""
    if len(source) > limits.html_octets:
        kept, rest = source[: limits.html_octets], source[limits.html_octets :]
        page = _read_tree(kept, limits)
        crude = _read_crudely(rest, limits, "")
        page.text = f"{page.text}\n{crude.text}"
        page.links = (page.links + crude.links)[: limits.links]
        page.incomplete = page.incomplete or "HTML too long"
        return page
    return _read_tree(source, limits)


def _read_tree(source: str, limits: Limits) -> Page:
    problem = html_bounds.problem(source, limits)
    if problem:
        return _read_crudely(source, limits, problem)
    root = LexborHTMLParser(source.encode("utf-8", "replace")).root
    walk = _Walk(limits, may_hide=_may_hide(source), may_quote=_MAY_QUOTE.search(source) is not None)
    if root is not None:
        walk.run(root)
    return walk.page()


def _may_hide(source: str) -> bool:
    return any(word in source for word in _HIDE_WORDS) and _MAY_HIDE.search(source) is not None


def _read_crudely(source: str, limits: Limits, why: str) -> Page:
    """Text without tags and the targets of links, by searching alone."""
    links = []
    for match in _CRUDE_TARGET.finditer(source):
        url = entities.unescape(match[1] or match[2] or match[3]).strip()
        links.append(Link(url, "", "form" if match[0][0] in "aA" else "html"))
        if len(links) >= limits.links:
            break
    text = entities.unescape(_CRUDE_TAG.sub(" ", source[: limits.html_octets]))
    return Page(_tidy(text[: limits.text_chars]), links=links, incomplete=why)


class _Walk:
    """One pass over the tree, entering and leaving elements, without recursion."""

    def __init__(self, limits: Limits, *, may_hide: bool, may_quote: bool) -> None:
        self.limits = limits
        self.may_hide, self.may_quote = may_hide, may_quote
        self.own: list[str] = []
        self.quoted: list[str] = []
        self.hidden: list[str] = []
        self.out = self.own
        self.links: list[Link] = []
        # element → what to restore when it is left: (text list, open link)
        self.open_links: list[tuple[str, str, list[str], int]] = []

    def run(self, root: LexborNode) -> None:
        """Visit every node; text goes to the list of the innermost hiding or quoting element."""
        stack: list[tuple[LexborNode, str, list[str] | None, bool]] = []
        node = root.child
        while True:
            if node is None:
                if not stack:
                    return
                element, tag, out, is_link = stack.pop()
                if tag in _BLOCKS:
                    self.out.append("\n")
                if is_link:
                    self._close_link()
                if out is not None:
                    self.out = out
                node = element.next
                continue
            tag = node.tag or ""
            if tag == "-text":
                self.out.append(node.text_content or "")
                node = node.next
            elif tag in _UNSEEN or tag[:1] in ("-", "!", "_"):
                node = self._skip(node, tag)
            else:
                if tag in _BLOCKS:
                    self.out.append("\n")
                before = self._turn(node, tag) if self.may_hide or self.may_quote else None
                is_link = tag in _TARGETS and self._open_link(node, tag)
                if tag == "img" and self.open_links:
                    self.out.append(f" {node.attributes.get('alt') or ''} ")
                stack.append((node, tag, before, is_link))
                node = node.child

    def _skip(self, node: LexborNode, tag: str) -> LexborNode | None:
        """Elements whose inside is not shown as text. A tree inside is small or not there."""
        if tag in ("object", "applet", "svg", "noembed", "noframes", "iframe"):
            self.hidden.append(node.text() + "\n")
        elif tag == "head":
            for title in node.css("title")[:1]:
                self.hidden.append(title.text() + "\n")
        return node.next

    def _turn(self, node: LexborNode, tag: str) -> list[str] | None:
        """Switch the text list at a hiding or quoting element; returns the list to come back to."""
        attributes = node.attributes
        if not attributes and tag != "blockquote":
            return None
        target = self.out
        if self.may_hide and ("hidden" in attributes or _HIDING.search(attributes.get("style") or "")):
            target = self.hidden
        elif self.may_quote and self.out is self.own and _quotes(tag, attributes):
            target = self.quoted
        if target is self.out:
            return None
        before, self.out = self.out, target
        return before

    def _open_link(self, node: LexborNode, tag: str) -> bool:
        url = node.attributes.get(_TARGETS[tag])
        if (url is None and tag != "form") or len(self.links) + len(self.open_links) >= self.limits.links:
            return False
        place = {"a": "html", "input": "button"}.get(tag, tag)
        if tag == "a":
            self.open_links.append((url or "", place, self.out, len(self.out)))
            return True
        self.links.append(Link((url or "").strip(), node.attributes.get("alt") or node.attributes.get("value") or "", place))
        return False

    def _close_link(self) -> None:
        url, place, out, start = self.open_links.pop()
        self.links.append(Link(url.strip(), " ".join("".join(out[start : start + 200]).split())[:500], place))

    def page(self) -> Page:
        """The result."""
        most = self.limits.text_chars
        own, quoted, hidden = (_tidy("".join(out)[: 4 * most])[:most] for out in (self.own, self.quoted, self.hidden))
        return Page(own, quoted, hidden, self.links)


def _quotes(tag: str, attributes: dict[str, str | None]) -> bool:
    if tag == "blockquote":
        return True
    classes, identity = attributes.get("class"), attributes.get("id")
    return bool((classes and not _QUOTE_CLASSES.isdisjoint(classes.split())) or (identity in _QUOTE_IDS))


def _tidy(text: str) -> str:
    """One blank between words, no empty lines. Lines are the blocks of the page."""
    return "\n".join(stripped for line in text.split("\n") if (stripped := " ".join(line.split())))
