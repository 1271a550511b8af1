"""The subject tag: put it in front of a subject, take a sender's copies of it out, show the subject as delivered.

Knows the octets of a Subject value and RFC 2047. Must not know verdicts or policies: templates are handed in.
The old value stays octet for octet behind the tag, so that taking the tag off gives the original back. How the new value begins says how:

    " TAG" value            the old value began with a blank or a fold, or was empty
    "TAG " value            it began with anything else
    "  TAG" CRLF value      as the first, folded in front of the old value because the line would have passed 78 octets
    "TAG" CRLF " " value    as the second, folded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from milter.actions import encode
from milter.mime import encoded_words
from milter.text import normal

INSURER = "{insurer}"
_LINE = 78  # RFC 5322 §2.1.1
_TAG_CHARS = 120
_NAME_CHARS = 120  # what may stand between the fixed parts of a tag in a sender's subject
_ROUNDS = 8  # tags inside tags; then only what stands behind the last is kept
_SUBJECT_OCTETS = 65_536  # a longer value is not searched for copies of the tag
_BLANK = b" \t\r\n"


def text(template: str, insurer_name: str) -> str:
    """The tag as shown, without blanks around it. Without a name the place of the name closes up."""
    filled = encode.clean(template.replace(INSURER, encode.clean(insurer_name)[:_TAG_CHARS]))
    return filled.replace(" ]", "]").replace(" )", ")")[: 2 * _TAG_CHARS].strip()


def put(value: bytes, tag: str, *, used: int = len("Subject:"), line_end: bytes = b"\r\n", is_exact: bool = True) -> bytes:
    """The value with `tag` in front of it. `value` is all after the colon, `used` the octets of the line before it.

    A tag that a header cannot show is encoded. Where an encoded word follows, the blank between tag and old text goes inside the encoded tag,
    because readers drop the one outside (RFC 2047 §6.2). An empty tag changes nothing. Without `is_exact` the value is not looked at, which is
    quick, and that blank may be missing or stand twice.
    """
    if not tag:
        return value
    if not encode.needs_encoding(tag):
        return _join(tag.encode("ascii"), value, used, line_end)
    if not is_exact:
        return _join(_encoded(tag, used, line_end), value, used, line_end)
    wanted = f"{tag} {shown(value)}".strip()
    candidates = [_join(_encoded(shape, used, line_end), value, used, line_end) for shape in (tag, tag + " ")]
    if _starts_encoded(value):
        candidates.reverse()
    return next((candidate for candidate in candidates if shown(candidate) == wanted), candidates[0])


def _join(tag: bytes, value: bytes, used: int, line_end: bytes) -> bytes:
    first_line = value.partition(b"\n")[0].rstrip(b"\r")
    has_lead = not value or value[:1] in (b" ", b"\t", b"\r", b"\n")
    last_tag_line = tag.rpartition(b"\n")[2]
    is_long = used + 2 + len(last_tag_line) + len(first_line) > _LINE and bool(first_line.strip(_BLANK))
    if has_lead:
        return b"".join((b"  ", tag, line_end, value) if is_long else (b" ", tag, value))
    return b"".join((tag, line_end, b" ", value) if is_long else (tag, b" ", value))


@lru_cache(maxsize=64)
def _encoded(tag: str, used: int, line_end: bytes) -> bytes:
    words = encode.encoded_words(tag, encode.LINE - used - 2)
    return (line_end + b" ").join(word.encode("ascii") for word in words)


def _starts_encoded(value: bytes) -> bool:
    return value.lstrip(_BLANK).startswith(b"=?")


def shown(value: bytes) -> str:
    """The subject as a reader sees it: decoded, on one line, without blanks around it."""
    return visible(encoded_words.decode(value))


def visible(subject: str) -> str:
    """The same for a value that is decoded already."""
    return encode.clean(subject).strip()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a tag made from one template looks like, folded for comparing: `start`, at most 120 characters, `end`."""

    start: str
    end: str


@lru_cache(maxsize=64)
def shapes(templates: tuple[str, ...]) -> tuple[Shape, ...]:
    """The shapes to look for. A template with nothing firm on both sides of the name is left out: it would match ordinary words."""
    result: dict[Shape, None] = {}
    for template in templates:
        before, found, after = encode.clean(template).partition(INSURER)
        if not found:
            before, after = before.strip()[:-1], before.strip()[-1:]
        shape = Shape(normal.fold(before).strip(), normal.fold(after).strip())
        if len(shape.start) >= 3 and shape.end:
            result[shape] = None
    return tuple(result)


def remove(value: bytes, known: Sequence[Shape], read: str | None = None) -> bytes | None:
    """The value without our tags, or None when there is none in it. `read` is the value decoded, for a caller who has it.

    A tag that stands in plain octets is cut out and the rest stays as it is; one inside encoded words makes the subject be written anew.
    """
    if len(value) > _SUBJECT_OCTETS or not _found(encoded_words.decode(value) if read is None else read, known):
        return None
    octets = value
    for _ in range(_ROUNDS):
        written = octets.decode("utf-8", "surrogateescape")
        spans = [span for span in _found(written, known) if "=?" not in written[slice(*span)]]
        if not spans:
            break
        octets = _without(written, spans).encode("utf-8", "surrogateescape")
    left = encoded_words.decode(octets)
    if not _found(left, known):
        return octets
    for _ in range(_ROUNDS):
        spans = _found(left, known)
        left = _without(left, spans)
        if not spans:
            break
    else:
        left = _behind(left, known)
    name = "Subject:"
    return encode.fold(name, encode.unstructured(encode.clean(left), len(name)))[len(name) :].encode("ascii")


def _found(written: str, known: Sequence[Shape]) -> list[tuple[int, int]]:
    """The places of tags as (start, end) in `written`, in order, not overlapping."""
    quickly = normal.fold(written) if known else ""
    if not any(shape.start in quickly and shape.end in quickly for shape in known):
        return []
    folded, places = normal.fold_map(written)
    spans: list[tuple[int, int]] = []
    for shape in known:
        at = folded.find(shape.start)
        while at >= 0:
            inside = at + len(shape.start)
            end = folded.find(shape.end, inside, inside + _NAME_CHARS + len(shape.end))
            if end >= 0:
                spans.append((places[at], places[end + len(shape.end) - 1] + 1))
            at = folded.find(shape.start, inside if end < 0 else end + len(shape.end))
    return _apart(spans)


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _without(written: str, spans: list[tuple[int, int]]) -> str:
    """Cut the spans out, and of the blanks around each those that would stand twice."""
    blank = _BLANK.decode("ascii")
    parts: list[str] = []
    kept = 0
    for start, end in spans:
        parts.append(written[kept:start])
        if start == 0 or written[start - 1] in blank:
            while end < len(written) and written[end] in blank:
                end += 1
        kept = max(kept, end)
    rest = written[kept:]
    parts.append(rest)
    result = "".join(parts)
    return result if rest.strip(blank) else result.rstrip(blank)


def _behind(written: str, known: Sequence[Shape]) -> str:
    """What stands behind everything that could end a tag, so that no tag can be in it."""
    folded, places = normal.fold_map(written)
    last = max(folded.rfind(shape.end) + len(shape.end) for shape in known)
    return written[places[last - 1] + 1 :]
