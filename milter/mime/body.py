"""MIME leaves → the words that a reader sees and the links he can follow.

Knows which alternative a mail program shows and that attachments are not read unopened; must not know how text or HTML is taken
apart. What only the plain alternative says is kept too, because some programs show that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from milter.mime import html, urls, words
from milter.mime.parts import Leaf
from milter.model.limits import Limits
from milter.model.message import Link, Words
from milter.model.quick import quick

_FEW = 60  # searches over a whole text


@quick
@dataclass(frozen=True, slots=True)
class Content:
    """Words and links of the whole mail; `incomplete` in fixed words."""

    words: Words
    links: tuple[Link, ...]
    incomplete: tuple[str, ...] = ()


def read(leaves: Iterable[Leaf], limits: Limits) -> Content:
    """Read every text that is shown without opening an attachment. Never raises."""
    reading = _Reading(limits)
    shown = [leaf for leaf in leaves if leaf.part.text and leaf.part.disposition != "attachment"]
    with_html = {leaf.alternative for leaf in shown if leaf.part.content_type == "text/html"}
    plain_of_html = []
    for leaf in shown:
        if leaf.part.content_type == "text/html":
            reading.take_html(leaf)
        elif leaf.alternative and leaf.alternative in with_html:
            plain_of_html.append(leaf)
        else:
            reading.take_text(leaf.part.text, quoted=leaf.quoted)
    seen = reading.seen() if plain_of_html else ""
    for leaf in plain_of_html:
        reading.take_other_alternative(leaf, seen)
    return reading.content()


class _Reading:
    """Gathers text in order, up to the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left = limits.text_chars
        self.own: list[str] = []
        self.quoted: list[str] = []
        self.signature: list[str] = []
        self.hidden: list[str] = []
        self.links: list[Link] = []
        self.urls: set[str] = set()
        self.incomplete: dict[str, None] = {}

    def take_html(self, leaf: Leaf) -> None:
        """One HTML part."""
        page = html.read(leaf.part.text, self.limits)
        if page.incomplete:
            self.incomplete[page.incomplete] = None
        room = self.limits.links - len(self.links)
        if len(page.links) > room:
            self.incomplete["too many links"] = None
        links = page.links[:room]
        self.links.extend(links)
        for link in links:
            self.urls.add(link.url)
            if "." in link.text:  # what a link shows is no link of its own
                self.urls.update(urls.in_text(link.text, self.limits.links))
        self.take_text(page.text, quoted=leaf.quoted, had_quotes=bool(page.quoted))
        if page.quoted:
            self._keep(self.quoted, page.quoted)
            self._text_links(page.quoted)
        if page.hidden:
            self._keep(self.hidden, page.hidden)

    def take_text(self, text: str, *, quoted: bool, had_quotes: bool = False) -> None:
        """Lines that the reader sees."""
        if quoted:
            self._text_links(text)
            self._keep(self.quoted, text)
            return
        text = words.with_one_line_end(text)
        signs = words.look(text)
        if words.ADDRESS in signs:
            self._text_links(text)
        split = words.split(text, signs)
        self._keep(self.own, split.own)
        self._keep(self.quoted, split.quoted)
        self._keep(self.signature, split.signature)

    def seen(self) -> str:
        """What the reader sees so far, every word between two blanks."""
        text = " ".join((*self.own, *self.quoted, *self.signature)).replace("\n", " ")
        return f" {text} " if text.isprintable() else f" {' '.join(text.split())} "

    def take_other_alternative(self, leaf: Leaf, seen: str) -> None:
        """The plain alternative: only lines with a word that is not in `seen`."""
        lines = _lines_not_in(seen, leaf.part.text.split("\n"))
        written = {word for word in set(" ".join(lines).split()) if _is_word(word)}
        if len(written) <= _FEW:
            new = {word for word in written if f" {word} " not in seen}
        else:
            new = written.difference(seen.split())
        if new:
            self.take_text("\n".join(line for line in lines if not new.isdisjoint(line.split())), quoted=leaf.quoted)

    def _keep(self, texts: list[str], text: str) -> None:
        if not text:
            return
        if len(text) > self.left:
            self.incomplete["text too long"] = None
            text = text[: self.left]
        self.left -= len(text)
        texts.append(text)

    def _text_links(self, text: str) -> None:
        for url in urls.in_text(text[: self.limits.text_chars], self.limits.links):
            if url not in self.urls:
                self._link(Link(url, url, "text"))

    def _link(self, link: Link) -> None:
        if len(self.links) >= self.limits.links:
            self.incomplete["too many links"] = None
            return
        self.urls.add(link.url)
        self.links.append(link)

    def content(self) -> Content:
        """The result. A mail that quotes only is read as its author's words."""
        own, quoted = "\n".join(self.own), "\n".join(self.quoted)
        if quoted and not any(character.isalpha() for character in own[:5_000]):
            own, quoted = f"{own}\n{quoted}".strip(), ""
        gathered = Words(own, quoted, "\n".join(self.signature), "\n".join(self.hidden))
        return Content(gathered, tuple(self.links), tuple(self.incomplete))


def _lines_not_in(seen: str, lines: list[str]) -> list[str]:
    """The lines that do not stand in `seen` whole, one after the other; after some, all the rest. A line with a link never does."""
    missing: list[str] = []
    pos = 1  # of a word, so a blank stands before it
    for index, line in enumerate(lines):
        if not (stripped := line.strip()):
            continue
        end = pos + len(stripped)
        if seen.startswith(stripped, pos) and seen[end : end + 1] == " ":
            pos = end + 1
        elif "://" not in stripped and (place := seen.find(f" {stripped} ", pos - 1)) >= 0:
            pos = place + len(stripped) + 2
        elif len(missing) < _FEW:
            missing.append(line)
        else:
            return missing + lines[index:]
    return missing


def _is_word(word: str) -> bool:
    """False for links and marks, which the two alternatives always write differently."""
    return "://" not in word and "www." not in word and (word.isalnum() or any(character.isalnum() for character in word))
