"""Lines from one process to another through memory that both hold: writing one costs no system call and wakes nobody.

One writer, one reader, which looks when it likes. What a writer that was killed has put stays readable. Knows octets alone.
"""

from __future__ import annotations

_ENDS = 16  # octets of the two counters at the start: put and taken, since the beginning


class Ring:
    """A ring in `octets`; both sides make one on the same memory, before or after a fork."""

    def __init__(self, octets: memoryview) -> None:
        self._ends = octets[:_ENDS].cast("Q")
        self._room = octets[_ENDS:]
        self._size = len(self._room)

    def put(self, line: bytes) -> bool:
        """Put a line; False when there is no room for it now."""
        put, size = self._ends[0], self._size
        if put + len(line) - self._ends[1] > size:
            return False
        start = put % size
        first = min(len(line), size - start)
        self._room[start : start + first] = line[:first]
        if first < len(line):
            self._room[: len(line) - first] = line[first:]
        self._ends[0] = put + len(line)  # last: whoever sees it finds the line whole
        return True

    def take(self) -> bytes:
        """All lines that were put since the last time, b"" when there are none."""
        put, taken = self._ends
        start, end = taken % self._size, put % self._size
        if put == taken:
            return b""
        octets = bytes(self._room[start:end]) if start < end else bytes(self._room[start:]) + bytes(self._room[:end])
        self._ends[1] = put
        return octets
