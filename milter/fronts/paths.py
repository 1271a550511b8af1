"""The arguments of MAIL and RCPT: a path and parameters.

RFC 5321 §4.1.2, read as mail servers read it: quoted local parts, address literals, null sender, names without domain (postmaster), a
missing pair of brackets; source routes are dropped (RFC 5321 appendix C). RFC 6531 for addresses beyond ASCII. Must not know which
parameters exist. What is taken is passed on as it was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from milter.model.quick import quick
from milter.model.reply import Reply, reply

# Each alternative begins with another character, and the groups are atomic: linear.
_ATOM = r"[^\x00-\x20\x7f\"(),:;<>@\[\\\]]"
_LOCAL = rf"(?>(?:{_ATOM}|\"(?>(?:[^\"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)\")+)"
_DOMAIN = rf"(?>{_ATOM}+|\[[^\x00-\x20\x7f\[\]\\]+\])"
_ADDRESS = rf"{_LOCAL}(?:@{_DOMAIN})?"
_ROUTE = r"(?>(?:@[^\x00-\x20\x7f\"<>:]+:)?)"
_PATH = re.compile(rf" *(?:<{_ROUTE}({_ADDRESS})?>|({_ADDRESS})(?= |\Z)) *")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:=[^\x00-\x20=\x7f]+)?")
_MOST_PARAMETERS = 20


@quick
@dataclass(frozen=True, slots=True)
class Path:
    """`address` as written, without brackets and route ("" is the null sender); `parameters` as written (`NAME` or `NAME=value`)."""

    address: str
    parameters: tuple[str, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The value of a parameter (name in upper case), "" when it has none, None when it is not there."""
        for one in self.parameters:
            key, _, value = one.partition("=")
            if key.upper() == name:
                return value
        return None

    @property
    def octets(self) -> bytes:
        """The address for the next hop."""
        return self.address.encode("utf-8")

    @property
    def parameter_octets(self) -> tuple[bytes, ...]:
        """The parameters for the next hop."""
        return tuple(one.encode("utf-8") for one in self.parameters)


def read(keyword: str, argument: str | None) -> Path | Reply:
    """Read the argument of MAIL (`keyword` is "FROM:") or RCPT ("TO:"); a Reply says what is wrong with it.

    `argument` may hold surrogates for octets that are no UTF-8 (PEP 383); those are refused.
    """
    if argument is None or argument[: len(keyword)].upper() != keyword:
        return reply(501, "5.5.4", f"Syntax: {keyword}<address>")
    found = _PATH.match(argument, len(keyword))
    if found is None or (found.end() < len(argument) and argument[found.end() - 1] != " "):
        return reply(501, "5.1.7" if keyword == "FROM:" else "5.1.3", "Address that cannot be read")
    address = found[1] or found[2] or ""
    rest = argument[found.end() :]
    parameters = tuple(one for one in rest.split(" ") if one) if rest else ()
    if not argument.isascii() and not _is_utf8(argument):
        return reply(501, "5.5.2", "Neither ASCII nor UTF-8")
    if len(parameters) > _MOST_PARAMETERS or not all(_PARAMETER.fullmatch(one) for one in parameters):
        return reply(501, "5.5.4", "Parameter that cannot be read")
    return Path(address, parameters)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
