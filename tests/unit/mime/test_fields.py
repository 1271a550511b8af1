"""The header scanner: names, values, offsets, and where the header section ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.fields import Header, scan, scan_part, unfold
from milter.model.limits import Limits

LIMITS = Limits()
PIECES = st.sampled_from(
    [
        b"From: a@b.example",
        b"X-Foo :  y",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"From x",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"word",
        b"\x0b",
        b"-",
        b"=",
    ]
)


def pairs(header: Header) -> list[tuple[str, bytes]]:
    """Key and value of every field."""
    return [(field.key, field.value) for field in header.fields]


def glued(raw: bytes, header: Header) -> bytes:
    """The octets of all fields and of the rest, which must be the mail."""
    assert all(before.end == after.start for before, after in zip(header.fields, header.fields[1:], strict=False))
    end = header.fields[-1].end if header.fields else 0
    return b"".join(raw[field.start : field.end] for field in header.fields) + raw[end:]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_reads_fields_and_finds_the_body(line_end: bytes) -> None:
    """Names lose their case, values keep every octet but the last line end, whichever the line end is."""
    raw = line_end.join([b"Subject: one", b" two", b"X-Foo : bar", b"Empty:", b"", b"Body: no field"])
    header = scan(raw, LIMITS)
    assert pairs(header) == [("subject", b" one" + line_end + b" two"), ("x-foo", b" bar"), ("empty", b"")]
    assert [field.name for field in header.fields] == [b"Subject", b"X-Foo", b"Empty"]
    assert raw[header.body_start :] == b"Body: no field"
    assert header.defects == ()
    assert header.incomplete == ()


@pytest.mark.parametrize(
    ("raw", "keys", "body", "defect"),
    [
        (b"A: 1\r\nno field\r\nB: 2\r\n\r\nx", ["a"], b"no field\r\nB: 2\r\n\r\nx", "line without colon in the header"),
        (b"From a@b.example Mon Mar  2 09:00:00 2026\r\nA: 1\r\n\r\nx", ["", "a"], b"x", "mailbox line on top"),
        (b" A: 1\r\nB: 2\r\n\r\nx", ["", "b"], b"x", "first line starts with a blank"),
        (b"A: 1\r\n", ["a"], b"", "no empty line after the header"),
        (b"A: 1", ["a"], b"", "no empty line after the header"),
        (b"\r\nA: 1\r\n\r\nx", [], b"A: 1\r\n\r\nx", "empty first line"),
        (b"A: 1\nB: 2\r\n\r\nx", ["a", "b"], b"x", "line end other than CRLF in the header"),
        (b"A: 1\rB: 2\r\n\r\nx", ["a"], b"x", "bare CR in the header"),
        (b"A: \0\r\n\r\nx", ["a"], b"x", "control character in the header"),
        (b"A: \xc2\x85\r\n\r\nx", ["a"], b"x", "control character in the header"),
        (b"A: \xff\r\n\r\nx", ["a"], b"x", "8-bit header that is not UTF-8"),
        (b"\xb5: 1\r\n\r\nx", ["\xb5"], b"x", "8-bit field name"),
        (b"A: " + b"x" * 1_000 + b"\r\n\r\nx", ["a"], b"x", "header line longer than 998 octets"),
    ],
)
def test_names_what_is_broken(raw: bytes, keys: list[str], body: bytes, defect: str) -> None:
    """A broken header section is read as common programs read it, and the break is named."""
    header = scan(raw, LIMITS)
    assert [field.key for field in header.fields] == keys
    assert raw[header.body_start :] == body
    assert defect in header.defects
    assert glued(raw, header) == raw


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\n", b"x", b":", b": x\r\n\r\n", b" \r\n\r\n"])
def test_reads_next_to_nothing(raw: bytes) -> None:
    """Empty and tiny input gives a header section without usable fields."""
    assert [field.key for field in scan(raw, LIMITS).fields if field.key] == []


def test_a_line_of_blanks_continues_the_field() -> None:
    """RFC 5322 §4.2: a line of blanks alone is an obsolete fold, not the end of the header."""
    header = scan(b"A: 1\r\n \t \r\nB: 2\r\n\r\n", LIMITS)
    assert pairs(header) == [("a", b" 1\r\n \t "), ("b", b" 2")]


def test_keeps_apart_what_only_forgiving_readers_see() -> None:
    """Fields after a line that is no field are not the header's, but are kept for the reading of From."""
    header = scan(b"A: 1\r\njunk\r\n more: x\r\nFrom: a@b.example\r\n\r\nC: 3\r\n", LIMITS)
    assert [(field.key, field.value) for field in header.beyond] == [("", b"junk\r\n more: x"), ("from", b" a@b.example")]


@pytest.mark.parametrize(
    ("limits", "raw", "kept", "words"),
    [
        (Limits(fields=2), b"A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody", ["a", "b"], "too many header fields"),
        (Limits(header_octets=14), b"A: 1\r\nB: 2\r\nC: 345\r\n\r\nbody", ["a", "b"], "header section too long"),
        (Limits(header_octets=12), b"A: 1\r\nB: 2\r\nC: 345\r\n\r\nbody", ["a"], "header section too long"),
        (Limits(field_octets=8), b"A: " + b"0" * 2_000 + b"\r\nB: 2\r\n\r\nbody", ["a", "b"], "header field too long"),
    ],
)
def test_stops_at_a_limit_and_says_so(limits: Limits, raw: bytes, kept: list[str], words: str) -> None:
    """What is beyond a limit is not read, the body is still found, and offsets stay exact."""
    header = scan(raw, limits)
    assert [field.key for field in header.fields] == kept
    assert words in header.incomplete
    assert raw[header.body_start :] == b"body"
    assert glued(raw, header) == raw
    assert all(len(field.value) <= limits.field_octets for field in header.fields)


def test_reads_the_header_of_a_part() -> None:
    """A slice of the mail has a header of its own, with offsets into the whole."""
    raw = b"xxxxA: 1\r\n\r\nbodyyyyy"
    header = scan_part(raw, 4, 16, LIMITS)
    assert (header.fields[0].start, header.fields[0].end, header.body_start) == (4, 10, 12)


@pytest.mark.parametrize(("value", "flat"), [(b" a\r\n b", b"a b"), (b"a\n\tb ", b"a\tb"), (b"\r\n ", b""), (b" a ", b"a")])
def test_unfolds(value: bytes, flat: bytes) -> None:
    """RFC 5322 §2.2.3: unfolding takes out line ends, never the blanks after them."""
    assert unfold(value) == flat


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=200), st.sampled_from([LIMITS, Limits(fields=3, header_octets=40)]))
def test_fields_and_rest_are_the_mail(raw: bytes, limits: Limits) -> None:
    """For any octets: no exception, offsets without gap, and fields and rest glued together are the mail."""
    header = scan(raw, limits)
    assert glued(raw, header) == raw
    assert 0 <= header.body_start <= len(raw)
    assert not header.fields or header.fields[-1].end <= header.body_start
    assert all(raw[field.start :].startswith(field.name) for field in header.fields if field.key)
