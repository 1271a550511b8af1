"""One address list, as written → its mailboxes, and everything about it that two mail programs could read differently.

Knows the grammar of RFC 5322 §3.4 and §4.4 and how it is abused; must not know which field it reads. Tokens first, encoded
words never before tokens (RFC 2047 §6.2). The input is at most a few thousand characters: callers cap it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass, field

from milter.mime import encoded_words
from milter.mime.shown import addresses_in, hides_characters, visible
from milter.model.address import Address
from milter.model.domain import Domain
from milter.text.domains import is_ip_literal, parse_domain

ENCODED = "encoded"
_ATOM, _QUOTED, _COMMENT, _LITERAL, _BAD = "atom", "quoted", "comment", "literal", "bad"

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]++)
    |(?P<encoded>=\?[^?\s]{1,80}\?[bBqQ]\?[^?]*+\?=)
    |(?P<atom>(?:(?!=\?)[^\x00-\x20\x7f()<>@,;:"\[\]\\])++)
    |(?P<quoted>"(?:[^"\\]++|\\.)*+")
    |(?P<literal>\[[^\[\]\\]*+\])
    |(?P<special>[<>@,;:])""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"""(?:"([^"\\=@\x00-\x1f\x7f]*+)"|([A-Za-z0-9 .'&_-]*+))[ ]*<([A-Za-z0-9.+=_-]++)@([A-Za-z0-9.-]++)>""")
_BARE = re.compile(r"([A-Za-z0-9+_-][A-Za-z0-9.+=_-]*+)@([A-Za-z0-9.-]++)")
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Characters that end the container of a quoted text for a program that unquotes or decodes before it parses.
_BREAKS_OUT = re.compile(r"[<>\",;\x00-\x1f\x7f]")


@dataclass(slots=True)
class MailboxList:
    """What one value holds. `faults` make readers disagree; `notes` do not. All are fixed words.

    `mailboxes` are the addresses by the grammar, in order; `others` are addresses that only a careless reader would take.
    """

    mailboxes: list[Address] = field(default_factory=list)
    others: list[Address] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    spaced: bool  # a blank stands before it


def read(text: str, most: int) -> MailboxList:
    """Read an unfolded value (encoded words not decoded), keeping at most `most` mailboxes. Never raises."""
    found = MailboxList()
    if (bare := _BARE.fullmatch(text)) and (domain := _usable_domain(bare[2])):
        found.mailboxes.append(Address(bare[1], domain, "", text))
        return found
    plain = _PLAIN.fullmatch(text)
    if plain and (domain := _usable_domain(plain[4])):
        written = f"{plain[3]}@{plain[4]}"
        found.mailboxes.append(Address(plain[3], domain, (plain[1] or plain[2] or "").strip(), written))
        _look_at_characters(text, found)
        return found
    _Reader(_tokens(text, found), found, most).run()
    _look_at_characters(text, found)
    if found.faults:
        found.others.extend(addresses_in(text, most))
    return found


def _tokens(text: str, found: MailboxList) -> list[_Token]:
    """Split into tokens; an opening that is never closed is a fault and then a mere character."""
    tokens: list[_Token] = []
    pos, spaced, size = 0, False, len(text)
    comments = True
    while pos < size:
        match = _TOKEN.match(text, pos)
        if match:
            kind, pos = match.lastgroup or _BAD, match.end()
            if kind == "blank":
                spaced = True
                continue
            token = match[0]
            if kind == "special":
                kind = token
            elif kind == _QUOTED:
                token = re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
                if '"' in token:
                    found.others.extend(addresses_in(token, 10))
            tokens.append(_Token(kind, token, spaced))
        elif text[pos] == "(" and comments and (end := _comment_end(text, pos)):
            tokens.append(_Token(_COMMENT, text[pos + 1 : end - 1], spaced))
            pos = end
        else:
            _note_bad(text[pos], found)
            comments = comments and text[pos] != "("
            if text[pos] == '"':  # never closed: what follows is read without quotes
                text = text[:pos] + text[pos:].replace('"', "\x00")
            tokens.append(_Token(_BAD, text[pos], spaced))
            pos += 1
        spaced = False
    return tokens


def _note_bad(character: str, found: MailboxList) -> None:
    words = {'"': "open quote", "(": "open comment", ")": "stray bracket", "[": "stray bracket", "]": "stray bracket", "\\": "stray backslash"}
    word = words.get(character, "" if character in "=\x00" else "control characters")
    if word and word not in found.faults:
        found.faults.append(word)


def _comment_end(text: str, pos: int) -> int:
    """Offset after the comment that opens at `pos`; 0 when it never closes."""
    depth = 0
    for match in _COMMENT_MARK.finditer(text, pos):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if not depth:
                return match.end()
    return 0


_COMMENT_MARK = re.compile(r"[()]|\\.", re.DOTALL)


class _Reader:
    """Groups tokens into list items and reads each."""

    def __init__(self, tokens: list[_Token], found: MailboxList, most: int) -> None:
        self.tokens, self.found, self.most = tokens, found, most
        self.phrase: list[_Token] = []
        self.angle: list[_Token] | None = None
        self.after: list[_Token] = []
        self.name_before = ""  # "Dupont" of an unquoted "Dupont, Jean <…>"
        self.group: str | None = None
        self.semicolon = False

    def fault(self, word: str) -> None:
        if word not in self.found.faults:
            self.found.faults.append(word)

    def note(self, word: str) -> None:
        if word not in self.found.notes:
            self.found.notes.append(word)

    def run(self) -> None:
        index, tokens = 0, self.tokens
        while index < len(tokens) and len(self.found.mailboxes) < self.most:
            token = tokens[index]
            index += 1
            if token.kind == "<":
                index = self._open_angle(index)
            elif token.kind == ">":
                self.fault("stray bracket")
            elif token.kind in (",", ";"):
                self._end_item()
                if token.kind == ";":
                    self._end_group()
            elif token.kind == ":":
                self._open_group()
            else:
                if self.semicolon:
                    self.fault("semicolon outside a group")
                (self.after if self.angle is not None else self.phrase).append(token)
        self._end_item()
        if self.group is not None:
            self.fault("open group")

    def _open_angle(self, index: int) -> int:
        """Collect the tokens up to ">"; the index after it."""
        if self.semicolon:
            self.fault("semicolon outside a group")
        if self.angle is not None:
            self.fault("several addresses without comma")
            self._end_item()
        self.angle = []
        while index < len(self.tokens):
            token = self.tokens[index]
            index += 1
            if token.kind == ">":
                return index
            if token.kind == "<":
                self.fault("stray bracket")
                self._end_item()
                self.angle = []
            else:
                self.angle.append(token)
        self.fault("open angle bracket")
        return index

    def _open_group(self) -> None:
        if self.group is not None:
            self.fault("nested group")
        if any(token.kind == "@" for token in self.phrase) or self.angle is not None:
            self.fault("stray colon")
            self._end_item()
        self.group = self._phrase_text(self.phrase)
        self.note("group")
        self.phrase = []

    def _end_group(self) -> None:
        if self.group is None:
            self.semicolon = True
        self.group = None
        self.name_before = ""

    def _end_item(self) -> None:
        phrase, angle, after = self.phrase, self.angle, self.after
        self.phrase, self.angle, self.after = [], None, []
        if angle is not None:
            if any(token.kind == "@" for token in phrase):
                self.fault("address as unquoted display name")
            if any(token.kind != _COMMENT for token in after):
                self.fault("text after the address")
            name = self._phrase_text(phrase + after)
            name = f"{self.name_before}, {name}" if self.name_before else name
            self.name_before = ""
            self._mailbox(angle, name)
        elif any(token.kind == "@" for token in phrase):
            self.name_before = ""
            comments = [token for token in phrase if token.kind == _COMMENT]
            self._mailbox(phrase, " ".join(self._comment_text(token) for token in comments))
        elif phrase:
            self._bare_phrase(phrase)

    def _bare_phrase(self, phrase: list[_Token]) -> None:
        """An item without an address: part of a name, or an address in disguise."""
        text = self._phrase_text(phrase)
        hidden = addresses_in(text, 10)
        if hidden:
            self.found.others.extend(hidden)
            encoded = any(token.kind == ENCODED for token in phrase)
            (self.fault if encoded else self.note)("encoded word hides an address" if encoded else "address without at sign")
        self.name_before = f"{self.name_before}, {text}" if self.name_before else text

    def _phrase_text(self, tokens: list[_Token]) -> str:
        """The decoded display name of a phrase; comments in round brackets, as most programs show them."""
        parts: list[str] = []
        for token in tokens:
            if parts and token.spaced:
                parts.append(" ")
            parts.append(f"({self._comment_text(token)})" if token.kind == _COMMENT else token.text)
        name = "".join(parts).strip()
        if "=?" in name:
            name = self._decoded(name)
        return name

    def _decoded(self, text: str) -> str:
        """Decode encoded words; twice, because some programs do it again on what they got."""
        for _ in range(2):
            if "=?" in text:
                text = encoded_words.decode_text(text.encode("utf-8", "replace")).strip()
        if _BREAKS_OUT.search(text):
            self.found.others.extend(addresses_in(text, 10))
        return text

    def _comment_text(self, token: _Token) -> str:
        text = self._decoded(token.text) if "=?" in token.text else token.text
        if "<" in text or "\\" in text:
            self.found.others.extend(addresses_in(text, 10))
        return text.strip()

    def _mailbox(self, written: list[_Token], name: str) -> None:
        """Read one addr-spec (RFC 5322 §3.4.1), with route and comments of §4.4."""
        tokens = []
        for token in written:
            if token.kind == _COMMENT:
                self.found.others.extend(_domain_in_comment(token.text))
            else:
                tokens.append(token)
        if tokens and tokens[0].kind == "@" and any(token.kind == ":" for token in tokens):
            tokens = self._skip_route(tokens)
        ats = [index for index, token in enumerate(tokens) if token.kind == "@"]
        if any(token.kind in (",", ":", ";", "<") for token in tokens):
            self.fault("list inside angle brackets")
        if len(ats) > 1:
            self.fault("several at signs")
        if not ats:
            self._without_at(tokens)
            return
        local, domain = tokens[: ats[-1]], tokens[ats[-1] + 1 :]
        if not local and not domain:
            return
        if _has_inner_blank(local) or _has_inner_blank(domain):
            self.fault("blank inside an address")
        self._add(self._local_text(local), domain, f"{self.group} {name}".strip() if self.group else name)

    def _skip_route(self, tokens: list[_Token]) -> list[_Token]:
        last = max(index for index, token in enumerate(tokens) if token.kind == ":")
        self.note("source route")
        for token in tokens[:last]:
            if token.kind == _ATOM and (domain := parse_domain(token.text)):
                self.found.others.append(Address("", domain, "", token.text))
        return tokens[last + 1 :]

    def _without_at(self, tokens: list[_Token]) -> None:
        text = "".join(token.text for token in tokens)
        if others := addresses_in(text, 10):
            self.note("address without at sign")
            self.found.others.extend(others)

    def _local_text(self, tokens: list[_Token]) -> str:
        local = _joined(tokens)
        if any(token.kind == ENCODED for token in tokens):
            self.note("encoded word in address")
            local = encoded_words.decode_text(local.encode("utf-8", "replace"))
            if _CONTROL.search(local):
                self.note("control characters")
        self.found.others.extend(addresses_in(local, 10))
        if local and "@" in local and not any(token.kind == "@" for token in tokens):
            self.found.others.extend(_bare_domains(local))
        return local

    def _add(self, local: str, domain: list[_Token], name: str) -> None:
        text = "".join(token.text for token in domain)
        written = f"{local}@{text}"
        if any(token.kind == _LITERAL for token in domain) or is_ip_literal(text):
            self.note("address literal")
            if inner := parse_domain(text.strip("[]")):
                self.found.others.append(Address(local, inner, "", written))
            self.found.mailboxes.append(Address(local, None, name, written))
            return
        usable = _usable_domain(text) if all(token.kind == _ATOM for token in domain) else None
        if usable is None and text:
            self.fault("unusable domain")
            self.found.others.extend(_readings(local, domain))
        elif usable and local:
            self.found.mailboxes.append(Address(local, usable, name, written))
        elif usable:
            self.note("no local part")
            self.found.mailboxes.append(Address("", usable, name, written))


def _usable_domain(text: str) -> Domain | None:
    """The domain when every program reads it the same way (RFC 5890 §2.3.2.1), else None."""
    if text.isascii():
        return parse_domain(text) if _HOST.fullmatch(text) else None
    lower = text.lower()
    if unicodedata.normalize("NFKC", lower) != lower or not all(
        character in "-_.·" or unicodedata.category(character)[0] in "LMN" for character in lower
    ):
        return None
    return parse_domain(lower)


def _readings(local: str, tokens: list[_Token]) -> list[Address]:
    """What programs may make of a broken domain: cut at the bad character, or without it."""
    whole = "".join(token.text for token in tokens if token.kind != _BAD)
    cut = "".join(token.text if token.kind != _BAD else " " for token in tokens).replace("..", " ").split()
    names = [whole, *cut[:10]] if cut != [whole] else cut
    found = [parse_domain(visible(name).strip(".")) for name in names]
    return [Address(local, domain, "", f"{local}@{domain}") for domain in dict.fromkeys(found) if domain and "." in domain.name]


def _joined(tokens: list[_Token]) -> str:
    """The text of tokens; a blank stays one unless it stands beside a dot."""
    parts = [token.text for token in tokens[:1]]
    for before, token in itertools.pairwise(tokens):
        if token.spaced and not before.text.endswith(".") and not token.text.startswith("."):
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)


def _has_inner_blank(tokens: list[_Token]) -> bool:
    """True for a blank that does not stand beside a dot (the obsolete syntax allows it only there)."""
    return any(token.spaced and not before.text.endswith(".") and not token.text.startswith(".") for before, token in itertools.pairwise(tokens))


def _look_at_characters(text: str, found: MailboxList) -> None:
    """Characters that no program shows as they are written."""
    if _CONTROL.search(text) and "control characters" not in found.faults:
        found.faults.append("control characters")
    if hides_characters(" ".join([text, *(mailbox.name for mailbox in found.mailboxes)])):
        found.notes.append("invisible or direction characters")


def _domain_in_comment(text: str) -> list[Address]:
    if "@" in text:
        return addresses_in(text, 10) if "<" in text or "\\" in text else []
    domain = parse_domain(text.strip()) if "." in text else None
    return [Address("", domain, "", text)] if domain else []


def _bare_domains(local: str) -> list[Address]:
    """Domains after every at sign of a quoted local part."""
    return [Address("", domain, "", piece) for piece in local.split("@")[1:10] if (domain := parse_domain(piece.strip("<> \"',")))]
