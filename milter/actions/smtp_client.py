"""The client side of SMTP without sockets: octets in, replies out; commands and mails into octets.

RFC 5321 (SMTP), 1870 (SIZE), 2920 (PIPELINING), 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8), and Postfix's XFORWARD. Must not know time,
connections or why a mail is sent. The next hop is a peer like any other: each reply has a limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import IncrementalNewlineDecoder

from milter.model.reply import Reply

MAX_LINE = 4_096  # RFC 5321 §4.5.3.1.5 says 512; EHLO answers and SMTPUTF8 texts are longer in the wild
MAX_REPLY = 65_536
MAX_REPLY_LINES = 500
_XFORWARD_LINE = 480  # RFC 5321 §4.5.3.1.4: a command line has at most 512 octets

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_PARAMETER = re.compile(rb"[!-~]+")
_DOT = re.compile(rb"\r\n\.")  # found in a third of the time that `in` takes
_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), 127), "?")


class BrokenReply(ValueError):  # noqa: N818  # says what it is
    """The peer does not speak SMTP; the text says how, without quoting it."""


class ReplyReader:
    """Makes replies out of octets, however they are cut into pieces. Useless after it has raised BrokenReply."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = b""
        self._lines: list[str] = []
        self._octets = 0

    def feed(self, octets: bytes) -> list[Reply]:
        """The replies that are complete now. Raises BrokenReply."""
        *lines, rest = (self._rest + octets).split(b"\n")
        if len(rest) > MAX_LINE:
            raise BrokenReply("a reply line that is too long")
        self._rest = rest
        replies: list[Reply] = []
        for line in lines:
            self._add(line, replies)
        return replies

    def _add(self, line: bytes, replies: list[Reply]) -> None:
        found = _REPLY_LINE.fullmatch(line.removesuffix(b"\r"))
        if found is None or (self._code and found[1] != self._code):
            raise BrokenReply("something that is no SMTP reply")
        self._octets += len(line)
        self._lines.append((found[3] or b"").decode("utf-8", "surrogateescape").translate(_CONTROLS))
        if len(line) > MAX_LINE or self._octets > MAX_REPLY or len(self._lines) > MAX_REPLY_LINES:
            raise BrokenReply("a reply that is too long")
        if found[2] == b"-":
            self._code = found[1]
            return
        replies.append(Reply(int(found[1]), tuple(self._lines)))
        self._code, self._lines, self._octets = b"", [], 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers in its EHLO reply. `size` is None when SIZE is not offered, 0 when it names no maximum.

    The default is the minimum, which holds while nothing is known.
    """

    size: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    enhanced_codes: bool = False
    pipelining: bool = False
    xforward: frozenset[str] = field(default_factory=frozenset)

    def supports(self, parameter: str) -> bool:
        """Whether a MAIL or RCPT parameter of this name (upper case) may be used. False for one we do not know."""
        if parameter == "SIZE":
            return self.size is not None
        if parameter == "BODY":
            return self.eight_bit
        if parameter == "SMTPUTF8":
            return self.smtputf8
        return self.dsn and parameter in ("RET", "ENVID", "NOTIFY", "ORCPT")


def read_capabilities(reply: Reply) -> Capabilities:
    """Read the reply to EHLO. Unknown keywords are left out, a broken SIZE counts as one without a maximum."""
    offers = {}
    for line in reply.lines[1:]:
        keyword, _, value = line.strip().partition(" ")
        offers[keyword.upper()] = value
    size = offers.get("SIZE")
    return Capabilities(
        size=None if size is None else int(size) if size.isascii() and size.isdigit() and len(size) <= 20 else 0,
        eight_bit="8BITMIME" in offers,
        smtputf8="SMTPUTF8" in offers,
        dsn="DSN" in offers,
        enhanced_codes="ENHANCEDSTATUSCODES" in offers,
        pipelining="PIPELINING" in offers,
        xforward=frozenset(offers.get("XFORWARD", "").upper().split()),
    )


def parameter_name(parameter: bytes) -> str:
    """The name of `NAME=value` in upper case."""
    return parameter.partition(b"=")[0].upper().decode("ascii", "replace")


def unsupported(parameters: tuple[bytes, ...], offered: Capabilities) -> str | None:
    """The name of the first parameter that a server with these capabilities would not understand, if any."""
    return next((name for name in map(parameter_name, parameters) if not offered.supports(name)), None)


def without_hints(parameters: tuple[bytes, ...], offered: Capabilities) -> tuple[bytes, ...]:
    """The parameters without those that mean nothing to a server that does not offer them: SIZE and BODY=7BIT."""
    return tuple(
        one
        for one in parameters
        if not ((one[:5].upper() == b"SIZE=" and offered.size is None) or (one.upper() == b"BODY=7BIT" and not offered.eight_bit))
    )


def for_resending(given: tuple[bytes, ...], offered: Capabilities, content: bytes) -> tuple[bytes, ...]:
    """MAIL parameters for a mail that is sent some time after it came: RET, ENVID and SMTPUTF8 as given, SIZE and BODY anew, all if offered.

    What can no longer be promised is left out rather than refused: the mail itself can be delivered without (RFC 3461 §5.2.2 for DSN).
    """
    size = len(content) + (0 if content.endswith(b"\r\n") or not content else 2)  # RFC 1870 §6.1: without stuffing and the closing dot
    anew = [b"SIZE=%d" % size] if offered.size is not None else []
    if offered.eight_bit and not content.isascii():
        anew.append(b"BODY=8BITMIME")
    return (*anew, *_offered(given, offered, ("RET", "ENVID", "SMTPUTF8")))


def for_resending_to(given: tuple[bytes, ...], offered: Capabilities) -> tuple[bytes, ...]:
    """RCPT parameters of such a mail: NOTIFY and ORCPT as given, if offered."""
    return _offered(given, offered, ("NOTIFY", "ORCPT"))


def _offered(given: tuple[bytes, ...], offered: Capabilities, names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(one for one in given if (name := parameter_name(one)) in names and offered.supports(name) and _PARAMETER.fullmatch(one))


def path_command(verb: bytes, path: bytes, parameters: tuple[bytes, ...] = ()) -> bytes:
    """`MAIL FROM:<path> parameters` or `RCPT TO:<path> parameters`. The path comes without brackets."""
    if parameters:
        return b"%s:<%s> %s\r\n" % (verb, path, b" ".join(parameters))
    return b"%s:<%s>\r\n" % (verb, path)


def xforward_commands(attributes: Mapping[str, str], offered: frozenset[str]) -> list[bytes]:
    """XFORWARD lines for the attributes that the server understands; values are in xtext already and pass unchanged."""
    commands: list[bytes] = []
    line = ""
    for name, value in attributes.items():
        if name not in offered:
            continue
        if line and len(line) + len(name) + len(value) + 2 > _XFORWARD_LINE:
            commands.append(f"XFORWARD{line}\r\n".encode("ascii"))
            line = ""
        line += f" {name}={value}"
    if line:
        commands.append(f"XFORWARD{line}\r\n".encode("ascii"))
    return commands


def has_whole_line_ends(content: bytes) -> bool:
    """Whether every CR is followed by LF and every LF follows a CR (RFC 5321 §2.3.8). One pass, in C: counting takes four times as long."""
    reader = IncrementalNewlineDecoder(None, translate=False)
    reader.decode(content.decode("latin-1"), final=True)
    return reader.newlines in (None, "\r\n")


def stuffed(content: bytes) -> bytes:
    """The content as DATA carries it (RFC 5321 §4.5.2), its last line ended, without the closing dot.

    Raises ValueError when a line end is not CRLF or a NUL is in it: such octets can hide an end of data from one server and show it to the
    next, so they leave this house through no door.
    """
    if b"\0" in content or not has_whole_line_ends(content):
        raise ValueError("bare CR, bare LF or NUL in a mail that is about to be sent")
    if _DOT.search(content):
        content = content.replace(b"\r\n.", b"\r\n..")
    if content[:1] == b".":
        content = b"." + content
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


class Stuffing:
    """`stuffed` for a content that goes out in pieces: what `feed` gives, and at last `end`, joined, is what `stuffed` gives for all of it.

    Raises ValueError as `stuffed` does, when the octet comes: the transfer must be broken off then, without a final dot.
    """

    def __init__(self) -> None:
        self._before = b"\r\n"
        self._reader = IncrementalNewlineDecoder(None, translate=False)

    def feed(self, octets: bytes) -> bytes:
        """The next piece as DATA carries it."""
        self._reader.decode(octets.decode("latin-1"))
        self._check(has_nul=b"\0" in octets)
        octets = self._before + octets
        self._before = octets[-2:]
        if _DOT.search(octets):
            octets = octets.replace(b"\r\n.", b"\r\n..")
        return octets[2:]

    def end(self) -> bytes:
        """The line end that the last line may lack."""
        self._reader.decode("", final=True)
        self._check(has_nul=False)
        return b"" if self._before == b"\r\n" else b"\r\n"

    def _check(self, *, has_nul: bool) -> None:
        if has_nul or self._reader.newlines not in (None, "\r\n"):
            raise ValueError("bare CR, bare LF or NUL in a mail that is about to be sent")
