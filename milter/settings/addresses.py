"""`HOST:PORT` and IP networks as the settings and the command line write them.

Pure text; asks no DNS. IPv6 stands in brackets before a port (RFC 3986 §3.2.2).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostPort:
    """One end of a TCP or UDP conversation. `host` has no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def reaches(self, listening: HostPort) -> bool:
        """True when a connection to this end surely arrives at `listening` on the same machine."""
        if self.port != listening.port:
            return False
        if self.host == listening.host:
            return True
        ours, theirs = _loopback(self.host), _loopback(listening.host)
        return (ours and theirs and "localhost" in (self.host, listening.host)) or (ours and listening.host in ("0.0.0.0", "::"))  # noqa: S104  # compared, never bound


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ip(host: str) -> bool:
    """True for an IPv4 or IPv6 address without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_port(text: str, *, default_port: int | None = None) -> HostPort:
    """Read `HOST:PORT`, `[IPV6]:PORT` and, with a default port, `HOST`. Raises ValueError with words for the user."""
    host, port = _split(text)
    if port is None:
        if default_port is None:
            raise ValueError(f"the port is missing: write `{f'[{host}]' if ':' in host else host or '127.0.0.1'}:PORT`")
        return HostPort(_host(host, text), default_port)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError(f"the port must be a number from 1 to 65535, not {port[:20]!r}")
    return HostPort(_host(host, text), int(port))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address with a port is written `[ADDRESS]:PORT`")
        if not is_ip(host):
            raise ValueError(f"not an IPv6 address in the brackets: {host[:60]!r}")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        if is_ip(text):
            return text, None
        raise ValueError("an IPv6 address with a port is written `[ADDRESS]:PORT`")
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _host(host: str, text: str) -> str:
    if is_ip(host):
        return host
    if all(part.isdigit() for part in host.split(".")):
        raise ValueError(f"not an IP address or host name: {text[:60]!r}")
    problem = host_name_problem(host)
    if problem:
        raise ValueError(problem)
    return host.lower()


def host_name_problem(host: str) -> str | None:
    """What is wrong with a host name (RFC 1123 §2.1), or None."""
    if not host:
        return "the host is missing"
    if len(host) > 253:
        return "a host name has at most 253 characters"
    for label in host.rstrip(".").split("."):
        if not 0 < len(label) < 64 or label[0] == "-" or label[-1] == "-" or not label.isascii() or not label.replace("-", "").isalnum():
            return f"not a host name: {host[:60]!r} (letters, digits and hyphens, separated by dots)"
    return None


def network_problem(text: str) -> str | None:
    """What is wrong with an IP address or network, or None."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            wide = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f"not an IP address or network such as `192.0.2.0/24`: {text[:60]!r}"
        return f"the network has host bits set; did you mean `{wide}`?"
    return None
