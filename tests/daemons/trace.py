"""Sets trace fields apart from the mail itself, in files that virtual(8) delivered (line ends are LF there).

Only what stands on top of the mail and bears one of the stand's own names is trace; the same field further down belongs to the mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tests.daemons import gateway, stand

_OF_DELIVERY = (b"return-path", b"x-original-to", b"delivered-to")
_OF_US = (b"x-insurer-milter", b"x-insurer-milter-reason")
_STATIONS = (stand.HOSTNAME.encode(), gateway.HOSTNAME.encode())


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered file in two: `trace` fields (whole, with folds) in order, and the `mail` as octets."""

    trace: tuple[bytes, ...]
    mail: bytes

    def values(self, name: str) -> list[str]:
        """Values of the trace fields of this name, unfolded."""
        start = name.lower().encode() + b":"
        found = [one[len(start) :] for one in self.trace if one.lower().startswith(start)]
        return [b" ".join(value.split()).decode("utf-8", "replace") for value in found]

    @property
    def action(self) -> str:
        """What X-Insurer-Milter says was done, "" without such a field."""
        for value in self.values("X-Insurer-Milter"):
            return value.partition("action=")[2].partition(";")[0].strip()
        return ""


def split(octets: bytes) -> Delivered:
    """Read trace fields from the top until a field that is none. Each field of the delivery counts once."""
    trace: list[bytes] = []
    left = list(_OF_DELIVERY)
    rest = octets
    while True:
        whole, after = _field(rest)
        name, _, value = whole.partition(b":")
        key = name.lower()
        if key in left and not any(one.lower().startswith(b"received:") for one in trace):
            left.remove(key)
        elif not (key in _OF_US or (key == b"received" and _is_station(value)) or (key == b"authentication-results" and _is_by_us(value))):
            return Delivered(tuple(trace), rest)
        trace.append(whole)
        rest = after


def _field(octets: bytes) -> tuple[bytes, bytes]:
    end = octets.find(b"\n")
    while end >= 0 and octets[end + 1 : end + 2] in (b" ", b"\t"):
        end = octets.find(b"\n", end + 1)
    return (octets, b"") if end < 0 else (octets[: end + 1], octets[end + 1 :])


def _is_station(value: bytes) -> bool:
    words = value.split()
    return any(first == b"by" and second in _STATIONS for first, second in pairwise(words))


def _is_by_us(value: bytes) -> bool:
    return value.strip().startswith(gateway.HOSTNAME.encode() + b";")
