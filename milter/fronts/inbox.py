"""What an SMTP client sends, cut into command lines and mails. Octets in, events out, without sockets.

RFC 5321 §2.3.8 (lines end in CRLF and in nothing else), §4.1.1.4 and §4.5.2 (end of data, dots). Must not know commands. However the octets
are cut into pieces, the events are the same; the work is linear in them. A large mail is handed on while it comes, so that no step takes long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

MAX_LINE = 4_096  # RFC 5321 §4.5.3.1.4 says 512; MAIL and RCPT parameters and SMTPUTF8 add to it
LARGE = 1_048_576  # octets of a mail from which on it is handed on in pieces
_PIECE = 65_536
_END = b"\r\n.\r\n"
_DOT = re.compile(re.escape(_END[:3]))  # a regular expression finds it in a third of the time of `find`


class Fault(StrEnum):
    """Something that is no line or no mail."""

    TOO_LONG = "a command line that is too long"
    BARE_LF = "a command line that ends in a bare LF"
    TOO_BIG = "a mail that is too big"


class Sink(Protocol):
    """Takes the pieces of a large mail."""

    def add(self, octets: bytes, /) -> None:
        """One more piece, dots removed."""
        ...

    def close(self) -> None:
        """The mail is given up."""
        ...


S = TypeVar("S", bound=Sink)


class Inbox(Generic[S]):
    """Feed it octets, then ask for lines, or for the mail after `begin_data`, until the answer is None: more octets are needed.

    While `is_in_mail`, what waits is a mail and must not be read as commands; while `is_large`, it is one of which pieces are in a sink already.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._is_skipping = False
        self._most = 0
        self._has_dots = False
        self._handed_on = 0
        self._make_sink: Callable[[], S] | None = None
        self._sink: S | None = None
        self.is_in_mail = False

    @property
    def is_large(self) -> bool:
        """Whether the mail that comes is handed on in pieces."""
        return self._sink is not None

    def __len__(self) -> int:
        """Octets that wait."""
        return len(self._buffer)

    def feed(self, octets: bytes) -> None:
        """Add octets as they came."""
        self._buffer += octets

    def line(self) -> bytes | Fault | None:
        """The next command line without its CRLF; a Fault for one that is none; None when it has not arrived whole.

        After BARE_LF the rest must not be read as commands: who sent it and who wrote it may differ.
        """
        buffer = self._buffer
        end = buffer.find(b"\n", self._searched)
        if end < 0:
            if len(buffer) > MAX_LINE + 1:
                del buffer[:-1]  # a CR at the end may belong to the line end
                self._is_skipping = True
            self._searched = len(buffer)
            return None
        is_ended_well = end > 0 and buffer[end - 1] == 13
        line = bytes(buffer[: end - 1]) if is_ended_well else b""
        del buffer[: end + 1]
        self._searched = 0
        was_skipping, self._is_skipping = self._is_skipping, False
        if not is_ended_well:
            return Fault.BARE_LF
        return Fault.TOO_LONG if was_skipping or len(line) > MAX_LINE else line

    def line_of(self, verb: bytes) -> bytes | None:
        """The next command line without its CRLF, when it is there whole, nothing is wrong with it and its verb is this (upper case)."""
        buffer = self._buffer
        size = len(verb)
        if self._is_skipping or bytes(buffer[: size + 1]).upper() != verb + b" ":
            return None
        end = buffer.find(b"\n", 0, MAX_LINE + 2)
        line = bytes(buffer[: max(end - 1, 0)])
        if end < 0 or buffer[end - 1] != 13 or b"\r" in line or b"\0" in line:
            return None
        del buffer[: end + 1]
        self._searched = 0
        return line

    def begin_data(self, most: int, make_sink: Callable[[], S] | None = None) -> None:
        """What follows is a mail of at most `most` octets. A large one goes into a sink, where there is one to be made."""
        self._buffer[:0] = b"\r\n"  # so that a dot on the first line is found like any other
        self._searched = 0
        self.is_in_mail = True
        self._make_sink = make_sink
        self._most = most + most // 3 + len(_END)  # each line may carry one more dot, and has then at least three octets

    def data(self) -> bytes | S | Fault | None:
        """The mail, dots removed, once its end is there; TOO_BIG then, when it was bigger than allowed; else None.

        Of a large mail the answer is the sink that has it. What the sink raises passes through; the mail cannot be had then.
        """
        buffer = self._buffer
        end = self._end_of_data()
        if end < 0:
            self._go_on()
            return None
        is_too_big = self._is_skipping or self._handed_on + end > self._most
        content: bytes | S = b""
        if self._sink is not None and not is_too_big:
            self._hand_on(end + 2)
            content, end = self._sink, 0  # what is left begins with the line end before the last dot
        elif not is_too_big:
            content = _unstuffed(buffer, end, has_dots=self._has_dots)
        del buffer[: end + len(_END)]
        self._forget()
        self._is_skipping = self.is_in_mail = False
        return Fault.TOO_BIG if is_too_big else content

    def _forget(self) -> None:
        self._searched = self._handed_on = 0
        self._has_dots = False
        self._make_sink = self._sink = None

    def abandon(self) -> None:
        """The mail that is coming is not wanted any more, for a reason that has nothing to do with it: let go of what a sink has."""
        if self._sink is not None:
            self._sink.close()
        self._make_sink = self._sink = None

    def skip(self) -> None:
        """Forget the mail that is coming, octet for octet as it comes. At its end `data` says TOO_BIG."""
        self._is_skipping = True
        self.abandon()

    def _go_on(self) -> None:
        """The end has not come: keep what is needed to find it."""
        buffer = self._buffer
        if self._handed_on + len(buffer) - len(_END) + 1 > self._most:  # so much of the end of data may be there already
            self._is_skipping = True
            self.abandon()
        if self._is_skipping:
            del buffer[: -len(_END) + 1]
        elif self._make_sink is not None and len(buffer) > (LARGE if self._sink is None else _PIECE):
            if self._sink is None:
                self._sink = self._make_sink()
            self._hand_on(len(buffer) - len(_END) + 1)
        self._searched = max(0, min(self._searched, len(buffer) - len(_END) + 1))

    def _hand_on(self, end: int) -> None:
        """Give the sink what stands before `end`. Its last two octets stay, as the first two of what is left: a dot may follow them."""
        assert self._sink is not None
        self._sink.add(_unstuffed(self._buffer, end - 2, has_dots=self._has_dots))
        del self._buffer[: end - 2]
        self._handed_on += end - 2
        self._searched = 0
        self._has_dots = False

    def _end_of_data(self) -> int:
        """Where the end of data is, -1 when it is not there yet. Most mails have no other line with a dot: one search finds out both."""
        if not self._has_dots:
            found = _DOT.search(self._buffer, self._searched)
            if found is None:
                self._searched = len(self._buffer)
                return -1
            first = self._searched = found.start()
            if self._buffer.startswith(_END, first):
                return first
            if len(self._buffer) - first < len(_END):
                return -1
            self._has_dots = True
        end = self._buffer.find(_END, self._searched)
        if end < 0:
            self._searched = len(self._buffer)
        return end


def _unstuffed(buffer: bytearray, end: int, *, has_dots: bool) -> bytes:
    with memoryview(buffer) as view:
        if not has_dots:
            return bytes(view[2 : end + 2])
        return bytes(view[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
