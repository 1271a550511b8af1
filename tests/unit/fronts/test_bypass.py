"""Which mail is not judged because the settings say so."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.fronts import bypass
from milter.model.mail import Connection, Mail

INTERNAL = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.7", "internal"),
        ("::ffff:192.0.2.7", "internal"),
        ("2001:db8::1", "internal"),
        ("fe80::1%eth0", ""),
        ("198.51.100.1", ""),
        (None, ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_listed_clients(client: str | None, expected: str) -> None:
    """A client is internal when its address is in a listed network; an unknown one never is."""
    assert bypass.reason(Mail(b"", Connection(client)), INTERNAL, authenticated=False, is_trusted=True) == expected


HEAD = b"Received: from laptop.example (unknown [198.51.100.1])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
STRANGER = b"Received: from x.example (x.example [198.51.100.1])\r\n\tby mx.example (Postfix) with ESMTP id 4Z1; Mon, 1 Jan 2026 00:00:00 +0000\r\n"
LOGGED_IN = HEAD + b"\t(No client certificate requested)\r\n\tby mx.example (Postfix) with ESMTPSA id 4Z1;\r\n\tMon, 1 Jan 2026 00:00:00 +0000\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (LOGGED_IN + b"\r\n", True),
        (b"Received-SPF: pass\r\n" + LOGGED_IN + STRANGER + b"\r\n", True),
        (LOGGED_IN.replace(b" id 4Z1", b""), True),  # as Postfix writes it before its queue
        (LOGGED_IN.replace(b"ESMTPSA", b"esmtpa"), True),
        (LOGGED_IN.replace(b"ESMTPSA", b"UTF8SMTPSA"), True),
        (LOGGED_IN.replace(b"ESMTPSA", b"UTF8SMTPA"), True),
        (LOGGED_IN.replace(b"ESMTPSA", b"ESMTPS"), False),
        (LOGGED_IN.replace(b"ESMTPSA", b"ESMTPSAX"), False),
        (LOGGED_IN.replace(b"ESMTPSA", b"LMTPSA"), False),
        (LOGGED_IN.replace(b"ESMTPSA", b"HTTP"), False),
        (STRANGER + LOGGED_IN + b"\r\n", False),
        (b"\r\n" + LOGGED_IN, False),
        (b"X: y\r\n\r\n" + LOGGED_IN, False),
        (b"X-" + LOGGED_IN, False),
        (STRANGER.replace(b"from x.example", b"from x by y with ESMTPSA id 1"), False),
        (STRANGER.replace(b"(x.example", b"(with ESMTPSA"), False),
        (STRANGER.replace(b" id 4Z1", b" id 4Z1\r\n\tfor <a with ESMTPSA b@c.example>"), False),
        (b"Received: from " + b"x" * 5_000 + b" with ESMTPSA;\r\n", False),
        (b"Received: with ESMTPSA;", False),
        (b"", False),
    ],
)
def test_users_who_logged_in(raw: bytes, expected: bool) -> None:  # noqa: FBT001  # a parameter of the table
    """The topmost Received field says so, once; what a stranger calls itself or writes below cannot."""
    mail = Mail(raw, Connection("198.51.100.1"))
    assert bypass.reason(mail, (), authenticated=True, is_trusted=True) == ("authenticated" if expected else "")
    assert bypass.reason(mail, INTERNAL, authenticated=True, is_trusted=False) == ""
    assert bypass.reason(mail, INTERNAL, authenticated=False, is_trusted=True) == ""


PIECE = st.sampled_from(
    [b"with ", b"ESMTPSA", b"ESMTP", b" ", b";", b"\r\n", b"\r\n\t", b"Received:", b"by ", b"(", b")", b'"', b"\n", b"\r", b"x" * 900]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECE, max_size=40))
def test_no_text_of_a_stranger_logs_it_in(parts: list[bytes]) -> None:
    """Whatever a sender puts into its name and into its mail, it is not logged in when the server's own word is another."""
    text = b"".join(parts)
    name = text.replace(b"\r", b"").replace(b"\n", b"")
    raw = (
        b"Received: from "
        + name
        + b" (x [198.51.100.1])\r\n\tby mx.example (Postfix) with ESMTP id 4Z1;\r\n\tMon, 1 Jan 2026 00:00:00 +0000\r\n"
        + text
    )
    assert bypass.reason(Mail(raw), (), authenticated=True, is_trusted=True) == ""
