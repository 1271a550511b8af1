"""Mails made to be slow: the cost of reading grows with their size, never with its square. And mails that are merely broken."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from milter.mime.message import parse
from milter.model.limits import Limits

LIMITS = Limits()
# Limits so wide that no limit hides a growth.
WIDE = Limits(
    header_octets=10**8,
    fields=10**6,
    field_octets=10**8,
    from_octets=10**8,
    authors=10**6,
    mime_parts=10**6,
    text_chars=10**8,
    html_octets=10**8,
    html_attributes=10**8,
    links=10**6,
)
HTML = b"From: <a@x.example>\r\nContent-Type: text/html\r\n\r\n"
TEXT = b"From: <a@x.example>\r\n\r\n"
MIXED = b"From: <a@x.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
ALTERNATIVES = (
    b"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nun deux\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--c--\r\n"
)
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "mime"


def nested(number: int) -> bytes:
    """Multiparts inside multiparts."""
    opened = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (level, level + 1) for level in range(number))
    return b"From: <a@x.example>\r\nContent-Type: multipart/mixed; boundary=0\r\n\r\n" + opened


MAILS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "deep html": (60_000, lambda n: HTML + b"<div>" * n),
    "deep html with closings": (40_000, lambda n: HTML + b"<div><object></div></object>" * n),
    "attributes": (60_000, lambda n: HTML + b"<a " + b" ".join(b"a%d" % number for number in range(n)) + b">"),
    "attributes with values": (40_000, lambda n: HTML + b"<a " + b" ".join(b"a%d='>'" % number for number in range(n)) + b">"),
    "unclosed html tags": (60_000, lambda n: HTML + b"<a href=" * n),
    "unclosed html comments": (60_000, lambda n: HTML + b"<!--" * n),
    "unclosed html quotes": (60_000, lambda n: HTML + b'<a b="' * n),
    "html links": (3_000, lambda n: HTML + b"<a href=https://x.example/>x</a>" * n),
    "html entities": (60_000, lambda n: HTML + b"&amp" * n),
    "style": (4_000, lambda n: HTML + b"<p style='" + b"display " * n + b"'>x" * 2),
    "header fields": (30_000, lambda n: b"X-A: b\r\n" * n + TEXT),
    "header folds": (60_000, lambda n: b"X-A: b\r\n" + b" c\r\n" * n + TEXT),
    "header blanks": (300_000, lambda n: b"X-A" + b" " * n + b"\r\n" + TEXT),
    "header junk": (60_000, lambda n: b"From: <a@x.example>\r\n" + b"junk\r\n" * n),
    "addresses": (3_000, lambda n: b"From: " + b", ".join(b"<a%d@x%d.example>" % (number, number) for number in range(n)) + b"\r\n\r\n"),
    "quotes in From": (20_000, lambda n: b"From: " + b'"' * n + b"\r\n\r\n"),
    "escapes in From": (20_000, lambda n: b"From: " + b'"\\' * n + b"\r\n\r\n"),
    "brackets in From": (10_000, lambda n: b"From: " + b"(" * n + b"<" * n + b"\r\n\r\n"),
    "at signs in From": (3_000, lambda n: b"From: " + b"a@" * n + b"\r\n\r\n"),
    "From fields": (3_000, lambda n: b"From: <a@x.example>\r\n" * n + b"\r\n"),
    "reply addresses": (1_500, lambda n: TEXT[:-2] + b"Reply-To: " + b"<a@x.example>, " * n + b"\r\n\r\n"),
    "encoded words": (10_000, lambda n: TEXT[:-2] + b"Subject: " + b"=?utf-8?Q?=C3=A9?= " * n + b"\r\n\r\n"),
    "unfinished encoded words": (60_000, lambda n: TEXT[:-2] + b"Subject: " + b"=?utf-8?Q?" * n + b"\r\n\r\n"),
    "encoded word openings": (60_000, lambda n: TEXT[:-2] + b"Subject: " + b"=?" * n + b"\r\n\r\n"),
    "parameters": (60_000, lambda n: TEXT[:-2] + b"Content-Type: a/b" + b"; a*0=b" * n + b"\r\n\r\nx"),
    "parameter blanks": (100_000, lambda n: TEXT[:-2] + b"Content-Type: text/plain" + b" " * n + b"x\r\n\r\nx"),
    "parts": (2_000, lambda n: MIXED + b"--b\r\n\r\nx\r\n" * n),
    "alternatives": (8_000, lambda n: MIXED + ALTERNATIVES * (n // 20) + b"--b\r\nContent-Type: text/html\r\n\r\n" + b"<p>a b" * n),
    "boundary look-alikes": (60_000, lambda n: MIXED + b"--b\r\n\r\n" + b"--bb--b\r\n" * n),
    "boundary dashes": (300_000, lambda n: b"From: <a@x.example>\r\nContent-Type: multipart/mixed; boundary=----\r\n\r\n" + b"-" * n),
    "nested parts": (20_000, nested),
    "base64 with padding": (60_000, lambda n: TEXT[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"YQ==" * n),
    "quoted lines": (30_000, lambda n: TEXT + b"> x\r\n" * n + b"y a \xc3\xa9crit :\r\n" * n),
    "introductions": (10_000, lambda n: TEXT + b"On x wrote:\r\n\r\n" * n + b"x"),
    "closings": (20_000, lambda n: TEXT + b"cordialement x\r\n" * n),
    "one long line": (400_000, lambda n: TEXT + b"-" * n),
    "addresses in text": (3_000, lambda n: TEXT + b"https://x.example/%d " * n),
    "brackets after an address": (300_000, lambda n: TEXT + b"https://x.example/" + b")" * n),
    "wwww": (100_000, lambda n: TEXT + b"www." * n),
    "punycode": (60_000, lambda n: b"From: <a@x.example>\r\nContent-Type: text/plain; charset=punycode\r\n\r\n" + b"-a" * n),
}  # fmt: skip


def seconds(raw: bytes, limits: Limits) -> float:
    """The least CPU time of some readings."""
    best = 9e9
    for _ in range(3):
        start = time.process_time()
        parse(raw, limits)
        best = min(best, time.process_time() - start)
        if best < 0.002:
            break
    return best


@pytest.mark.parametrize("name", MAILS)
def test_cost_grows_with_the_size(name: str) -> None:
    """Four times the mail costs at most six times the time, even where no limit helps."""
    number, make = MAILS[name]
    number //= 16
    gc.disable()
    try:
        once = seconds(make(number), WIDE)
        four = seconds(make(4 * number), WIDE)
    finally:
        gc.enable()
    assert four <= 6 * once + 0.004, (once, four)


@pytest.mark.parametrize("name", MAILS)
def test_limits_bound_the_cost(name: str) -> None:
    """With the default limits no mail of this size takes noticeably long."""
    number, make = MAILS[name]
    raw = make(number)
    start = time.process_time()
    parse(raw, LIMITS)
    assert time.process_time() - start < 0.5


def test_reads_every_broken_mail_there_is() -> None:
    """Awkward and broken messages of other projects are read without exception, and their fields and rest are the mail."""
    if not SHARED.is_dir():
        pytest.skip("the shared folder data/mime beside the repository is absent")
    count = 0
    for folder, _, names in os.walk(SHARED):
        for name in names:
            raw = (Path(folder) / name).read_bytes()
            message = parse(raw, LIMITS)
            end = message.fields[-1].end if message.fields else 0
            assert b"".join(raw[field.start : field.end] for field in message.fields) + raw[end:] == raw
            count += 1
    assert count > 300
