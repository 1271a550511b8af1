"""The whole reading of a mail: what a reader sees of it, and what kind of mail it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.message import parse
from milter.model.limits import Limits
from milter.model.message import Link

LIMITS = Limits()
ALTERNATIVE = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\n\r\nBonjour Marie,\r\nVotre compte https://x.example/1 (https://t.example/clic).\r\nSeulement ici.\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<p>Bonjour Marie,</p><p>Votre <a href='https://t.example/clic'>compte</a> https://x.example/1 .</p><p>Cordialement<br>Lune</p>\r\n--b--\r\n"
)


def test_reads_a_mail_whole() -> None:
    """Author, subject, sender, replies, words and links of an ordinary mail."""
    message = parse(
        b"From: =?utf-8?Q?Sant=C3=A9_Lune?= <contact@lune.example>\r\nSender: <envoi@esp.example>\r\nReply-To: <a@lune.example>, <b@lune.example>\r\n"
        b"Reply-To: <c@other.example>\r\nSubject: =?utf-8?Q?Votre_=C3=A9ch=C3=A9ance?=\r\n" + ALTERNATIVE,
        LIMITS,
    )
    assert message.subject == "Votre échéance"
    assert message.author.address is not None
    assert message.author.address.name == "Santé Lune"
    assert message.sender is not None
    assert message.sender.written == "envoi@esp.example"
    assert [address.local for address in message.reply_to] == ["a", "b", "c"]
    assert (message.defects, message.incomplete) == ((), ())
    assert message.body.startswith(b"--b")
    assert [part.content_type for part in message.parts] == ["text/plain", "text/html"]


def test_shows_the_html_and_what_only_the_plain_text_says() -> None:
    """Of two alternatives the HTML is what the reader sees; lines that only the plain text has are kept, links are not doubled."""
    message = parse(b"From: <a@lune.example>\r\n" + ALTERNATIVE, LIMITS)
    assert message.words.own == "Bonjour Marie,\nVotre compte https://x.example/1 .\nCordialement\nSeulement ici."
    assert message.words.signature == "Lune"
    assert message.links == (Link("https://t.example/clic", "compte", "html"), Link("https://x.example/1", "https://x.example/1", "text"))


def test_attachments_are_not_read_unopened() -> None:
    """Text that is attached is a part, but no words of the mail; an attached message is quoted."""
    message = parse(
        b"From: <a@lune.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nci-joint\r\n"
        b"--b\r\nContent-Disposition: attachment; filename=Avis.TXT\r\n\r\nsecret https://x.example\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nmot https://y.example\r\n--b--\r\n",
        LIMITS,
    )
    assert (message.words.own, message.words.quoted) == ("ci-joint", "mot https://y.example")
    assert [link.url for link in message.links] == ["https://y.example"]
    assert [part.filename for part in message.parts] == ["", "Avis.TXT", ""]


def test_a_mail_of_quotes_alone_is_its_authors() -> None:
    """HTML that is one blockquote is what the author says."""
    message = parse(b"From: <a@lune.example>\r\nContent-Type: text/html\r\n\r\n<blockquote>Votre carte expire</blockquote>", LIMITS)
    assert (message.words.own, message.words.quoted) == ("Votre carte expire", "")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("voir https://x.example/a_(b).", ["https://x.example/a_(b)"]),
        ("(https://x.example)", ["https://x.example"]),
        ("<HTTPS://X.example/?a=1&b=2>", ["HTTPS://X.example/?a=1&b=2"]),
        ("« https://x.example »", ["https://x.example"]),
        ("www.x.example, WWW.y.example/z", ["www.x.example", "WWW.y.example/z"]),
        ("https://www.x.example et a@www.y.example", ["https://www.x.example"]),
        ("https://x.example https://x.example", ["https://x.example"]),
        ("javascript://x :// hxxp://x", []),
        ("https://x.example/[a]]", ["https://x.example/[a]"]),
    ],
)
def test_finds_addresses_in_text(text: str, urls: list[str]) -> None:
    """Addresses in running text end where mail programs end them, and come once."""
    message = parse(b"From: <a@lune.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode(), LIMITS)
    assert [link.url for link in message.links] == urls


@pytest.mark.parametrize(
    ("field", "is_list", "is_auto"),
    [
        (b"List-Id: Liste <l.lists.example>", True, False),
        (b"List-Post: <mailto:l@lists.example>", True, False),
        (b"List-Post: NO (annonces)", False, False),
        (b"Precedence: list", True, False),
        (b"Precedence: bulk", False, False),
        (b"List-Unsubscribe: <https://x.example>", False, False),
        (b"Auto-Submitted: auto-replied", False, True),
        (b"Auto-Submitted: No (x)", False, False),
        (b"X-Autoreply: yes", False, True),
        (b"Precedence: auto_reply", False, True),
        (b"X-Other: y", False, False),
    ],
)
def test_tells_lists_and_automatic_mail(field: bytes, is_list: bool, is_auto: bool) -> None:  # noqa: FBT001  # a table of expected values
    """Mailing lists and automatic answers name themselves; a newsletter's unsubscribe link is neither."""
    message = parse(b"From: <a@lune.example>\r\n" + field + b"\r\n\r\nx", LIMITS)
    assert (message.is_list, message.is_auto) == (is_list, is_auto)


def test_everything_cut_is_named() -> None:
    """Each limit that was met is in `incomplete`, once."""
    limits = Limits(text_chars=20, links=1, mime_parts=3)
    parts = b"".join(b"--b\r\n\r\nhttps://x%d.example/ et du texte\r\n" % number for number in range(4))
    message = parse(b"From: <a@lune.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n", limits)
    assert set(message.incomplete) == {"too many MIME parts", "text too long", "too many links"}


PIECES = st.sampled_from(
    [
        b"From: <a@b.example>\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: text/html\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Subject: =?utf-8?Q?=C3=A9?=\r\n",
        *(b"\r\n", b"--b\r\n", b"--b--\r\n", b"> cit\xe9\r\n", b"-- \r\n", b"\0", b"\xff", b"www.x.example "),
        b"<a href=https://x.example>",
        b"<div style='display:none'>",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=20).map(b"".join) | st.binary(max_size=300))
def test_any_octets_are_a_message(raw: bytes) -> None:
    """For any octets: no exception, and the octets are kept as they are."""
    message = parse(raw, LIMITS)
    assert message.raw == raw
    assert 0 <= message.body_start <= len(raw)
    assert message == parse(raw, LIMITS)
