"""The sans-IO client side of SMTP."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.actions import smtp_client
from milter.actions.smtp_client import BrokenReply, Capabilities, ReplyReader
from milter.model.reply import Reply, reply


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 Ok\r\n", [Reply(250, ("Ok",))]),
        (b"250\r\n", [Reply(250, ("",))]),
        (b"250-a\r\n250-\r\n250 c\r\n354 go\r\n", [Reply(250, ("a", "", "c")), Reply(354, ("go",))]),
        (b"250 Ok\n", [Reply(250, ("Ok",))]),
        (b"250 \xe9\r\n", [Reply(250, ("\udce9",))]),
        ("250 é\r\n".encode(), [Reply(250, ("é",))]),
        (b"250 a\rb\0c\r\n", [Reply(250, ("a?b?c",))]),
        (b"250-a\r\n", []),
    ],
)
def test_replies(octets: bytes, expected: list[Reply]) -> None:
    """Whole and octet by octet the same replies come out."""
    assert ReplyReader().feed(octets) == expected
    reader = ReplyReader()
    assert [one for place in range(len(octets)) for one in reader.feed(octets[place : place + 1])] == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"650 x\r\n",
        b"150 x\r\n",
        b"250_x\r\n",
        b"250-a\r\n251 b\r\n",
        b"250 " + b"x" * 5_000 + b"\r\n",
        b"x" * 5_000,
        b"250-x\r\n" * 501,
    ],
)
def test_broken(octets: bytes) -> None:
    """What is no reply, or has no end, is a broken peer."""
    with pytest.raises(BrokenReply):
        ReplyReader().feed(octets)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\n", b"x", b"354", b"\xff"]), max_size=30), st.lists(st.integers(1, 5), max_size=60))
def test_cutting_does_not_matter(parts: list[bytes], sizes: list[int]) -> None:
    """However the octets are cut, the replies are the same, up to the first thing that is none."""

    def replies(pieces: list[bytes]) -> list[object]:
        reader = ReplyReader()
        heard: list[object] = []
        for piece in pieces:
            for line in piece.splitlines(keepends=True):  # a broken line spoils only what comes behind it
                try:
                    heard += reader.feed(line)
                except BrokenReply:
                    return [*heard, "broken"]
        return heard

    octets = b"".join(parts)
    pieces, rest = [], octets
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert replies([*pieces, rest]) == replies([octets])


@settings(max_examples=100, deadline=None)
@given(st.integers(200, 599), st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20), min_size=1, max_size=5))
def test_replies_go_on_unchanged(code: int, lines: list[str]) -> None:
    """Invariant: a reply that is read and written again has the same octets."""
    octets = Reply(code, tuple(lines)).octets
    assert b"".join(one.octets for one in ReplyReader().feed(octets)) == octets


def test_own_reply() -> None:
    """Our replies carry code, enhanced code and cause apart."""
    own = reply(451, "4.3.0", "Later", cause="disk full")
    assert (own.code, own.enhanced, own.octets, own.cause) == (451, "4.3.0", b"451 4.3.0 Later\r\n", "disk full")
    assert Reply(250, ("Ok",)).enhanced == ""
    lines: tuple[str, ...]
    for code, lines in ((99, ("x",)), (250, ()), (250, ("a\r\nb",))):
        with pytest.raises(ValueError, match=r"reply"):
            Reply(code, lines)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("x",), Capabilities()),
        (("x", "SIZE", "8bitmime"), Capabilities(size=0, eight_bit=True)),
        (("x", "SIZE 100", "SMTPUTF8", "DSN", "PIPELINING", "ENHANCEDSTATUSCODES"), Capabilities(100, False, True, True, True, True)),
        (("x", "SIZE much", "XFORWARD NAME addr", "AUTH PLAIN", "CHUNKING"), Capabilities(size=0, xforward=frozenset(("NAME", "ADDR")))),
        (("PIPELINING",), Capabilities()),
    ],
)
def test_capabilities(lines: tuple[str, ...], expected: Capabilities) -> None:
    """The first line of an EHLO reply is a name; unknown keywords do not matter."""
    assert smtp_client.read_capabilities(Reply(250, lines)) == expected


def test_xforward_lines_stay_short() -> None:
    """Attributes go out in as many lines as RFC 5321 asks for, those not offered are left out."""
    attributes = {"NAME": "n" * 250, "ADDR": "192.0.2.1", "HELO": "h" * 250, "IDENT": "x"}
    lines = smtp_client.xforward_commands(attributes, frozenset(("NAME", "ADDR", "HELO")))
    assert [len(line) < 512 for line in lines] == [True, True]
    assert b"".join(lines) == b"XFORWARD NAME=" + b"n" * 250 + b" ADDR=192.0.2.1\r\nXFORWARD HELO=" + b"h" * 250 + b"\r\n"
    assert smtp_client.xforward_commands({}, frozenset(("NAME",))) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b".", b"..\r\n"),
        (b"a\r\n.\r\n..b", b"a\r\n..\r\n...b\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n"),
    ],
)
def test_stuffed(content: bytes, expected: bytes) -> None:
    """Dots at the start of lines are doubled, the last line is ended."""
    assert smtp_client.stuffed(content) == expected


@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"\r\r\n", b"a\0", b"\n", b"x\r"])
def test_stray_line_ends_are_not_sent(content: bytes) -> None:
    """Whatever went wrong before, the last door lets no stray line end out."""
    with pytest.raises(ValueError, match="bare"):
        smtp_client.stuffed(content)


def test_every_short_text_is_told_apart_by_its_line_ends() -> None:
    """A CR without LF and an LF without CR are seen in every text of up to six octets, and a CRLF never is taken for one."""
    for size in range(7):
        for letters in product(b"\r\n.x\x85", repeat=size):
            content = bytes(letters)
            rest = content.replace(b"\r\n", b"")
            assert smtp_client.has_whole_line_ends(content) == (b"\r" not in rest and b"\n" not in rest), content
