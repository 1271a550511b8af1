"""HTML source → what a reader sees of it: text by lines, quoted and hidden text apart, links and forms.

Knows HTML as browsers build it (lexbor's tree) and the habits of mail programs that quote; must not know where the source comes
from. A tree is built only when `html_bounds` says that it is safe; else a crude linear reading keeps text and targets. The text is
taken out of the tree in one piece: marks in it say where blocks end and where hidden or quoted elements begin and end.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from milter.mime import html_bounds, html_signs
from milter.mime.html_signs import BREAK
from milter.model.limits import Limits
from milter.model.message import Link

_BLOCKS = ",".join(html_signs.BLOCKS)
_BREAKING = frozenset(html_signs.BLOCKS)
_UNSEEN = ",".join(html_signs.UNSEEN)
_HEAD_ONLY = ",".join(html_signs.HEAD_ONLY)
_KEPT_HIDDEN = frozenset(("object", "applet", "svg", "noembed", "noframes", "iframe"))
_QUOTES = ",".join(["blockquote", *(f".{name}" for name in html_signs.QUOTE_CLASSES), *(f"#{name}" for name in html_signs.QUOTE_IDS)])
_HIDING = {word: re.compile(pattern) for word, pattern in html_signs.HIDING.items()}
_LONGEST_TARGET = 8_192
_LINK_TEXTS = 1_000_000  # characters of links that are looked at in all
_PICTURE_DEPTH = 30  # of a picture in a link
_TARGETS = {"a": "href", "area": "href", "form": "action", "button": "formaction", "input": "formaction"}
_TARGET = "a[href],area[href],form,button[formaction],input[formaction]"
_HIDDEN, _HIDDEN_BLOCK, _QUOTED, _LEFT_OUT, _END = "hbqxe"  # follow the mark
_MARK = "\ue000"  # of no language
_CRUDE_TARGET = re.compile(r"""(?:href|action)[\t\n\r ]*+=[\t\n\r ]*+(?:"([^"<>]{1,2000}+)|'([^'<>]{1,2000}+)|([^\s"'<>]{1,2000}+))""", re.IGNORECASE)
_TWO_BLANKS = re.compile("  ")  # faster than `in` in a long text
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
    octets = source.encode("utf-8", "replace")
    signs = html_signs.look(octets)
    simple = html_signs.TRICKY not in signs
    if not html_bounds.is_small(octets, signs, limits) and (problem := html_bounds.problem(source, limits)):
        return _read_crudely(source, limits, problem)
    parser = LexborHTMLParser(html_signs.with_breaks(octets, capitals=html_signs.CAPITALS in signs) if simple else octets)
    root, body = parser.root, parser.body
    if root is None:
        return Page()
    page = Page()
    if "base" in signs:  # where relative links lead
        page.links.extend(Link(_target(node.attributes.get("href") or ""), "", "html") for node in root.css("base[href]")[:1])
    if not simple:
        _add_breaks(root)
    if "picture" in signs:
        _write_out_pictures(root)
    title = _title(parser) if "head only" in signs else None
    in_head = simple and "plain head" in signs and "late" not in signs
    apart = "head only" in signs and not in_head and (body is None or body.css_matches(_HEAD_ONLY))
    mark = _mark(root, title, signs, apart=apart)
    if "link" in signs or "target" in signs:
        # `tags` needs no machinery for selectors
        _take_links(page, root.css(_TARGET) if "target" in signs else parser.tags("a"), mark, limits)
    text = (root if mark or body is None else body).text()
    if "lines" in signs:  # preformatted: line ends of the source may matter
        text = text.replace("\n", BREAK)
    own, quoted, hidden = _sorted(text, mark) if mark else (text, "", title.text() if title else "")
    page.text, page.quoted, page.hidden = (
        _tidy(text[: 4 * limits.text_chars])[: limits.text_chars] if text else "" for text in (own, quoted, hidden)
    )
    return page


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


def _add_breaks(root: LexborNode) -> None:
    """Do in the tree what `html_signs.with_breaks` does in simple sources."""
    for node in root.css(_BLOCKS):
        node.insert_before(BREAK)
        if last := node.last_child:
            last.insert_after(BREAK)


def _mark(root: LexborNode, title: LexborNode | None, signs: AbstractSet[str], *, apart: bool) -> str:
    """Put marks around everything that is not plainly seen; `apart`: a style or title stands in the body.

    Returns the mark, a character that the page does not hold; "" when there is nothing to mark.
    """
    hiding = [word for word in _HIDING if word in signs]
    if not (hiding or "hidden" in signs or "quote" in signs or "unseen" in signs or apart):
        return ""
    hidden: dict[int, LexborNode] = {}
    for word in hiding:
        pattern = _HIDING[word]
        nodes = root.css(f'[style*="{word}" i]')
        hidden.update({node.mem_id: node for node in nodes if pattern.search((node.attributes.get("style") or "").lower())})
    if "hidden" in signs:
        hidden.update({node.mem_id: node for node in root.css("[hidden]")})
    hidden.pop(root.mem_id, None)
    around = [(node, _HIDDEN_BLOCK if node.tag in _BREAKING else _HIDDEN, "", _break_after(node, hidden)) for node in hidden.values()]
    if "quote" in signs:
        around.extend((node, _QUOTED, "", "") for node in root.css(_QUOTES) if node.mem_id != root.mem_id)
    kept = title.mem_id if title else 0
    for node in root.css(_UNSEEN):
        is_kept = node.mem_id == kept or node.tag in _KEPT_HIDDEN
        around.append((node, _HIDDEN, BREAK, "") if is_kept else (node, _LEFT_OUT, "", ""))
    mark = _absent(root.text())
    for node, kind, end, after in around:
        node.insert_before(mark + kind)
        node.insert_after(f"{end}{mark}{_END}{after}")
    return mark


def _break_after(node: LexborNode, hidden: dict[int, LexborNode]) -> str:
    """A BREAK when a block that is seen follows at once: it may have ended this element, so that its own BREAK is hidden here."""
    above: LexborNode | None = node
    for _ in range(4):
        if above is None:
            break
        if (following := above.next) is not None:
            return BREAK if following.tag in _BREAKING and following.mem_id not in hidden else ""
        above = above.parent
    return ""


def _absent(text: str) -> str:
    """A character that the text does not hold, so that nobody forges it."""
    if _MARK not in text:
        return _MARK
    held = set(text)
    return next(chr(number) for number in range(ord(_MARK), 0x110000) if chr(number) not in held)


def _sorted(text: str, mark: str) -> tuple[str, str, str]:
    """Own, quoted and hidden text. What stands in a hidden element is hidden, whatever else it stands in."""
    own: list[str] = []
    quoted: list[str] = []
    hidden: list[str] = []
    left_out: list[str] = []
    kinds = {_HIDDEN: hidden, _HIDDEN_BLOCK: hidden, _QUOTED: quoted, _LEFT_OUT: left_out}
    first, *pieces = text.split(mark)
    own.append(first)
    outer: list[list[str]] = []
    out = own
    for piece in pieces:
        kind = piece[0]
        if kind == _END:
            out = outer.pop()
        else:
            outer.append(out)
            if kind == _HIDDEN_BLOCK:
                out[-1] = out[-1].removesuffix(BREAK)  # what is not there breaks no line
            if out is not left_out and (kind != _QUOTED or out is own):
                out = kinds[kind]
        out.append(piece[1:])
    return "".join(own), "".join(quoted), "".join(hidden)


def _title(parser: LexborHTMLParser) -> LexborNode | None:
    """The title in the head of the page."""
    head = parser.head.mem_id if parser.head else 0
    return next((node for node in parser.tags("title") if node.parent and node.parent.mem_id == head), None)


def _write_out_pictures(root: LexborNode) -> None:
    """Put the alternative texts of pictures in links where the reader sees the pictures."""
    links = {node.mem_id for node in root.css("a[href]")}
    for node in root.css("img[alt]") if links else ():
        alt = node.attributes.get("alt")
        above = node.parent if alt else None
        for _ in range(_PICTURE_DEPTH):
            if above is None:
                break
            if above.mem_id in links:
                node.insert_before(f" {alt} ")
                break
            above = above.parent


def _take_links(page: Page, nodes: list[LexborNode], mark: str, limits: Limits) -> None:
    """The targets of links and forms, with what the reader sees of them."""
    left, most = _LINK_TEXTS, len(page.links) + limits.links
    for node in nodes:
        tag, attributes = node.tag or "", node.attrs
        url = attributes.get(_TARGETS[tag])
        if url is None and tag == "a" and "href" not in attributes:
            continue
        if len(page.links) >= most:
            break
        url = _target(url or "")
        if tag == "a":
            text = node.text() if left > 0 else ""
            left -= len(text)
            seen = _sorted(text, mark)[0] if mark and mark in text else text
            page.links.append(Link(url, " ".join(seen[:4_000].split())[:500], "html"))
        else:
            text = attributes.get("alt") or attributes.get("value") or ""
            page.links.append(Link(url, text[:500], "button" if tag == "input" else tag))


def _target(url: str) -> str:
    """A target without blanks around it, cut where no browser follows it any more."""
    return url.strip()[:_LONGEST_TARGET]


def _tidy(text: str) -> str:
    """One blank between words, no empty lines. Lines are the blocks of the page."""
    lines = list(filter(None, map(str.strip, text.split(BREAK))))
    if "".join(lines).isprintable() and not _TWO_BLANKS.search(tidy := "\n".join(lines)):
        return tidy
    return "\n".join([line if line.isprintable() and "  " not in line else " ".join(line.split()) for line in lines])
