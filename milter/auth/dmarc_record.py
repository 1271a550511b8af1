"""DMARC records (RFC 9989 §4.7): choosing the one record of a name and reading its tags.

Knows text; must not know the tree walk. Unknown and nameless tags are ignored, as the RFC asks; a doubled tag makes the
record none at all, as in every tag list (RFC 6376 §3.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from milter.model.quick import quick

_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)").match
_URI = re.compile(r"(?:mailto:[^@\s]+@[^@\s]+|(?!mailto:)[a-z][a-z0-9+.-]*:\S+)", re.IGNORECASE).match
_POLICIES = ("none", "quarantine", "reject")
_LOWERED = {"reject": "quarantine", "quarantine": "none", "none": "none"}
_BLANK = " \t\r\n"
_MAX_RECORD = 16_384
_MAX_URIS = 20
_CACHED = 4_096


@quick
@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """Tags in force. `policy` is "" when the record asks for no DMARC processing; `subdomain` and `absent` are sp and np

    with their defaults filled in; `names_absent` tells whether np was published. `suffix` is psd: `y`, `n` or `u`.
    """

    policy: str
    subdomain: str = ""
    absent: str = ""
    names_absent: bool = False
    suffix: str = "u"
    strict_spf: bool = False
    strict_dkim: bool = False
    testing: bool = False

    def lowered(self, policy: str) -> str:
        """RFC 9989 §4.7 t=y: one step milder."""
        return _LOWERED[policy] if self.testing and policy else policy


def choose_record(texts: tuple[bytes, ...]) -> DmarcRecord | None:
    """The DMARC record among the TXT records of a name. RFC 9989 §4.10: several are all discarded."""
    if not texts:
        return None
    found = [text for text in texts if _VERSION(text)]
    return read_record(found[0]) if len(found) == 1 else None


@lru_cache(maxsize=_CACHED)
def read_record(octets: bytes) -> DmarcRecord | None:
    """Read a record that begins with its version; None when it is void. Never raises."""
    tags: dict[str, str] = {}
    for spec in octets[:_MAX_RECORD].decode("ascii", "replace").split(";"):
        name, equals, value = spec.partition("=")
        name = name.strip(_BLANK).lower()
        if equals and name:
            if name in tags:
                return None
            tags[name] = value.strip(_BLANK)
    policy = tags.get("p", "").lower()
    subdomain = tags.get("sp", policy).lower()
    absent = tags.get("np", subdomain).lower()
    if not all(word in _POLICIES for word in (policy, subdomain, absent)):
        # RFC 9989 §4.10.1: with a usable report address a broken policy is none, without one there is no policy
        policy = subdomain = absent = "none" if _has_address(tags.get("rua", "")) else ""
    suffix = tags.get("psd", "u").lower()
    return DmarcRecord(
        policy,
        subdomain,
        absent,
        names_absent="np" in tags,
        suffix=suffix if suffix in ("y", "n") else "u",
        strict_spf=tags.get("aspf", "").lower() == "s",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        testing=tags.get("t", "").lower() == "y",
    )


def _has_address(rua: str) -> bool:
    """True when at least one report address is a URI."""
    return any(_URI(uri.strip(_BLANK)) for uri in rua.split(",")[:_MAX_URIS])
