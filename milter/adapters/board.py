"""What the workers have under way, in memory that parent and workers share: it outlives a worker that is killed.

Knows shared memory and nothing of mail but a queue id and a stage. One writer a place, its worker; everybody reads. A reader may see a number that
is one event old, never one that is torn: each is one aligned word.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from milter.adapters.ring import Ring

_ID = 16
_RECORD = 24  # id, stage, padding
_NUMBERS = 8  # 64-bit words at the start of a place
_CLIENTS = 16_384  # counters of 16 bits; clients share one when their hashes meet, which only makes a limit stricter
_LINES = 1_048_576
_CONNECTIONS, _OCTETS = 0, 1


class Scarce(IntEnum):
    """What there is only so much of for all workers together."""

    TURNS = 2  # the word on the board of what is taken; the next one says since when somebody waits for it
    OCTETS = 4


class Stage(IntEnum):
    """How far a mail is. While DELIVERING, nobody but the next hop knows whether it was delivered; ANSWERING: it was, or it failed, the log says
    so, and its client may not have heard it yet."""

    FREE = 0
    RECEIVING = 1
    JUDGING = 2
    DELIVERING = 3
    STORING = 4
    ANSWERING = 5


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A mail under way; `queue_id` is "" while it is received."""

    queue_id: str
    stage: Stage


class Place:
    """The part of one worker. `number` is its index on the board, `lines` what it says to the parent without hurry."""

    def __init__(self, number: int, octets: memoryview, mails: int) -> None:
        self.number = number
        words, clients = _NUMBERS * 8, _CLIENTS * 2
        self.lines = Ring(octets[len(octets) - _LINES :])
        self._octets = octets
        self._numbers = octets[:words].cast("q")
        self._clients = octets[words : words + clients].cast("H")
        self._records = octets[words + clients : words + clients + mails * _RECORD]
        self._free = list(range(mails))

    def clear(self) -> None:
        """Forget everything, for the next worker."""
        self._octets[:] = bytes(len(self._octets))
        self._free = list(range(len(self._records) // _RECORD))

    # -- the worker's --

    def connected(self, client: int | None, change: int) -> None:
        """A connection came (1) or went (-1); `client` is a hash of its address, None for one that is not counted by client."""
        self._numbers[_CONNECTIONS] += change
        if client is None:
            return
        bucket = client % _CLIENTS
        self._clients[bucket] = min(max(self._clients[bucket] + change, 0), 0xFFFF)

    def grown(self, octets: int) -> None:
        """So many octets of mails are held more (or fewer)."""
        self._numbers[_OCTETS] += octets

    def take(self, what: Scarce, amount: int) -> None:
        """So much more of it is taken (or less)."""
        self._numbers[what] += amount

    def wait(self, what: Scarce, since: int) -> None:
        """The first of those who wait for it here waits since then (ns of `time.monotonic_ns`); 0: nobody waits."""
        self._numbers[what + 1] = since

    def begin(self) -> int:
        """A mail begins; its number, to be given back to `end`. -1 when the board is full: the mail is then only not seen."""
        if not self._free:
            return -1
        mail = self._free.pop()
        self._records[mail * _RECORD + _ID] = Stage.RECEIVING
        return mail

    def mark(self, mail: int, stage: Stage, queue_id: str = "") -> None:
        """The mail reaches a stage."""
        if mail < 0:
            return
        start = mail * _RECORD
        if queue_id:
            self._records[start : start + _ID] = queue_id.encode("ascii", "replace")[:_ID].ljust(_ID, b"\0")
        self._records[start + _ID] = stage

    def end(self, mail: int) -> None:
        """The mail has its answer, or is gone."""
        if mail >= 0:
            start = mail * _RECORD
            self._records[start : start + _RECORD] = bytes(_RECORD)
            self._free.append(mail)

    # -- everybody's --

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._numbers[_CONNECTIONS]

    @property
    def octets(self) -> int:
        """Octets of mails held in memory, those reserved for mails to come included."""
        return self._numbers[_OCTETS] + self._numbers[Scarce.OCTETS]

    def of_client(self, client: int) -> int:
        """Open connections of a client (or of two whose hashes meet)."""
        return self._clients[client % _CLIENTS]

    def mails(self) -> Iterator[UnderWay]:
        """The mails under way."""
        records = bytes(self._records)
        for start in range(0, len(records), _RECORD):
            if stage := records[start + _ID]:
                yield UnderWay(records[start : start + _ID].rstrip(b"\0").decode("ascii", "replace"), Stage(stage))


class Board:
    """Places for so many workers at once, each with so many mails. Made by the parent before it forks."""

    def __init__(self, places: int, mails: int) -> None:
        size = _NUMBERS * 8 + _CLIENTS * 2 + mails * _RECORD + _LINES
        size += -size % 8
        self._map = mmap.mmap(-1, places * size)
        self._memory = memoryview(self._map)
        self.places = [Place(number, self._memory[number * size : (number + 1) * size], mails) for number in range(places)]
        words, step = self._memory.cast("q"), size // 8
        self._words = {word: words[word::step] for what in Scarce for word in (what, what + 1)}
        self._free = list(reversed(self.places))

    # -- a worker's --

    def hide(self) -> None:
        """No process that this one forks from now on has the board: who takes over a child must not write what workers and parent read."""
        self._map.madvise(mmap.MADV_DONTFORK)

    # -- the parent's --

    def take(self) -> Place | None:
        """An empty place, None when all are taken."""
        return self._free.pop() if self._free else None

    def give_back(self, place: Place) -> None:
        """The worker is gone."""
        place.clear()
        self._free.append(place)

    @property
    def connections(self) -> int:
        """Open connections of all workers."""
        return sum(place.connections for place in self.places)

    def taken(self, what: Scarce) -> int:
        """How much of it all workers have taken."""
        return sum(self._words[what])

    def waiting(self, what: Scarce) -> list[int]:
        """Since when the first ones wait for it, one number for each worker in which somebody waits."""
        words = self._words[what + 1]
        return [since for since in words if since] if any(words) else []

    @property
    def octets(self) -> int:
        """Octets of mails held by all workers."""
        return sum(place.octets for place in self.places)

    def of_client(self, client: int) -> int:
        """Open connections of a client to all workers."""
        return sum(place.of_client(client) for place in self.places)

    def mails(self) -> list[UnderWay]:
        """The mails under way in all workers."""
        return [mail for place in self.places for mail in place.mails()]
