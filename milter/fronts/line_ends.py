"""Bare CR, bare LF and NUL in a mail: find them, or make proper line ends of them.

RFC 5321 §2.3.8 and §4.1.1.4: mail on the wire has CRLF or nothing. What one server takes for a line end and another does not can hide a
second mail inside the first (SMTP smuggling). Must not know SMTP sessions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from milter.actions import smtp_client

_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_NAMES = {13: "bare <CR>", 10: "bare <LF>", 0: "NUL"}


@dataclass(frozen=True, slots=True)
class Stray:
    """The first octet of a mail that has no place in it: its name and its line, counted from 1 in CRLF lines."""

    name: str
    line: int


def find_stray(content: bytes, *, only_nul: bool = False) -> Stray | None:
    """The first bare CR, bare LF or NUL, if any; with `only_nul` the first NUL."""
    place = content.find(b"\0")
    if not (only_nul or smtp_client.has_whole_line_ends(content)):
        found = _STRAY.search(content)
        assert found is not None
        place = found.start()
    return None if place < 0 else Stray(_NAMES[content[place]], content.count(b"\r\n", 0, place) + 1)


def normalise(content: bytes) -> bytes:
    """The content with each bare LF as CRLF and each bare CR as a blank, the rest untouched. NUL must not be in it (ValueError).

    A bare LF is the line end of a sender who knows no CR; a bare CR is nobody's, and as a line end it would make header fields of what no
    reader of the original sees as such. Postfix does the same (`cleanup_replace_stray_cr_lf`, `smtpd_forbid_bare_newline = normalize`).
    """
    if b"\0" in content:
        raise ValueError("NUL in a mail has no other form")
    if smtp_client.has_whole_line_ends(content):
        return content
    return content.replace(b"\r\n", b"\0").replace(b"\r", b" ").replace(b"\n", b"\0").replace(b"\0", b"\r\n")
