"""The one door that writes header fields (promise 5), and the edits that carry a decision out.

Knows our fields and the sender's copies of them. Must not change a verdict. Everything in a header comes from an attacker: it is
cleaned, encoded and folded here and nowhere else. RFC 5322 §2.2, RFC 2047, RFC 8601 §5 (removing forged Authentication-Results).
"""

from __future__ import annotations

from milter.actions import encode


def field(name: str, value: str | bytes) -> bytes:
    """One whole header field ending in CRLF, printable ASCII, lines folded at 76 octets where possible and never longer than 998.

    `value` as str is free text: shown exactly, RFC 2047 where needed, runs of blanks made one. As bytes it is a structured value (its folding
    is undone and done anew; an octet that is not printable ASCII becomes `?`, nothing is encoded). Control characters go, line ends become
    blanks. `name` is ours: ValueError when it is no field name.
    """
    if not name or len(name) > 76 or not all(33 <= ord(char) <= 126 and char != ":" for char in name):
        raise ValueError(f"not a header field name: {name[:80]!r}")
    start = f"{name}:"
    if isinstance(value, bytes):
        words = encode.clean(value.decode("ascii", "replace").replace("\ufffd", "?")).split(" ")
    else:
        words = encode.unstructured(encode.clean(value), len(start))
    return encode.fold(start, words).encode("ascii") + b"\r\n"
