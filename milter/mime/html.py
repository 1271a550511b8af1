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


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INLINE, _TEXT, _BLOCK, _UNSEEN, _LINK, _IMAGE, _TARGET = range(7)
_KINDS: dict[str | None, int] = dict.fromkeys(
    _names(
        "address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer h1 h2 h3 h4 h5 h6 "
        "header hgroup hr li listing main menu nav ol option p pre section summary table tbody td tfoot th thead tr ul xmp"
    ),
    _BLOCK,
)
_KINDS |= dict.fromkeys(
    _names(
        "script style template head title noframes noembed object applet select datalist iframe audio video canvas svg math "
        "-comment !doctype -doctype"
    ),
    _UNSEEN,
)
_KINDS |= {"-text": _TEXT, "a": _LINK, "img": _IMAGE, "area": _TARGET, "form": _TARGET, "button": _TARGET, "input": _TARGET}
_KEPT_HIDDEN = frozenset(("object", "applet", "svg", "noembed", "noframes", "iframe"))
_LONGEST_TARGET = 8_192
_BREAK = "\x1e"  # between blocks while text is gathered: line ends of the source are mere blanks
_TARGETS = {"area": "href", "form": "action", "button": "formaction", "input": "formaction"}
_QUOTE_CLASSES = frozenset(("gmail_quote", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote"))
_QUOTE_IDS = frozenset(("divRplyFwdMsg", "appendonsend", "OLK_SRC_BODY_SECTION", "replySplit"))
_QUOTES = "blockquote," + ",".join([*(f".{name}" for name in sorted(_QUOTE_CLASSES)), *(f"#{name}" for name in sorted(_QUOTE_IDS))])
_QUOTE_SIGNS = ("quote", "QUOTE", "RplyFwd", "OLK_SRC", "replySplit")  # one of them is in every page that quotes
_ZERO = r"\s{0,9}:\s{0,9}(?:0|0?\.0\d?|1px)(?:px|pt|em|rem|%)?\s{0,9}(?:[;!\"']|$)"
# Property → what hides in it. Each pattern begins with a literal, which makes the search over the source quick.
_HIDING = {
    "display": re.compile(r"display\s{0,9}:\s{0,9}none"),
    "visibility": re.compile(r"visibility\s{0,9}:\s{0,9}hidden"),
    "font-size": re.compile("font-size" + _ZERO),
    "max-height": re.compile("max-height" + _ZERO),
    "opacity": re.compile("opacity" + _ZERO),
    "mso-hide": re.compile(r"mso-hide\s{0,9}:\s{0,9}all"),
    "text-indent": re.compile(r"text-indent\s{0,9}:\s{0,9}-\d{3}"),
}
_CRUDE_TARGET = re.compile(r"""(?:href|action)[\t\n\r ]*+=[\t\n\r ]*+(?:"([^"<>]{1,2000}+)|'([^'<>]{1,2000}+)|([^\s"'<>]{1,2000}+))""", re.IGNORECASE)
_CRUDE_TAG = re.compile(r"<[^<>]*+>")


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
    parser = LexborHTMLParser(source.encode("utf-8", "replace"))
    root = parser.root
    if root is None:
        return Page()
    walk = _Walk(limits, _hiding(source, root), _quoting(source, root))
    if "<base" in source or "<BASE" in source:  # where relative links lead
        walk.links.extend(Link(_target(node.attributes.get("href") or ""), "", "html") for node in root.css("base[href]")[:1])
    walk.run(root)
    return walk.page(lines="<pre" in source or "<PRE" in source)


def _hiding(source: str, root: LexborNode) -> set[int]:
    """Identities of the elements whose style keeps them from being seen."""
    if "DISPLAY" in source or "STYLE" in source:
        source = source.lower()
    found: set[int] = set()
    for word, pattern in _HIDING.items():
        if word in source and pattern.search(source):
            for node in root.css(f'[style*="{word}" i]'):
                if pattern.search((node.attributes.get("style") or "").lower()):
                    found.add(node.mem_id)
    if " hidden" in source:
        found.update(node.mem_id for node in root.css("[hidden]"))
    return found


def _quoting(source: str, root: LexborNode) -> set[int]:
    """Identities of the elements that mail programs put around what they quote."""
    if any(sign in source for sign in _QUOTE_SIGNS):
        return {node.mem_id for node in root.css(_QUOTES)}
    return set()


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

    def __init__(self, limits: Limits, hiding: set[int], quoting: set[int]) -> None:
        self.limits, self.hiding, self.quoting = limits, hiding, quoting
        self.own: list[str] = []
        self.quoted: list[str] = []
        self.hidden: list[str] = []
        self.out = self.own
        self.links: list[Link] = []
        self.open_links: list[tuple[str, list[str], int]] = []  # (target, text list, its length at the start)

    def run(self, root: LexborNode) -> None:
        """Visit every node; text goes to the list of the innermost hiding or quoting element."""
        stack: list[tuple[LexborNode, int, list[str] | None]] = []
        node = root.first_child
        kind_of, turns = _KINDS.get, bool(self.hiding or self.quoting)
        while True:
            if node is None:
                if not stack:
                    return
                element, kind, before = stack.pop()
                if kind == _BLOCK:
                    self.out.append(_BREAK)
                elif kind:
                    self._close_link()
                if before is not None:
                    self.out = before
                node = element.next
                continue
            tag = node.tag
            kind = kind_of(tag, _INLINE)
            if kind == _TEXT:
                if text := node.text_content:
                    self.out.append(text)
                node = node.next
                continue
            if kind == _UNSEEN:
                self._skip(node)
                node = node.next
                continue
            before = self._turn(node) if turns else None
            if kind == _BLOCK:
                self.out.append(_BREAK)
            elif kind:
                kind = self._enter(node, kind, tag or "")
            stack.append((node, kind, before))
            node = node.first_child

    def _enter(self, node: LexborNode, kind: int, tag: str) -> int:
        """Start a link, a picture or a form; returns what has to be done when it is left."""
        if kind == _LINK:
            return self._open_link(node)
        if kind == _IMAGE:
            if self.open_links:
                self.out.append(f" {node.attributes.get('alt') or ''} ")
            return _INLINE
        attributes = node.attributes
        url = attributes.get(_TARGETS[tag])
        if (url is not None or tag == "form") and len(self.links) < self.limits.links:
            text = attributes.get("alt") or attributes.get("value") or ""
            self.links.append(Link(_target(url or ""), text[:500], "button" if tag == "input" else tag))
        if tag == "form":
            self.out.append(_BREAK)
            return _BLOCK
        return _INLINE

    def _close_link(self) -> None:
        url, out, start = self.open_links.pop()
        self.links.append(Link(_target(url), " ".join("".join(out[start : start + 200]).split())[:500], "html"))

    def _skip(self, node: LexborNode) -> None:
        """Elements whose inside is not shown as text."""
        tag = node.tag
        if tag in _KEPT_HIDDEN:
            self.hidden.append(node.text() + _BREAK)
        elif tag == "head":
            self.hidden.extend(title.text() + _BREAK for title in node.css("title")[:1])

    def _turn(self, node: LexborNode) -> list[str] | None:
        """Switch the text list at a hiding or quoting element; returns the list to come back to."""
        identity, before = node.mem_id, self.out
        if identity in self.hiding:
            self.out = self.hidden
        elif before is self.own and identity in self.quoting:
            self.out = self.quoted
        return None if self.out is before else before

    def _open_link(self, node: LexborNode) -> int:
        url = node.attributes.get("href")
        if url is None or len(self.links) + len(self.open_links) >= self.limits.links:
            return _INLINE
        self.open_links.append((url, self.out, len(self.out)))
        return _LINK

    def page(self, *, lines: bool) -> Page:
        """The result. `lines`: the source holds preformatted text, so that its line ends may matter."""
        most = self.limits.text_chars
        texts = ["".join(out)[: 4 * most] for out in (self.own, self.quoted, self.hidden)]
        own, quoted, hidden = (_tidy(text.replace("\n", _BREAK) if lines else text)[:most] for text in texts)
        return Page(own, quoted, hidden, self.links)


def _target(url: str) -> str:
    """A target without blanks around it, cut where no browser follows it any more."""
    return url.strip()[:_LONGEST_TARGET]


def _tidy(text: str) -> str:
    """One blank between words, no empty lines. Lines are the blocks of the page."""
    return "\n".join(stripped for line in text.split(_BREAK) if line and (stripped := " ".join(line.split())))
