"""Write text into header fields: clean it, encode it (RFC 2047), fold it (RFC 5322 §2.2.3).

Knows characters and line lengths. Must not know what a field means. Reading encoded words is `mime.encoded_words`.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Iterator

LINE = 76  # RFC 2047 §2: a line with an encoded word has at most 76 octets (RFC 5322 §2.1.1 would like 78)
HARD_LINE = 998  # RFC 5322 §2.1.1
_ENCODED_WORD = 75  # RFC 2047 §2
_OPEN = {"q": "=?utf-8?q?", "b": "=?utf-8?b?"}
_OVERHEAD = 12
_SMALLEST = 40  # an encoded word shorter than this goes on the next line
# RFC 2047 §4.2 (2), (3): any printable octet but `=`, `?`, `_` and blank; fewer here, so that the text is safe in a comment or a phrase too
_Q_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/.,:;'[]")


def clean(text: str) -> str:
    """One line of visible text: line ends and tabs become blanks, other control and invisible characters go, blanks are not repeated.

    A no-break space stays: French typography needs it.
    """
    if not text.isprintable():
        text = "".join(_visible(text))
        return " ".join([word for word in text.split(" ") if word])
    return " ".join(text.split())


def _visible(text: str) -> Iterator[str]:
    for char in text:
        if char.isprintable() or unicodedata.category(char) == "Zs":
            yield char
        elif char.isspace():
            yield " "


def needs_encoding(text: str) -> bool:
    """True when a header cannot show this text as it is: not ASCII, or a reader could take it for an encoded word."""
    return not text.isascii() or "=?" in text


def encoded_words(text: str, first_room: int = _ENCODED_WORD) -> list[str]:
    """RFC 2047 encoded words (UTF-8) that together show exactly `text`; the first has at most `first_room` octets, the others 75.

    No character is split (RFC 2047 §5). A `first_room` below 24 counts as 24: each word holds at least one character.
    """
    octets = text.encode("utf-8", "replace")
    quoted = sum(1 if chr(octet) in _Q_SAFE or octet == 0x20 else 3 for octet in octets)
    kind = "q" if quoted * 3 <= len(octets) * 5 else "b"  # a little longer than B is worth being readable in a raw header
    room = max(24, min(first_room, _ENCODED_WORD)) - _OVERHEAD
    result: list[str] = []
    chunk: list[bytes] = []
    cost = 0
    for char in text:
        code = char.encode("utf-8", "replace")
        price = len(_quoted(code)) if kind == "q" else len(code)
        if chunk and cost + price > (room if kind == "q" else room // 4 * 3):
            result.append(_word(kind, b"".join(chunk)))
            chunk, cost, room = [], 0, _ENCODED_WORD - _OVERHEAD
        chunk.append(code)
        cost += price
    if chunk:
        result.append(_word(kind, b"".join(chunk)))
    return result


def _word(kind: str, octets: bytes) -> str:
    return f"{_OPEN[kind]}{_quoted(octets) if kind == 'q' else base64.b64encode(octets).decode('ascii')}?="


def _quoted(octets: bytes) -> str:
    return "".join("_" if octet == 0x20 else chr(octet) if chr(octet) in _Q_SAFE else f"={octet:02X}" for octet in octets)


def unstructured(text: str, used: int) -> list[str]:
    """Words of a line that show `text` (cleaned): plain ones, and encoded ones from the first to the last word that needs it.

    `used` is the number of octets that already stand on the first line. Between two encoded words a blank does not count (RFC 2047 §6.2).
    """
    words = [word for word in text.split(" ") if word]
    odd = [index for index, word in enumerate(words) if needs_encoding(word) or len(word) > HARD_LINE - 100]
    if not odd:
        return words
    first, last = odd[0], odd[-1]
    before, after = words[:first], words[last + 1 :]
    column = used
    for word in before:
        column = column + 1 + len(word) if column + 1 + len(word) <= LINE else 1 + len(word)
    room = LINE - column - 1
    return [*before, *encoded_words(" ".join(words[first : last + 1]), room if room >= _SMALLEST else _ENCODED_WORD), *after]


def fold(start: str, words: Iterable[str]) -> str:
    """`start` and the words, one blank between them, lines of at most 76 octets where a word allows it, never more than 998.

    The first word stands on the first line. Neither `start` nor a word holds a blank.
    """
    line = " ".join([start, *_bounded(words)])
    lines: list[str] = []
    begin, after = 0, len(start) + 1
    while len(line) - begin > LINE:
        cut = line.rfind(" ", after, begin + LINE + 1)
        if cut < 0:
            cut = line.find(" ", max(after, begin + LINE + 1))
        if cut < 0:
            break
        lines.append(line[begin:cut])
        begin, after = cut, cut + 1
    lines.append(line[begin:])
    return "\r\n".join(lines)


def _bounded(words: Iterable[str]) -> list[str]:
    size = HARD_LINE - 100
    words = [word for word in words if word]
    if words and max(map(len, words)) > size:
        words = [word[start : start + size] for word in words for start in range(0, len(word), size)]
    return words
