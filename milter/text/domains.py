"""Domain names as mails write them, and the public suffix list: what is registered by whom.

Knows IDNA (RFC 5891, UTS #46), the forms of IP literals (RFC 5321 §4.1.3) and the algorithm of publicsuffix.org. Must not
know mail or insurers, and reads no file: whoever starts the program hands the list in (`use_list`).

publicsuffix2 is the matcher. Nobody else calls it, because as it stands it (a) takes every inner node of a longer rule for
a rule (`amazonaws.com`), (b) gives a bare suffix back as if somebody had registered it, and (c) knows no default rule for
an unlisted top level.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna
from publicsuffix2 import PublicSuffixList

from milter.model.domain import Domain

MAX_WRITTEN = 1_024
_CACHED = 16_384
_PLAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*").fullmatch
_DOTS = str.maketrans({"。": ".", "．": ".", "｡": "."})  # UTS #46 §4: these separate labels too
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch
_PRIVATE_SECTION = "===BEGIN PRIVATE DOMAINS==="


def parse_domain(text: str) -> Domain | None:
    """The domain that `text` writes, as A-labels; None when it is empty, an IP literal, too long or no host name.

    A label that IDNA forbids is kept as raw Punycode and an `xn--` label that does not decode is kept as it is: mail
    programs show such names, so they must be looked at. Do not conclude that the name can exist in the DNS.
    """
    if len(text) > MAX_WRITTEN:
        return None
    return _parse(text)


@lru_cache(maxsize=_CACHED)
def _parse(text: str) -> Domain | None:
    name = text.strip().lower()
    if not name.isascii():
        name = ".".join(_a_label(label) for label in name.translate(_DOTS).split("."))
    if name.endswith("."):
        name = name[:-1]
    if len(name) > 253 or not _PLAIN(name) or _NUMERIC_END(name):
        return None
    return Domain(name)


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        # RFC 5891 §4, with the mapping of UTS #46 first
        return idna.encode(label, uts46=True, std3_rules=False).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError, ValueError, IndexError):
        pass
    try:
        raw = "xn--" + label.encode("punycode").decode("ascii").lower() if len(label) < 64 else ""
    except (UnicodeError, ValueError):
        return ""
    return raw if len(raw) < 64 else ""


def is_ip_literal(text: str) -> bool:
    """True for an address in place of a host name: `192.0.2.1`, `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `2001:db8::1`."""
    inner = text.strip().lower()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1].removeprefix("ipv6:")
    if ":" not in inner and not inner[-1:].isdecimal():
        return False  # most names, and far quicker than what follows
    try:
        ipaddress.ip_address(inner)
    except ValueError:
        return False
    return True


def to_unicode(domain: Domain) -> str:
    """The name as a reader sees it: A-labels decoded where they can be, else as they are."""
    name = domain.name
    if "xn--" not in name:
        return name
    return ".".join(_u_label(label) for label in name.split("."))


@lru_cache(maxsize=_CACHED)
def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        # RFC 3492 by hand of the codec: IDNA's own check would hide exactly the labels that deceive
        text = label[4:].encode("ascii").decode("punycode").lower()
    except (UnicodeError, ValueError, OverflowError, IndexError):
        return label
    return text if text.isprintable() and " " not in text and "." not in text and not text.isascii() else label


class SuffixList:
    """One public suffix list, ICANN and private section, compiled from the text of `public_suffix_list.dat`."""

    __slots__ = ("_exceptions", "_matcher", "_rules", "private", "version")

    def __init__(self, text: str) -> None:
        """Raises ValueError when the text holds no rule: with an empty list every name would be its own owner."""
        self.version = ""
        rules, private, in_private = [], [], False
        for raw in text.splitlines():
            line = raw.strip()
            if line.startswith("//"):
                in_private = in_private or _PRIVATE_SECTION in line
                self.version = self.version or line.partition("VERSION:")[2].strip()
            elif line:
                rule = _rule(line.split()[0])
                rules.append(rule)
                if in_private:
                    private.append(rule)
        if not rules:
            raise ValueError("the public suffix list holds no rule")
        self._matcher = PublicSuffixList(rules, idna=False)
        self._rules = frozenset(rule for rule in rules if not rule.startswith("!"))
        self._exceptions = frozenset(rule[1:] for rule in rules if rule.startswith("!"))
        self.private = frozenset(private)

    def public_suffix(self, name: str) -> str:
        """The suffix of `name` (lower-case A-labels) under which names are registered; an unlisted top level is one."""
        node: str = self._matcher.get_tld(name)
        if node in self._rules:
            return node
        labels = name.split(".")
        start = len(labels) - node.count(".") - 1
        if start and ".".join(labels[start - 1 :]) in self._exceptions:
            return node
        while start < len(labels) - 1:
            suffix, parent = ".".join(labels[start:]), ".".join(labels[start + 1 :])
            if suffix in self._rules or "*." + parent in self._rules:
                return suffix
            start += 1
        return labels[-1]

    def is_private(self, suffix: str) -> bool:
        """True when `suffix` is a service that gives names to strangers (`pages.dev`), not a registry."""
        return suffix in self.private or "*." + suffix.partition(".")[2] in self.private


def _rule(written: str) -> str:
    if written.isascii():
        return written.lower()
    return ".".join(label if label.isascii() else idna.encode(label, uts46=True).decode("ascii") for label in written.split("."))


_current: SuffixList | None = None


def use_list(text: str) -> SuffixList:
    """Make the list in `text` the one that this process judges by. Raises ValueError when it holds no rule."""
    return put_back(SuffixList(text))


def put_back(known: SuffixList) -> SuffixList:
    """Judge by a list that was in use before."""
    global _current
    _current = known
    public_suffix.cache_clear()
    registrable.cache_clear()
    return known


def current_list() -> SuffixList:
    """The list in use. Raises RuntimeError when none was handed in: guessing would let strangers align."""
    if _current is None:
        raise RuntimeError("no public suffix list: call milter.text.domains.use_list first")
    return _current


@lru_cache(maxsize=_CACHED)
def public_suffix(domain: Domain) -> Domain:
    """The public suffix (private section included) that `domain` is, or lies under."""
    return Domain(current_list().public_suffix(domain.name))


@lru_cache(maxsize=_CACHED)
def registrable(domain: Domain) -> Domain | None:
    """The name that one owner registered: public suffix and one label. None for a bare suffix."""
    name = domain.name
    suffix = current_list().public_suffix(name)
    if len(suffix) == len(name):
        return None
    start = name.rfind(".", 0, len(name) - len(suffix) - 1) + 1
    return domain if start == 0 else Domain(name[start:])


def same_organization(a: Domain, b: Domain) -> bool:
    """True when both lie under one registrable name, or are the same name. Not DMARC alignment (that is a tree walk)."""
    return a.name == b.name or ((owner := registrable(a)) is not None and owner == registrable(b))
