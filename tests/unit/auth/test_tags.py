"""Lists of tag=value."""

from __future__ import annotations

import pytest

from milter.auth.tags import read_base64, read_number, read_tags, read_words


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a=1; b = 2 ;c=", {"a": "1", "b": "2", "c": ""}),
        ("a=x=y;", {"a": "x=y"}),
        (" a =\r\n\t1 \r\n;", {"a": "1"}),
        ("A=1;a=2", {"A": "1", "a": "2"}),
        ("a=1;a=2", None),
        ("a=1;;b=2", None),
        ("a", None),
        ("=1", None),
        ("1a=1", None),
        ("é=1", None),
        ("", {}),
    ],
)
def test_tag_lists(text: str, tags: dict[str, str] | None) -> None:
    """A tag list gives its tags, or nothing at all when it is broken anywhere (RFC 6376 §3.2)."""
    assert read_tags(text) == tags


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("YWJj", b"abc"),
        (" YW\r\n\tJj ", b"abc"),
        ("", b""),
        ("YWJ", None),
        ("YW!j", None),
        ("é", None),
        ("====", None),
        ("YW\x1dJj", None),
        ("YW\u2003Jj", None),
    ],
)
def test_base64(text: str, octets: bytes | None) -> None:
    """Base64 is read with blanks anywhere and refused when it is none."""
    assert read_base64(text) == octets


def test_words_and_numbers() -> None:
    """Colon-separated words lose blanks and case; numbers are short and decimal or nothing."""
    assert read_words("From : Subject:\r\n\tTo") == ("from", "subject", "to")
    assert [read_number(text, digits=3) for text in ("12", "1234", "-1", "", "١", "1.0")] == [12, None, None, None, None, None]
