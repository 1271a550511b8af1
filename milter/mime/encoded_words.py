"""Header value octets → text: RFC 2047 encoded words, raw UTF-8 (RFC 6532) and the Latin-1 of broken senders.

Knows encoded words as mail programs really read them (blanks inside, missing padding, language suffix of RFC 2231 §5);
must not know what the field means. Linear, never raises. The text is as written: control characters stay in it.
"""

from __future__ import annotations

import binascii

from milter.mime import charsets
from milter.mime.fields import unfold

_LONGEST_LABEL = 80
_BASE64 = bytes(range(256)).translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def decode(value: bytes) -> str:
    """The text that a reader sees for a header value, unfolded and trimmed."""
    value = unfold(value)
    return decode_text(value) if b"=?" in value else charsets.decode(value)


def decode_text(value: bytes) -> str:
    """Decode the encoded words of unfolded octets; what is none stays as it is."""
    out: list[str] = []
    pending: list[tuple[str, bytes]] = []  # adjacent encoded words: (charset, octets)
    done = pos = 0
    while (start := value.find(b"=?", pos)) >= 0:
        word = _encoded_word(value, start)
        if word is None:
            pos = start + 2
            continue
        charset, octets, end = word
        if end < 0:
            break  # no "?=" from here on, so none for later starts either
        between = value[done:start]
        # RFC 2047 §6.2: blanks between adjacent encoded words are not shown
        if between.strip(b" \t") or not pending:
            _flush(pending, out)
            out.append(charsets.decode(between))
        pending.append((charset, octets))
        done = pos = end
    _flush(pending, out)
    out.append(charsets.decode(value[done:]))
    return "".join(out)


def _flush(pending: list[tuple[str, bytes]], out: list[str]) -> None:
    """Decode a run of adjacent words; a character split over words of one charset is joined first."""
    index = 0
    while index < len(pending):
        charset = pending[index][0]
        last = index
        while last < len(pending) and pending[last][0] == charset:
            last += 1
        out.append(charsets.decode(b"".join(octets for _, octets in pending[index:last]), charset))
        index = last
    pending.clear()


def _encoded_word(value: bytes, start: int) -> tuple[str, bytes, int] | None:
    """(charset, octets, offset after the word) of the word at `start`; None when it is none; an offset of -1 when unfinished."""
    mark = value.find(b"?", start + 2, start + 2 + _LONGEST_LABEL)
    if mark < 0 or value[mark + 2 : mark + 3] != b"?" or mark == start + 2:
        return None
    form = value[mark + 1 : mark + 2].upper()
    label = value[start + 2 : mark]
    if form not in (b"B", b"Q") or b" " in label or b"\t" in label:
        return None
    end = value.find(b"?=", mark + 3)
    if end < 0:
        return "", b"", -1
    text = value[mark + 3 : end]
    octets = decode_base64(text) if form == b"B" else binascii.a2b_qp(text.rstrip(b"="), header=True)
    return label.partition(b"*")[0].decode("latin-1").lower(), octets, end + 2


def decode_base64(text: bytes) -> bytes:
    """The octets of base64 text. Foreign octets and padding are skipped, in the middle too; a cut end is dropped."""
    text = text.rstrip(b"=\r\n \t")
    if b"=" not in text:
        return _decode_piece(text)
    return b"".join(_decode_piece(piece) for piece in text.split(b"=") if piece)


def _decode_piece(piece: bytes) -> bytes:
    try:
        return binascii.a2b_base64(piece + b"==")
    except binascii.Error:
        clean = piece.translate(None, _BASE64)
        rest = len(clean) % 4
        clean = clean[:-1] if rest == 1 else clean + b"=" * (-rest % 4)
        try:
            return binascii.a2b_base64(clean)
        except binascii.Error:
            return b""
