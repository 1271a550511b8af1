"""Octets kept by the system until they are whole."""

from __future__ import annotations

import os

from milter.adapters.spool import Spool


async def test_what_went_in_in_pieces_comes_out_whole() -> None:
    """In order, and no handle stays open."""
    before = len(os.listdir("/proc/self/fd"))
    pieces = [os.urandom(size) for size in (0, 1, 70_000, 3, 1_000_000)]
    spool = Spool()
    for piece in pieces:
        spool.add(piece)
    assert spool.size == sum(map(len, pieces))
    assert await spool.take() == b"".join(pieces)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_spool_that_is_dropped_holds_no_handle() -> None:
    """Closed or forgotten, it is gone; closing twice is once."""
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool()
    spool.add(b"x")
    spool.close()
    spool.close()
    forgotten = Spool()
    del forgotten
    assert len(os.listdir("/proc/self/fd")) == before
