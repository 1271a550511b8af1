"""The From field(s) → who the author is, or why nobody can tell; and address lists of other fields.

Knows how mail programs pick an author (RFC 5322 §3.6.2, RFC 9989 §4.6) and where they differ; must not know who is authenticated.
The rule throughout: when two programs could show different authors, the kind is not ONE, and the reason is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from milter.mime import charsets, mailboxes
from milter.mime.fields import unfold
from milter.mime.shown import addresses_in
from milter.model.address import Address, Author, AuthorKind
from milter.model.limits import Limits
from milter.model.message import Field

_FROM_LINE = re.compile(rb"\s*from[ \t\r\n]*:", re.IGNORECASE)
# What some program takes for a line end, then something that reads like the field we look for.
_HIDDEN_FROM = re.compile(rb"(\r(?!\n)|[\n\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9])[ \t]*from[ \t]*:([^\r\n]*)", re.IGNORECASE)
# Of the same in lower case; a literal beginning makes the search fast.
_FROM_SIGN = re.compile(rb"from(?<=[ \t\r\n\x0b\x0c\x1c-\x1e\x85\xa8\xa9]from)[ \t]*:")
_NOT_PRINTABLE = re.compile(rb"[^!-~]")
_LONG_LOCAL = 64  # RFC 5321 §4.5.3.1.1
_LONG_NAME = 100  # more is not shown as a whole anywhere
_LONG_FOLDS = 10
_LONG_VALUE = 998  # RFC 5322 §2.1.1: of a line


def read_addresses(value: bytes, limits: Limits) -> tuple[Address, ...]:
    """The mailboxes of an address list field, at most `limits.authors` of them. Never raises."""
    return tuple(_read(value, limits).mailboxes[: limits.authors])


def read_author(
    fields: Iterable[Field],
    limits: Limits,
    *,
    beyond: Iterable[Field] = (),
    headless: bool = False,
    mixed_line_ends: bool = False,
    truncated: bool = False,
) -> Author:
    """Read every From field of the header section `fields`.

    `beyond`: fields that a program which skips bad lines reads too (`Header.beyond`); `headless`: these are all there is, after an
    empty first line; `truncated`: a limit cut the header section, so a From may be unseen. Never raises.
    """
    reading = _Reading(limits)
    fields = tuple(fields)
    for field in [field for field in fields if field.key == "from"] if _is_plain(fields) else fields:
        reading.look_at(field)
    for field in beyond:
        reading.look_beyond(field, headless=headless)
    if mixed_line_ends:
        reading.faults.append("line end other than CRLF")
    if truncated:
        reading.faults.append("header cut at a limit")
    return reading.author()


def _is_plain(fields: Iterable[Field]) -> bool:
    """True when nothing but the fields named From can hold an author: all names are usual, and no value reads like such a field."""
    keys = [field.key for field in fields]
    names = "".join(keys)
    if "" in keys or not (names.isascii() and names.isprintable()):
        return False
    return _FROM_SIGN.search(b"\n".join([field.value for field in fields]).lower()) is None


class _Reading:
    """Collects what the fields say; decides once at the end."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = 0
        self.mailboxes: list[Address] = []
        self.others: list[Address] = []
        self.faults: list[str] = []
        self.notes: list[str] = []

    def look_at(self, field: Field) -> None:
        """One field of the header section; most are not From and hide none."""
        key, value = field.key, field.value
        if key == "from":
            self._take(value)
            return
        if not key:
            self._odd_line(value)
        elif not (key.isascii() and key.isprintable()) and _NOT_PRINTABLE.sub(b"", field.name).lower() == b"from":
            self.faults.append("disguised field name")
            self.others.extend(_read(value, self.limits).mailboxes)
        if b"from" in (lower := value.lower()) and _FROM_SIGN.search(lower):
            self._hidden(value)

    def _odd_line(self, value: bytes) -> None:
        """A first line that is no field: some read it, some do not."""
        match = _FROM_LINE.match(value)
        if match:
            self.faults.append("blank before the field")
            self.others.extend(_read(value[match.end() :], self.limits).mailboxes)
        elif value.startswith(b"From "):
            self.others.extend(addresses_in(charsets.decode(value[: self.limits.from_octets]), 5))

    def _hidden(self, value: bytes) -> None:
        for match in _HIDDEN_FROM.finditer(value):
            if len(self.others) >= self.limits.authors:
                return
            self.others.extend(_read(match[2], self.limits).mailboxes)
            if match[1] == b"\r" and "bare CR" not in self.faults:
                self.faults.append("bare CR")

    def look_beyond(self, field: Field, *, headless: bool) -> None:
        """A field that only some programs see."""
        value = field.value
        if field.key != "from":
            match = None if field.key else _FROM_LINE.match(value)
            if not match:
                return
            value = value[match.end() :]
        if len(self.others) < self.limits.authors:
            self.others.extend(_read(value, self.limits).mailboxes)
        if not headless and "line without colon before the field" not in self.faults:
            self.faults.append("line without colon before the field")

    def _take(self, value: bytes) -> None:
        self.count += 1
        if self.count > self.limits.authors:
            return
        found = _read(value, self.limits)
        self.mailboxes.extend(found.mailboxes)
        self.others.extend(found.others)
        self.faults.extend(found.faults)
        self.notes.extend(found.notes)
        if b"\r" in value.replace(b"\r\n", b"") and "bare CR" not in self.faults:
            self.faults.append("bare CR")
        if value.count(b"\n") > _LONG_FOLDS or len(value) > _LONG_VALUE:
            self.notes.append("overlong value")

    def author(self) -> Author:
        """The conclusion."""
        mailboxes_found = self.mailboxes[: self.limits.authors]
        domains = {mailbox.domain for mailbox in mailboxes_found}
        usable = [mailbox for mailbox in mailboxes_found if mailbox.domain]
        reasons = list(self.faults)
        if self.count > 1:
            reasons.append("repeated field")
        if len(mailboxes_found) > 1:
            reasons.append("several mailboxes")
        if self.faults:
            kind = AuthorKind.MALFORMED
        elif not usable:
            kind = AuthorKind.NONE
        elif self.count > 1 or len(domains) > 1:
            kind = AuthorKind.SEVERAL
        else:
            kind = AuthorKind.ONE
        reasons += self.notes + self._about_names(mailboxes_found)
        candidates = _distinct([*usable, *(other for other in self.others if other.domain)])
        return Author(kind, candidates[: self.limits.authors], tuple(dict.fromkeys(reasons)))

    def _about_names(self, found: list[Address]) -> list[str]:
        reasons = []
        for mailbox in found:
            shown = addresses_in(mailbox.name, 5) if mailbox.name else []
            if any(address.domain != mailbox.domain for address in shown):
                reasons.append("address in display name")
            if len(mailbox.local) > _LONG_LOCAL or len(mailbox.name) > _LONG_NAME:
                reasons.append("overlong value")
        return reasons


def _read(value: bytes, limits: Limits) -> mailboxes.MailboxList:
    """Read one value; of an overlong one its two ends, because programs cut it differently."""
    value = unfold(value)
    if len(value) <= limits.from_octets:
        return mailboxes.read(charsets.decode(value), limits.authors)
    half = limits.from_octets // 2
    found = mailboxes.read(charsets.decode(value[:half]), limits.authors)
    end = mailboxes.read(charsets.decode(value[-half:]), limits.authors)
    found.others.extend([*end.mailboxes, *end.others])
    found.faults.append("overlong value")
    return found


def _distinct(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The first of each local part and domain, in order."""
    first: dict[tuple[str, str], Address] = {}
    for address in addresses:
        first.setdefault((address.local.lower(), str(address.domain)), address)
    return tuple(first.values())
