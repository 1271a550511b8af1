"""The body → its MIME leaves, in order, with what a reader needs to know of each.

Knows RFC 2045, 2046 and 2183 and how mail programs forgive: missing end boundaries, wrong encodings, broken types; must not know
HTML or words. Works on slices of the octets without a mail library; each level costs one search, the depth is limited.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from milter.mime import charsets, parameters
from milter.mime.encoded_words import decode_base64
from milter.mime.fields import scan_part
from milter.model.limits import Limits
from milter.model.message import Field, Part
from milter.model.quick import quick

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_WORD = re.compile(rb"\s*([A-Za-z0-9-]+)")
_LF, _CR = 10, 13
_LONGEST_BOUNDARY = 1_000  # RFC 2046 §5.1.1 says 70


@quick
@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf. `quoted` is True inside an attached or forwarded message; leaves of one multipart/alternative share `alternative` (0: none)."""

    part: Part
    quoted: bool = False
    alternative: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Tree:
    """All leaves, with fixed words for what is broken and what was not looked at."""

    leaves: tuple[Leaf, ...]
    defects: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()


@dataclass(slots=True)
class _Entity:
    """A slice of octets that has a header of its own, or (`fields` given) had it read already."""

    octets: bytes
    start: int
    end: int
    depth: int
    fields: Iterable[Field] | None = None
    default_type: str = "text/plain"
    quoted: bool = False
    alternative: int = 0


def read(raw: bytes, fields: Iterable[Field], body_start: int, limits: Limits) -> Tree:
    """Split the body `raw[body_start:]` that the header `fields` describe. Never raises."""
    walk = _Walk(limits)
    walk.run(_Entity(raw, body_start, len(raw), 0, fields))
    return Tree(tuple(walk.leaves), tuple(walk.defects), tuple(walk.incomplete))


class _Walk:
    """Depth first, left to right, without recursion."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.leaves: list[Leaf] = []
        self.defects: dict[str, None] = {}
        self.incomplete: dict[str, None] = {}
        self.entities = 0
        self.alternatives = 0

    def run(self, root: _Entity) -> None:
        pending = [root]
        while pending:
            entity = pending.pop()
            self.entities += 1
            if self.entities > self.limits.mime_parts:
                self.incomplete["too many MIME parts"] = None
                return
            pending.extend(reversed(self._open(entity)))

    def _open(self, entity: _Entity) -> list[_Entity]:
        """The children of an entity; a leaf is kept and has none."""
        fields = entity.fields
        if fields is None:
            header = scan_part(entity.octets, entity.start, entity.end, self.limits)
            fields, entity.start = header.fields, header.body_start
            self.incomplete.update(dict.fromkeys(header.incomplete))
        written = _written(fields)
        content_type, params = parameters.read(written["content-type"]) if "content-type" in written else (entity.default_type, {})
        if not _TYPE.fullmatch(content_type):
            content_type = "text/plain"  # RFC 2045 §5.2
            self.defects["malformed Content-Type"] = None
        main = content_type.partition("/")[0]
        nested = main == "multipart" or content_type in ("message/rfc822", "message/global")
        if nested and entity.depth >= self.limits.mime_depth:
            self.incomplete["MIME parts nested too deep"] = None
            nested = False
        if nested:
            return self._multipart(entity, content_type, params, written) if main == "multipart" else [self._message(entity, written)]
        self._keep(entity, content_type, params, written)
        return []

    def _multipart(self, entity: _Entity, content_type: str, params: Mapping[str, str], written: dict[str, bytes]) -> list[_Entity]:
        boundary = params.get("boundary", "").rstrip().encode("utf-8", "replace")[:_LONGEST_BOUNDARY]
        slices, closed = _split(entity.octets, entity.start, entity.end, boundary, self.limits.mime_parts) if boundary else ([], False)
        if not slices:
            self.defects["multipart without boundary"] = None
            self._keep(entity, "text/plain", params, written)
            return []
        if not closed:
            self.defects["missing end boundary"] = None
        alternative = entity.alternative
        if content_type == "multipart/alternative":
            self.alternatives += 1
            alternative = self.alternatives
        default = "message/rfc822" if content_type == "multipart/digest" else "text/plain"
        return [_Entity(entity.octets, start, end, entity.depth + 1, None, default, entity.quoted, alternative) for start, end in slices]

    def _message(self, entity: _Entity, written: dict[str, bytes]) -> _Entity:
        """The attached message: its text is quoted, whoever wrote it."""
        octets, start, end = entity.octets, entity.start, entity.end
        encoding = _encoding(written)
        if encoding in ("base64", "quoted-printable"):  # RFC 2046 §5.2.1 forbids it; programs decode it
            octets = _decoded(octets[start:end], encoding)
            start, end = 0, len(octets)
        return _Entity(octets, start, end, entity.depth + 1, None, "text/plain", quoted=True)

    def _keep(self, entity: _Entity, content_type: str, params: Mapping[str, str], written: dict[str, bytes]) -> None:
        disposition, more = parameters.read(written["content-disposition"]) if "content-disposition" in written else ("", {})
        filename = _file_name(more.get("filename") or params.get("name") or "")
        text, octets = "", b""
        start, end, encoding = entity.start, entity.end, _encoding(written)
        if content_type.startswith(("text/", "message/")):
            longest = 4 * self.limits.text_chars + 4 * self.limits.html_octets
            if end - start > longest:
                self.incomplete["text part too long"] = None
                end = start + longest
            text = charsets.decode(_decoded(entity.octets[start:end], encoding), params.get("charset", ""))
            quoted = entity.quoted or content_type == "text/rfc822-headers"
        else:
            quoted = entity.quoted
            if end - start > self.limits.part_octets:
                self.incomplete["attachment too large"] = None
            else:
                octets = _decoded(entity.octets[start:end], encoding)
        part = Part(content_type, filename, disposition, text, octets, entity.depth)
        self.leaves.append(Leaf(part, quoted, entity.alternative))


def _written(fields: Iterable[Field]) -> dict[str, bytes]:
    """The first of each content field."""
    written: dict[str, bytes] = {}
    for field in fields:
        key = field.key
        if key.startswith("content-") and key not in written:
            written[key] = field.value
    return written


def _encoding(written: dict[str, bytes]) -> str:
    match = _WORD.match(written.get("content-transfer-encoding", b""))
    return match[1].decode("ascii").lower() if match else ""


def _decoded(octets: bytes, encoding: str) -> bytes:
    """Undo the transfer encoding; a broken or unknown one gives what can be read."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(octets)
    if encoding == "base64":
        return decode_base64(octets)
    return octets


def _file_name(written: str) -> str:
    """The last path component, without control characters, at most 255 characters."""
    if not written:
        return ""
    name = re.split(r"[/\\]", written[-1_000:])[-1]
    return "".join(character for character in name if character.isprintable()).strip()[:255]


def _split(octets: bytes, start: int, end: int, boundary: bytes, most: int) -> tuple[list[tuple[int, int]], bool]:
    """Slices between the delimiter lines of RFC 2046 §5.1.1, and whether an end delimiter was seen.

    Parts after the end delimiter are taken too, because some programs show them.
    """
    delimiter = b"--" + boundary
    slices: list[tuple[int, int]] = []
    opened, closed = -1, False
    pos = start
    while len(slices) <= most and (found := octets.find(delimiter, pos, end)) >= 0:
        line_end = octets.find(b"\n", found, end)
        after = end if line_end < 0 else line_end + 1
        pos = after
        if found != start and octets[found - 1] not in (_LF, _CR):
            continue
        rest = octets[found + len(delimiter) : min(after, found + len(delimiter) + 200)].strip(b" \t\r\n")
        if rest not in (b"", b"--"):
            continue
        if opened >= 0:
            slices.append((opened, max(opened, _before_line_end(octets, opened, found))))
        closed = closed or rest == b"--"
        opened = -1 if rest else after
    if opened >= 0:
        slices.append((opened, end))
    return slices, closed


def _before_line_end(octets: bytes, low: int, pos: int) -> int:
    """The line end before a delimiter belongs to the delimiter."""
    if pos > low and octets[pos - 1] == _LF:
        pos -= 1
    if pos > low and octets[pos - 1] == _CR:
        pos -= 1
    return pos
