"""Personal data as a log or a list may show it: addresses with their local part hidden, domains without long numbers.

Must not know where it is shown. Whatever comes in, what comes out is printable and short.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 253
_ODD = re.compile(r"[^\w.:\[\]-]")
# A phone number, a social-security number or an account number is longer; so are some IP addresses in host names, which are hidden as well.
_IS_NUMBER = re.compile(r"(?:\D*\d){9}").match
_DIGIT = re.compile(r"\d")


def masked(address: str) -> str:
    """`jean.dupont@example.org` as `j…@example.org`; an address without domain as `p…`; "" for the null sender."""
    local, at, domain = address.rpartition("@")
    if not at:
        return f"{_first(address)}…" if address else ""
    return f"{_first(local)}…@{shown_domain(domain)}"


@lru_cache(maxsize=2_048)
def shown_domain(domain: str) -> str:
    """A domain as it may be shown: lower case (which spoils what is hidden in it as base64), `?` for what no domain holds, at most 253 characters,

    and `#` for its digits when there are nine or more of them.
    """
    shown = _ODD.sub("?", domain[:_LONGEST].lower())
    return _DIGIT.sub("#", shown) if _IS_NUMBER(shown) else shown


def _first(text: str) -> str:
    return text[0] if text and text[0].isprintable() else "?" if text else ""
