"""The ring: lines come out as they went in, however full it is, and a killed writer's too."""

from __future__ import annotations

import mmap
import os
import signal

from hypothesis import given
from hypothesis import strategies as st

from milter.adapters.ring import Ring

_STEPS = st.lists(st.one_of(st.none(), st.binary(max_size=20).map(lambda octets: octets.replace(b"\n", b"") + b"\n")), max_size=60)


@given(_STEPS)
def test_what_is_put_is_taken_once_and_in_order(steps: list[bytes | None]) -> None:
    """For any order of putting and taking (None), the taken octets are those of the lines for which there was room, each line whole."""
    ring = Ring(memoryview(bytearray(16 + 40)))
    put: list[bytes] = []
    taken = b""
    waiting = 0
    for step in steps:
        if step is None:
            octets = ring.take()
            assert not octets or octets.endswith(b"\n")
            taken += octets
            waiting = 0
        elif ring.put(step):
            put.append(step)
            waiting += len(step)
            assert waiting <= 40
        else:
            assert waiting + len(step) > 40
    assert taken + ring.take() == b"".join(put)
    assert ring.take() == b""


def test_lines_of_a_killed_process_stay() -> None:
    """Another process puts lines and is killed: they are all there."""
    ring = Ring(memoryview(mmap.mmap(-1, 4_096)))
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(100):
            ring.put(b"line %d\n" % number)
        os.write(told, b".")
        signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for end in (ready, told):
        os.close(end)
    assert ring.take() == b"".join(b"line %d\n" % number for number in range(100))
