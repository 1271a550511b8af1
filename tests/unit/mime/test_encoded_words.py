"""Encoded words and raw 8-bit text of header values."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime import charsets
from milter.mime.encoded_words import decode, decode_base64


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain ", "plain"),
        (b"=?utf-8?Q?Espace_Assur=C3=A9s?=", "Espace Assurés"),
        (b"=?UTF-8?b?w4ljaMOpYW5jZQ==?= du 3", "Échéance du 3"),
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        (b"=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"),
        (b"=?utf-8?B?w6k?= =?iso-8859-1?Q?=E9?=", "éé"),
        (b"=?utf-8*fr?Q?=C3=A9?=", "é"),
        (b"=?utf-8?Q?mit blank?=", "mit blank"),
        (b"=?utf-8?B?w6kh!!w6k?=", "é!é"),
        (b"=?utf-8?B?YQ==YQ==?=", "aa"),
        (b"=?iso-8859-1?Q?=80?=", "€"),
        (b"=?utf-7?Q?a+AEA-b?=", "a@b"),
        (b"=?punycode?Q?abc-?=", "abc-"),
        (b"=?zlib?B?eJwDAAAAAAE=?=", charsets.decode(bytes.fromhex("789c030000000001"))),
        (b"=?nobody-knows?Q?=C3=A9?=", "é"),
        (b"=?nobody-knows?Q?=E9t=E9?=", "été"),
        (b"=?utf-8?Q?never closed", "=?utf-8?Q?never closed"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=??Q?a?=", "=??Q?a?="),
        (b"=?utf-8?Q??= x", "x"),
        (b"a=?utf-8?Q?b?=c", "abc"),
        ("Mutuelle Santé".encode(), "Mutuelle Santé"),
        ("Mutuelle Santé".encode("latin-1"), "Mutuelle Santé"),
        ("Échéance du prélèvement".encode() + b"\xff", "Échéance du prélèvement\ufffd"),
        (b"=?utf-8?Q?x=00=0Ay?=", "x\0\ny"),
    ],
)
def test_decodes_as_readers_see_it(value: bytes, text: str) -> None:
    """Encoded words are decoded as tolerantly as mail programs do; what is none stays."""
    assert decode(value).strip() == text


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("ISO-8859-15", b"\xa4", "€"),
        (" 'windows-1251' ", b"\xcf", "П"),
        ("gb2312", "中".encode("gbk"), "中"),
        ("utf-16", "é".encode("utf-16"), "é"),
        ("utf-16le", b"\x00\xd8", "\ufffd"),
        ("us-ascii", b"\xc3\xa9", "é"),
        ("iso-8859-1", b"\x81\x92", "\x81’"),
        ("base64", b"YQ==", "YQ=="),
        ("idna", b"xn--", "xn--"),
    ],
)
def test_reads_charsets_of_the_list_alone(label: str, octets: bytes, text: str) -> None:
    """Known labels choose their charset; any other means UTF-8 where it fits, else windows-1252."""
    assert charsets.decode(octets, label) == text


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"YWJj", b"abc"),
        (b"YW\r\nJj\r\n", b"abc"),
        (b"YWI=", b"ab"),
        (b"YWI", b"ab"),
        (b"YWJjY", b"abc"),
        (b"YWI=YWI=", b"abab"),
        (b"!Y W#J.j", b"abc"),
        (b"====", b""),
        (b"", b""),
        (b"\xff\xfe", b""),
    ],
)
def test_base64_is_forgiven(text: bytes, octets: bytes) -> None:
    """Foreign octets, padding in the middle and a cut end never hide the rest."""
    assert decode_base64(text) == octets


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_decoding_undoes_encoding(text: str) -> None:
    """Whatever a well-behaved program encodes comes back, split over words or not."""
    octets = text.encode()
    words = [b"=?utf-8?B?" + base64.b64encode(octets[start : start + 7]) + b"?=" for start in range(0, len(octets), 7)]
    assert decode(b"\r\n ".join(words)) == text


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120) | st.lists(st.sampled_from([b"=?", b"?=", b"?", b"Q", b"B", b"utf-8", b"=", b" ", b"=C3", b"\xff"])).map(b"".join))
def test_decoding_never_raises(value: bytes) -> None:
    """For any octets the result is text that UTF-8 can carry."""
    decode(value).encode("utf-8")
