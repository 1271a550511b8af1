"""A link as written → the host that a click goes to, and the tricks in it.

Knows how browsers read addresses (WHATWG URL §4.4: blanks dropped, backslashes, missing slashes, user names before "@"); must not know
mails or insurers. Never raises; never fetches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from milter.model.domain import Domain
from milter.model.quick import quick
from milter.text.domains import parse_domain


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_USUAL = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253})(?:[/?#]|\Z)")  # no trick can hide in front of this host
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):")
_DROPPED = re.compile(r"[\t\r\n]")
_AUTHORITY_END = re.compile(r"[/\\?#]")
_WEB = frozenset(("http", "https", "ftp"))
_BARE = re.compile(r"(?:[\w-]{1,63}\.){1,10}[^\W\d_]{2,24}(?:[:/?#].*)?\Z", re.DOTALL)
_SHOWN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}([^\W\d_]{2,24})\Z")
# Endings of file names that are no top-level domains anybody sees in a letter.
_FILE_ENDINGS = _names("pdf doc docx xls xlsx ppt pptx odt ods txt rtf csv zip rar jpg jpeg png gif htm html xml eml msg ics vcf exe")
_LONGEST = 4_096


@quick
@dataclass(frozen=True, slots=True)
class Target:
    """Where a click goes. `scheme` is lower case ("" for a relative link), `host` None for an IP address or none.

    `is_web` is True when a browser would load something; `pretends` is a domain written before the "@" of the address.
    """

    scheme: str
    host: Domain | None = None
    is_web: bool = False
    pretends: Domain | None = None


def read(url: str) -> Target:
    """Read a link's target."""
    if usual := _USUAL.match(url):
        return Target(usual[1], parse_domain(usual[2]), True)
    url = _DROPPED.sub("", url[:_LONGEST]).strip("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x1f \xa0")
    match = _SCHEME.match(url)
    if match and not _looks_like_port(url, match.end()):
        scheme = match[1].lower()
        if scheme not in _WEB:
            return Target(scheme, is_web=scheme in ("data", "javascript", "vbscript", "file"))
        rest = url[match.end() :].lstrip("/\\")
    elif url.startswith(("//", "\\\\", "/\\", "\\/")):
        scheme, rest = "https", url.lstrip("/\\")
    elif _BARE.match(url):
        scheme, rest = "http", url
    else:
        return Target("")
    end = _AUTHORITY_END.search(rest)
    authority = rest[: end.start()] if end else rest
    user, at, host = authority.rpartition("@")
    pretends = shown_domain(unquote(user).split("@")[-1].split(":")[0]) if at else None
    return Target(scheme, parse_domain(_without_port(unquote(host))), True, pretends)


def hosts(urls: Iterable[str]) -> set[Domain]:
    """The hosts of those that a browser would load."""
    written: set[str] = set()
    found: set[Domain | None] = set()
    for url in urls:
        if usual := _USUAL.match(url):
            written.add(usual[2])  # the same few come again and again
        elif (target := read(url)).is_web:
            found.add(target.host)
    found.update(map(parse_domain, written))
    return {host for host in found if host is not None}


def _looks_like_port(url: str, pos: int) -> bool:
    """`host.example:8080/x` has no scheme."""
    return "." in url[: pos - 1] and url[pos : pos + 1].isdigit()


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) else host


def shown_domain(text: str) -> Domain | None:
    """The domain that a word shows to a reader, when it shows one; file names and plain words show none."""
    word = text.strip().strip("<>()[]{}\"'.,;:!?»«").rstrip("/")
    if "://" in word:
        return read(word).host
    word = re.split(r"[/?#:]", word, maxsplit=1)[0]
    match = _SHOWN.match(word) if len(word) <= 253 else None
    return parse_domain(word) if match and match[1].lower() not in _FILE_ENDINGS else None
