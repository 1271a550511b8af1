"""Raw octets → header fields, with exact offsets.

Knows RFC 5322 §2.2 and its obsolete forms, and what broken senders do; must not know what a field means, and never
decodes a value. The header section is the received one: joining `raw[field.start:field.end]` of all fields and the
rest of `raw` gives `raw` back, so edits and signatures can rely on the offsets.

Where readers disagree we follow the common ones (and Postfix): a line that is no field ends the header section.
What a more forgiving reader would find after it is kept apart in `Header.beyond`, for the reading of From only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from milter.model.limits import Limits
from milter.model.message import Field
from milter.model.quick import quick

# A name holds no blank and no colon; everything else is tolerated in it, for the mail programs that tolerate it. A bare CR before the colon is
# a blank to who delivers the mail (`smtp.line_ends: normalise`, Postfix).
# Each repeat stops at an octet that the next piece needs, so matching is linear.
_FIELD = re.compile(rb"([^ \t\r\n:]+)[ \t\r]*:(.*(?:\n[ \t].*)*)(?:\n|\Z)")
_LINES = re.compile(rb".*(?:\n[ \t].*)*(?:\n|\Z)")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_ODD_NAME = re.compile(rb"[^!-~]")
_CONTROLS = bytes({*range(32), 127} - {9, 10, 13})
_CR = 13
_LONGEST_LINE = 999  # RFC 5322 §2.1.1: 998, and the CR


@quick
@dataclass(frozen=True, slots=True)
class Header:
    """A header section. `fields` include unusable first lines (key "") so that offsets stay exact.

    `body_start` is the offset of the body. `beyond` are fields that stand after a line that is no field, up to the
    first empty line (or after an empty first line): some programs read them, we do not. `mixed_line_ends` is True when CRLF and bare LF both occur.
    `defects` and `incomplete` are fixed words.
    """

    fields: tuple[Field, ...]
    body_start: int
    defects: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    beyond: tuple[Field, ...] = ()
    mixed_line_ends: bool = False


def unfold(value: bytes) -> bytes:
    """The value without the line ends of its folds (RFC 5322 §2.2.3) and without blanks around it."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r\n")


def scan(raw: bytes, limits: Limits) -> Header:
    """Split the header section of a mail. Never raises; linear in `raw`."""
    scanner = _Scanner(raw, 0, len(raw), limits)
    scanner.first_lines()
    scanner.run()
    return scanner.header()


def scan_part(raw: bytes, start: int, end: int, limits: Limits) -> Header:
    """Split the header of a body part that is `raw[start:end]`. Offsets are into `raw`."""
    scanner = _Scanner(raw, start, end, limits)
    scanner.run()
    return Header(tuple(scanner.fields), scanner.body_start, incomplete=tuple(scanner.incomplete))


class _Scanner:
    """One pass over one header section."""

    def __init__(self, raw: bytes, start: int, end: int, limits: Limits) -> None:
        self.raw, self.limits = raw, limits
        self.start, self.pos, self.end = start, start, end
        self.stop = min(end, start + limits.header_octets)
        self.fields: list[Field] = []
        self.beyond: list[Field] = []
        self.defects: list[str] = []
        self.incomplete: list[str] = []
        self.body_start = end

    def first_lines(self) -> None:
        """Take a Unix mailbox line or a first line that starts with a blank: no field, yet the header goes on."""
        raw, start = self.raw, self.start
        if raw.startswith(b"From ") and not _FIELD.match(raw, 0, self.stop):
            end = raw.find(b"\n", 0, self.stop) + 1
            self._take_line(end or self.stop, "mailbox line on top")
        elif raw[start : start + 1] in (b" ", b"\t"):
            match = _LINES.match(raw, start, self.stop)
            if match and match[0].strip():
                self._take_line(match.end(), "first line starts with a blank")
        elif raw.startswith((b"\r\n", b"\n")) and self.end > 2:
            self.defects.append("empty first line")
            self._read_beyond(2 if raw[0] == _CR else 1)

    def _take_line(self, end: int, defect: str) -> None:
        self.fields.append(Field("", b"", self.raw[self.pos : end].rstrip(b"\r\n"), self.pos, end))
        self.defects.append(defect)
        self.pos = end

    def run(self) -> None:
        """Read fields up to the empty line, a line that is no field, the end, or a limit."""
        raw, limits, fields = self.raw, self.limits, self.fields
        match_field, stop, end, pos = _FIELD.match, self.stop, self.end, self.pos
        most, longest = limits.fields, limits.field_octets
        long = min(_LONGEST_LINE, longest)
        while pos < end:
            match = match_field(raw, pos, stop)
            if match is None:
                self._finish(pos)
                return
            after = match.end()
            if len(fields) >= most or (after == stop < end):
                self._over_limit(pos, "too many header fields" if len(fields) >= most else "header section too long")
                return
            fields.append(_field(match, pos, after))
            if after - pos > long:
                self._long(pos, after, longest)
            pos = after
        self.body_start = end
        self.defects.append("no empty line after the header")

    def _long(self, start: int, end: int, longest: int) -> None:
        """Of an overlong field keep only the beginning of the value; its offsets stay exact."""
        long_line = "header line longer than 998 octets"
        if long_line not in self.defects and max(map(len, self.raw[start:end].split(b"\n"))) > _LONGEST_LINE:
            self.defects.append(long_line)
        if end - start <= longest:
            return
        field = self.fields[-1]
        self.fields[-1] = Field(field.key, field.name[:longest], field.value[:longest], field.start, field.end)
        if "header field too long" not in self.incomplete:
            self.incomplete.append("header field too long")

    def _finish(self, pos: int) -> None:
        """At `pos` stands no field: the empty line, or a line that ends the header without one."""
        raw, end = self.raw, self.end
        if raw.startswith(b"\r\n", pos, end):
            self.body_start = pos + 2
        elif raw.startswith(b"\n", pos, end):
            self.body_start = pos + 1
        else:
            self.body_start = pos
            if pos >= self.stop:
                self._over_limit(pos, "header section too long")
                return
            self.defects.append("line without colon in the header")
            self._read_beyond(pos)

    def _read_beyond(self, pos: int) -> None:
        """Collect what a reader that skips bad lines would still take for fields."""
        raw, stop = self.raw, self.stop
        while pos < stop and len(self.beyond) < self.limits.fields and not raw.startswith((b"\r\n", b"\n"), pos):
            match = _FIELD.match(raw, pos, stop)
            if match:
                self.beyond.append(_field(match, pos, match.end()))
                pos = match.end()
                continue
            lines = _LINES.match(raw, pos, stop)
            after = max(lines.end() if lines else stop, pos + 1)
            self.beyond.append(Field("", b"", raw[pos:after].rstrip(b"\r\n"), pos, after))
            pos = after

    def _over_limit(self, pos: int, what: str) -> None:
        """The rest of the header section is not looked at; the body starts after its empty line."""
        self.incomplete.append(what)
        match = _EMPTY_LINE.search(self.raw, max(pos - 1, self.start), self.end)
        self.body_start = match.end() if match else self.end

    def header(self) -> Header:
        """The result, with the defects that show in the header section as a whole."""
        head = self.raw[: min(self.body_start, self.stop)]
        line_feeds, pairs = head.count(b"\n"), head.count(b"\r\n")
        mixed = 0 < pairs < line_feeds
        defects = self.defects
        if mixed:
            defects.append("line end other than CRLF in the header")
        if head.count(b"\r") > pairs:
            defects.append("bare CR in the header")
        if len(head.translate(None, _CONTROLS)) < len(head):
            defects.append("control character in the header")
        if not head.isascii():
            defects.extend(_eight_bit_defects(head, self.fields))
        return Header(tuple(self.fields), self.body_start, tuple(defects), tuple(self.incomplete), tuple(self.beyond), mixed)


def _field(match: re.Match[bytes], start: int, end: int) -> Field:
    name, value = match.groups()
    if value[-1:] == b"\r":
        value = value[:-1]
    return Field(name.decode("latin-1").lower(), name, value, start, end)


def _eight_bit_defects(head: bytes, fields: list[Field]) -> list[str]:
    """Name what is wrong about octets above 127. RFC 6532 §3.2: UTF-8 in values is allowed, in names it is not."""
    found = []
    if any(_ODD_NAME.search(field.name) for field in fields):
        found.append("8-bit field name")
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        found.append("8-bit header that is not UTF-8")
    else:
        if b"\xc2\x85" in head:  # U+0085 is a line end for some string libraries
            found.append("control character in the header")
    return found
