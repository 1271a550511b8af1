"""Text into header octets: clean, encoded, folded."""

from __future__ import annotations

import email.policy
import re
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from milter.actions import encode
from milter.mime import encoded_words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("  a \t b\r\n c ", "a b c"),
        ("a\0b\x1b[31mc\x7f", "ab[31mc"),
        ("a\u202eb\u200bc\ufeff", "abc"),
        ("a\u2028b\u0085c", "a b c"),
        ("Usurpation\u00a0? «\u202fX\u202f»", "Usurpation\u00a0? «\u202fX\u202f»"),
        ("a\udcffb", "ab"),
        ("", ""),
    ],
)
def test_clean(text: str, shown: str) -> None:
    """Line ends become blanks, controls and invisible characters go, no-break spaces stay."""
    assert encode.clean(text) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Remboursé", ["=?utf-8?q?Rembours=C3=A9?="]),
        ("Réponse à [X]", ["=?utf-8?q?R=C3=A9ponse_=C3=A0_[X]?="]),
        ("日本", ["=?utf-8?b?5pel5pys?="]),
        ("=?utf-8?q?x?=", ["=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="]),
    ],
)
def test_encoded_words(text: str, words: list[str]) -> None:
    """Mostly ASCII text is written readably (Q), other text short (B)."""
    assert encode.encoded_words(text) == words


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=120), st.integers(0, 80))
@example("🎁" * 40, 30)
def test_encoded_words_show_exactly_the_text(text: str, room: int) -> None:
    """For any text: the encoded words decode to it for us and for the standard library, each fits, and no character is split."""
    words = encode.encoded_words(text, room)
    wanted = text.encode("utf-8", "replace").decode()
    assert all(len(word) <= 75 and word.isascii() for word in words)
    assert len(words[0]) <= max(24, min(room, 75))
    assert str(make_header(decode_header(" ".join(words)))) == wanted
    assert encoded_words.decode_text(" ".join(words).encode()) == wanted
    assert "".join(str(make_header(decode_header(word))) for word in words) == wanted


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.integers(1, 76))
@example("x" * 3000, 8)
@example("é " * 200, 70)
@example("a =?utf-8?q?=0D=0AX:_y?= b", 8)
def test_a_folded_line_is_safe_and_shows_the_text(text: str, used: int) -> None:
    """For any text: printable ASCII lines of at most 998 octets, no blank line, decoded it is the cleaned text."""
    clean = encode.clean(text)
    start = "N" * (used - 1) + ":"
    lines = encode.fold(start, encode.unstructured(clean, used)).split("\r\n")
    assert all(re.fullmatch(r"[ -~]*", line) and len(line) <= 998 and line.strip() for line in lines)
    assert all(line.startswith(" ") for line in lines[1:])
    value = "".join([lines[0].removeprefix(start), *lines[1:]])
    assert encoded_words.decode(value.encode()) == clean
    assert str(make_header(decode_header(value.strip()))) == clean


def test_lines_are_short_where_words_allow() -> None:
    """A sentence in French with plain and encoded words makes lines of at most 76 octets."""
    text = "insurer-display-name; score=4.5; " + "Se présente comme Harmonie et vient d’ailleurs. " * 5
    assert max(map(len, encode.fold("X:", encode.unstructured(text, 2)).split("\r\n"))) <= 76


def test_the_standard_library_reads_our_lines() -> None:
    """The modern reader of the standard library finds no defect in an encoded field."""
    octets = encode.fold("Subject:", encode.unstructured("Réponse à votre « dossier » 🎁 n° 12", 8)).encode()
    parsed = email.message_from_bytes(octets + b"\r\n\r\n", policy=email.policy.default)["Subject"]
    assert (str(parsed), parsed.defects) == ("Réponse à votre « dossier » 🎁 n° 12", ())
