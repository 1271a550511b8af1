"""A parsed mail: what `mime` makes of raw octets, and all that auth, identity and content read.

Every value is hostile. Offsets are into `raw`; nothing here is ever serialised back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from milter.model.address import Address, Author
from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Field:
    """One header field. `raw[start:end]` is the whole field with its line end(s).

    `name` is as written, without blanks before the colon; `value` is everything after the colon as written,
    folds included, without the last line end. `key` is the lower-case name as text.
    """

    key: str
    name: bytes
    value: bytes
    start: int
    end: int


@quick
@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of the MIME tree. `text` is the decoded text of text/* parts, else "".

    `octets` is the decoded payload of other parts. `depth` counts multiparts above it.
    """

    content_type: str
    filename: str = ""
    disposition: str = ""
    text: str = ""
    octets: bytes = b""
    depth: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Link:
    """One link as written. `url` is the target; `text` what the reader sees (of plain text: the URL itself).

    `place`: `html` (a href), `form` (form action), `text` (plain text), `area`, `button`.
    """

    url: str
    text: str
    place: str


@quick
@dataclass(frozen=True, slots=True)
class Words:
    """The text that a reader sees. `own` is the author's, `quoted` what he answers or forwards, `signature` below it."""

    own: str = ""
    quoted: str = ""
    signature: str = ""
    hidden: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Message:
    """The whole reading of one mail. `raw` are the received octets, `body_start` the offset of the body in them.

    `defects` names what is broken in fixed words, `incomplete` what was not looked at and why.
    """

    raw: bytes
    fields: tuple[Field, ...]
    body_start: int
    author: Author
    subject: str = ""
    sender: Address | None = None
    reply_to: tuple[Address, ...] = ()
    parts: tuple[Part, ...] = ()
    words: Words = field(default_factory=Words)
    links: tuple[Link, ...] = ()
    is_list: bool = False
    is_auto: bool = False
    defects: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()

    def all(self, key: str) -> tuple[Field, ...]:
        """Every field with this lower-case name, from the top."""
        return tuple([field for field in self.fields if field.key == key])

    @property
    def body(self) -> bytes:
        """The octets after the empty line."""
        return self.raw[self.body_start :]
