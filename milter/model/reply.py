"""An SMTP reply as one value: code, enhanced code, text for the peer, cause for the log.

RFC 5321 §4.2, RFC 3463. Must not know who gave it: the next hop's replies and our own are the same kind of value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from milter.model.quick import quick

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")


@quick
@dataclass(frozen=True, slots=True)
class Reply:
    """`lines` is the text of each line, without code and line end but with its enhanced code when it has one.

    Undecodable octets are surrogates (PEP 383), so `octets` gives back what the next hop sent. `cause` is for the log alone and holds no
    personal data. Raises ValueError for a code outside 200 to 599 and for a text that would break the protocol.
    """

    code: int
    lines: tuple[str, ...]
    cause: str = ""

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599 or not self.lines:
            raise ValueError(f"not an SMTP reply: {self.code} with {len(self.lines)} lines")
        for line in self.lines:
            if "\r" in line or "\n" in line:
                raise ValueError("line end inside the text of a reply")

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463) of the first line, or ""."""
        found = _ENHANCED.match(self.lines[0])
        return found.group() if found else ""

    @property
    def is_positive(self) -> bool:
        """2xx: done."""
        return self.code < 300

    @property
    def is_refusal(self) -> bool:
        """4xx or 5xx."""
        return self.code >= 400

    @property
    def text(self) -> str:
        """Code and text in one line, for the log and for messages."""
        return f"{self.code} {' '.join(self.lines)}"

    @property
    def octets(self) -> bytes:
        """The reply on the wire, each line with its CRLF."""
        if len(self.lines) == 1:
            return f"{self.code} {self.lines[0]}\r\n".encode("utf-8", "surrogateescape")
        last = len(self.lines) - 1
        text = "".join(f"{self.code}{' ' if number == last else '-'}{line}\r\n" for number, line in enumerate(self.lines))
        return text.encode("utf-8", "surrogateescape")


def reply(code: int, enhanced: str, text: str, *, cause: str = "") -> Reply:
    """A reply of our own, one line. `text` is trusted or cleaned by the caller."""
    return Reply(code, (f"{enhanced} {text}",), cause)
