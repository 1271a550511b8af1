"""A made-up DNS: names with their records, and what a resolver would answer for each of them.

Feeds the embedded server (demo, bench) and the dictionary resolver of tests; real mail never meets it. Knows
CNAMEs (RFC 1034 §3.6.2), empty non-terminals (RFC 8020) and planned failures; knows no delegation, no wildcard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milter.auth.resolver import DnsStatus

Value = str | bytes
Records = Mapping[str, "Mapping[str, Sequence[Value] | str] | str"]
"""Name → kind → values. A bare word in the place of the kinds or of the values is a failure: `SERVFAIL`, `TIMEOUT` …"""

_FAILURES = {status.name: status for status in DnsStatus if status is not DnsStatus.OK}
_CNAME_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What the zone holds for one question: the aliases that were followed (owner, target), then the values."""

    status: DnsStatus
    owner: str
    aliases: tuple[tuple[str, str], ...] = ()
    values: tuple[Value, ...] = ()


class Zone:
    """Records by name. Values are as in a zone file: TXT whole (str is UTF-8), MX `10 host`, addresses as text."""

    def __init__(self, records: Records) -> None:
        """Raise ValueError for a failure word that is not a status."""
        self._failures: dict[tuple[str, str], DnsStatus] = {}
        self._values: dict[tuple[str, str], tuple[Value, ...]] = {}
        self._names: set[str] = set()
        for name, kinds in records.items():
            self.put(name, kinds)

    def put(self, name: str, kinds: Mapping[str, Sequence[Value] | str] | str) -> None:
        """Add records or a failure for one name; a kind that is there already is replaced."""
        owner = _canonical(name)
        if isinstance(kinds, str):
            self._failures[owner, "*"] = _failure(kinds)
            return
        for kind, values in kinds.items():
            if isinstance(values, str):
                self._failures[owner, kind.upper()] = _failure(values)
            else:
                self._values[owner, kind.upper()] = tuple(values)
            self._know(owner)

    def add(self, name: str, kind: str, value: Value) -> None:
        """Add one value beside those that are there."""
        key = (_canonical(name), kind.upper())
        self._values[key] = (*self._values.get(key, ()), value)
        self._know(key[0])

    def find(self, name: str, kind: str) -> Found:
        """Answer one question as a recursive resolver would, CNAMEs followed."""
        owner, kind = _canonical(name), kind.upper()
        aliases: list[tuple[str, str]] = []
        for _ in range(_CNAME_LIMIT):
            failure = self._failures.get((owner, kind)) or self._failures.get((owner, "*"))
            if failure is not None:
                return Found(failure, owner, tuple(aliases))
            values = self._values.get((owner, kind))
            if values:
                return Found(DnsStatus.OK, owner, tuple(aliases), values)
            target = self._values.get((owner, "CNAME"))
            if not target:
                status = DnsStatus.NODATA if owner in self._names else DnsStatus.NXDOMAIN
                return Found(status, owner, tuple(aliases))
            aliases.append((owner, _canonical(_text(target[0]))))
            owner = aliases[-1][1]
        return Found(DnsStatus.SERVFAIL, owner, tuple(aliases))

    def _know(self, owner: str) -> None:
        """Remember the name and every name above it: those exist without records (RFC 8020 §2)."""
        while owner and owner not in self._names:
            self._names.add(owner)
            owner = owner.partition(".")[2]


def read_zone(text: str) -> Zone:
    """Read `name KIND value` lines; `#` begins a comment line. `name FAILURE` or `name KIND FAILURE` plans a failure.

    TXT is the rest of the line, or strings in double quotes that are joined. Raises ValueError with the line number.
    """
    zone = Zone({})
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 2)
        if not words or words[0].startswith("#"):
            continue
        try:
            _read_line(zone, words)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return zone


def _read_line(zone: Zone, words: list[str]) -> None:
    if len(words) == 2:
        zone.put(words[0], words[1].upper())
    elif len(words) == 3:
        name, kind, value = words[0], words[1].upper(), words[2].strip()
        if value in _FAILURES:
            zone.put(name, {kind: value})
        elif kind == "TXT" and value.startswith('"'):
            zone.add(name, kind, _unquote(value))
        else:
            zone.add(name, kind, value)
    else:
        raise ValueError("expected `name KIND value` or `name FAILURE`")


def _unquote(value: str) -> str:
    """Join the strings of `"one" "two"`; a backslash takes the next character as it is."""
    out: list[str] = []
    inside = escaped = False
    for char in value:
        if escaped:
            out.append(char)
            escaped = False
        elif inside and char == "\\":
            escaped = True
        elif char == '"':
            inside = not inside
        elif inside:
            out.append(char)
        elif not char.isspace():
            raise ValueError("text outside the double quotes")
    if inside:
        raise ValueError("double quote not closed")
    return "".join(out)


def _failure(word: str) -> DnsStatus:
    status = _FAILURES.get(word.upper())
    if status is None:
        raise ValueError(f"unknown failure {word!r}; known: {', '.join(_FAILURES)}")
    return status


def _canonical(name: str) -> str:
    return name.rstrip(".").lower()


def _text(value: Value) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
