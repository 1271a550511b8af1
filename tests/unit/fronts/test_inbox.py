"""The cutting of octets into lines and mails."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.fronts.inbox import MAX_LINE, Fault, Inbox
from milter.fronts.large_mail import LargeMail


def events(pieces: list[bytes], script: str, most: int = 1_000) -> list[bytes | LargeMail | Fault]:
    """Feed the pieces; `script` says what is asked for: `l` a line, `d` a mail. Stops when the script is done or nothing more comes."""
    inbox: Inbox[LargeMail] = Inbox()
    wanted = list(script)
    heard: list[bytes | LargeMail | Fault] = []
    is_in_data = False
    for piece in pieces:
        inbox.feed(piece)
        while wanted:
            if wanted[0] == "d" and not is_in_data:
                inbox.begin_data(most)
                is_in_data = True
            event = inbox.data() if wanted[0] == "d" else inbox.line()
            if event is None:
                break
            heard.append(event)
            is_in_data = False
            wanted.pop(0)
    return heard


@pytest.mark.parametrize(
    ("octets", "script", "expected"),
    [
        (b"NOOP\r\n\r\nX\r\n", "lll", [b"NOOP", b"", b"X"]),
        (b"NOOP\nX\r\n", "l", [Fault.BARE_LF]),
        (b"NO\rOP\r\n", "l", [b"NO\rOP"]),
        (b"X\r\r\n", "l", [b"X\r"]),
        (b"\n", "l", [Fault.BARE_LF]),
        (b"a" * MAX_LINE + b"\r\nX\r\n", "ll", [b"a" * MAX_LINE, b"X"]),
        (b"a" * (MAX_LINE + 1) + b"\r\nX\r\n", "ll", [Fault.TOO_LONG, b"X"]),
        (b"a" * 20_000 + b"\r\nX\r\n", "ll", [Fault.TOO_LONG, b"X"]),
        (b".\r\nX\r\n", "dl", [b"", b"X"]),
        (b"a\r\n.\r\nX\r\n", "dl", [b"a\r\n", b"X"]),
        (b"..\r\n.\r\n", "d", [b".\r\n"]),
        (b"..a\r\n...\r\n.b\r\n.\r\n", "d", [b".a\r\n..\r\nb\r\n"]),
        (b"a\r\n\r\n.\r\n.\r\n", "dd", [b"a\r\n\r\n", b""]),
        (b"a\n.\nb\r.\rc\r\n.\rd\r\n.\ne\n.\r\nf\r.\r\n.\r\n", "d", [b"a\n.\nb\r.\rc\r\n\rd\r\n\ne\n.\r\nf\r.\r\n"]),
        (b"x" * 998 + b"\r\n.\r\nX\r\n", "dl", [b"x" * 998 + b"\r\n", b"X"]),
        (b"x" * 5_000 + b"\r\n.\r\nX\r\n", "dl", [Fault.TOO_BIG, b"X"]),
        (b"x" * 100_000 + b"\r\n.\r\n.\r\nX\r\n", "ddl", [Fault.TOO_BIG, b"", b"X"]),
        (b"..\r\n" * 333 + b".\r\n", "d", [b".\r\n" * 333]),
    ],
)
def test_events(octets: bytes, script: str, expected: list[bytes | Fault]) -> None:
    """Whole and octet by octet, the events are those that RFC 5321 asks for."""
    assert events([octets], script) == expected
    assert events([octets[place : place + 1] for place in range(len(octets))], script) == expected


PIECE = st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.\r\n", b"\r\n.", b"a", b"\0", b"MAIL", b"x" * 300])


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECE, max_size=40), st.text("ld", max_size=6), st.lists(st.integers(1, 50), max_size=30))
def test_cutting_does_not_matter(parts: list[bytes], script: str, sizes: list[int]) -> None:
    """However a client's octets are cut into packets, the same lines and mails come out."""
    octets = b"".join(parts)
    pieces: list[bytes] = []
    rest = octets
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    pieces.append(rest)
    one_by_one = [octets[place : place + 1] for place in range(len(octets))]
    whole = events([octets], script, 700)
    stop = whole.index(Fault.BARE_LF) + 1 if Fault.BARE_LF in whole else len(whole)
    assert events(pieces, script, 700)[:stop] == whole[:stop]
    assert events(one_by_one, script, 700)[:stop] == whole[:stop]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_stuffing_is_undone(content: bytes) -> None:
    """Any content that a client sends with its dots doubled comes back octet for octet."""
    content += b"\r\n"
    sent = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    assert events([sent], "d") == [content]


@pytest.mark.parametrize(
    ("octets", "expected", "rest"),
    [
        (b"RCPT TO:<a>\r\nX\r\n", b"RCPT TO:<a>", b"X"),
        (b"rcpt x\r\n", b"rcpt x", None),
        (b"RCPT x", None, None),
        (b"RCPT x\r", None, None),
        (b"RCPTX\r\n", None, b"RCPTX"),
        (b"RCPT x\ny\r\n", None, Fault.BARE_LF),
        (b"RCPT x\ry\r\n", None, b"RCPT x\ry"),
        (b"RCPT " + b"x" * MAX_LINE + b"\r\n", None, Fault.TOO_LONG),
        (b"", None, None),
    ],
)
def test_lines_that_may_be_taken_together(octets: bytes, expected: bytes | None, rest: bytes | Fault | None) -> None:
    """Looking ahead takes only a whole and proper line of the verb asked for; everything else stays for `line`."""
    inbox: Inbox[LargeMail] = Inbox()
    inbox.feed(octets)
    assert inbox.line_of(b"RCPT") == expected
    assert inbox.line() == rest


def test_looking_ahead_inside_a_line_that_is_too_long() -> None:
    """The tail of a line that is too long is no command, whatever it looks like."""
    inbox: Inbox[LargeMail] = Inbox()
    inbox.feed(b"x" * 5_000)
    assert inbox.line() is None
    inbox.feed(b"RCPT TO:<a>\r\n")
    assert inbox.line_of(b"RCPT") is None
    assert inbox.line() is Fault.TOO_LONG


def test_every_short_mail_is_read_alike_however_it_comes() -> None:
    """Each arrangement of up to six pieces of an end of data gives the same mail whole and octet by octet, and the one of the RFC."""
    for size in range(1, 7):
        for pieces in product((b"\r\n", b".", b"x"), repeat=size):
            octets = b"".join(pieces) + b"\r\n.\r\n"
            whole: Inbox[LargeMail] = Inbox()
            whole.begin_data(1_000)
            whole.feed(octets)
            slow: Inbox[LargeMail] = Inbox()
            found = None
            slow.begin_data(1_000)
            for place in range(len(octets)):
                slow.feed(octets[place : place + 1])
                found = slow.data() if found is None else found
            end = (b"\r\n" + octets).index(b"\r\n.\r\n")
            expected = (b"\r\n" + octets)[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
            assert whole.data() == found == expected, octets
