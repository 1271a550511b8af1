"""Mail that is delivered unjudged because the settings say so: from listed clients, or submitted by users who have logged in.

RFC 3848 (`ESMTPA` and the like in the `with` clause of Received), RFC 6531 §4.3. Must not know how a mail is delivered. In doubt a mail is judged:
an unknown client is never a listed one, and a trusted server's Received that says `with` twice says nothing, since a stranger's words stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from milter.model.mail import Mail

INTERNAL, AUTHENTICATED = "internal", "authenticated"
_SEARCHED = 65_536  # octets in which the topmost Received must begin
_LONGEST = 4_096
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\n(?![ \t])")
_WITH = re.compile(rb"\bwith\s+([A-Za-z0-9-]*smtp[A-Za-z0-9-]*)", re.IGNORECASE)
_LOGGED_IN = frozenset((b"ESMTPA", b"ESMTPSA", b"UTF8SMTPA", b"UTF8SMTPSA"))

Networks = Sequence[IPv4Network | IPv6Network]


def reason(mail: Mail, clients: Networks, *, authenticated: bool, is_trusted: bool) -> str:
    """`internal`, `authenticated`, or "" for a mail that is judged.

    `is_trusted`: a listed peer handed it to us, so its first Received is believed.
    """
    if clients and mail.connection.client_ip and contains(clients, mail.connection.client_ip):
        return INTERNAL
    return AUTHENTICATED if authenticated and is_trusted and _is_logged_in(mail.raw) else ""


def contains(networks: Networks, text: str) -> bool:
    """Whether an address is in one of the networks; an IPv4 address mapped into IPv6 counts as itself. Anything else is in none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def _is_logged_in(raw: bytes) -> bool:
    if raw.startswith((b"\r\n", b"\n")):  # no header section
        return False
    end = _HEADER_END.search(raw, 0, _SEARCHED)
    found = _RECEIVED.search(raw, 0, end.start() + 1 if end else _SEARCHED)
    if found is None:
        return False
    longest = found.end() + _LONGEST
    stop = _LINE_END.search(raw, found.end(), longest)
    if stop is None or stop.end() == longest:
        return False
    said = _WITH.findall(raw, found.end(), stop.start())
    return len(said) == 1 and said[0].upper() in _LOGGED_IN
