"""The channel between parent and worker: lines arrive whole and in order, and nobody ever waits for the other."""

from __future__ import annotations

import asyncio

from milter.adapters.ring import Ring
from milter.fronts import channel


def _no_ring() -> Ring:
    """A ring that never has room: everything goes through the socket."""
    return Ring(memoryview(bytearray(17)))


def test_lines_that_have_time_wait_in_the_ring() -> None:
    """A line goes into the ring while there is room, and wakes nobody; then, and for what is to be heard at once, through the socket."""
    ours, theirs = channel.pair()
    ring = Ring(memoryview(bytearray(16 + 32)))
    outbox = channel.Outbox(theirs, ring)
    outbox.put(b"x" * 31 + b"\n")
    taken: list[bytes] = []
    intake = channel.Intake(ours, taken.append)
    assert intake.read()
    assert taken == []
    outbox.say(b"at once\n")
    outbox.put(b"no room\n")
    assert intake.read()
    assert (ring.take(), taken) == (b"x" * 31 + b"\n", [b"at once\n", b"no room\n"])
    outbox.put(b"room again\n")
    assert ring.take() == b"room again\n"
    ours.close()
    theirs.close()


def test_lines_arrive_as_they_were_sent() -> None:
    """What is put at one end is taken at the other, line by line, also what a dead writer has left."""
    ours, theirs = channel.pair()
    taken: list[bytes] = []
    intake = channel.Intake(ours, taken.append)
    outbox = channel.Outbox(theirs, _no_ring())
    for number in range(1_000):
        outbox.put(channel.encode({"number": number}))
    theirs.close()
    intake.read_all()
    assert [channel.decode(line) for line in taken] == [{"number": number} for number in range(1_000)]
    assert intake.read() is False
    ours.close()


async def test_a_reader_that_is_busy_gets_everything_later() -> None:
    """Lines that the socket does not take wait, in order, and go when there is room; the writer never blocks."""
    ours, theirs = channel.pair()
    taken: list[bytes] = []
    intake = channel.Intake(ours, taken.append)
    outbox = channel.Outbox(theirs, _no_ring())
    outbox.attach(asyncio.get_running_loop())
    lines = [b"%06d %s\n" % (number, b"x" * 1_000) for number in range(6_000)]
    for line in lines:
        outbox.put(line)
    asyncio.get_running_loop().add_reader(ours.fileno(), intake.read)
    async with asyncio.timeout(20):
        while len(taken) < len(lines):  # noqa: ASYNC110  # there is no event: lines are read by a callback
            await asyncio.sleep(0.01)
    asyncio.get_running_loop().remove_reader(ours.fileno())
    assert taken == lines
    assert outbox.lost == 0
    ours.close()
    theirs.close()


def test_too_much_loses_whole_lines_and_counts_them() -> None:
    """Beyond the bound the oldest lines are lost, whole ones, and counted; a line that is half sent stays."""
    ours, theirs = channel.pair()
    taken: list[bytes] = []
    outbox = channel.Outbox(theirs, _no_ring())
    count = 30_000
    for number in range(count):
        outbox.put(b"%06d %s\n" % (number, b"x" * 1_000))
    assert outbox.lost > 0
    intake = channel.Intake(ours, taken.append)
    ours.settimeout(0)
    while outbox._waiting:
        outbox._on_ready()
        intake.read()
    intake.read_all()
    assert len(taken) == count - outbox.lost
    assert all(len(line) == 1_008 for line in taken)
    assert taken[-1].startswith(b"%06d" % (count - 1))
    ours.close()
    theirs.close()


def test_nobody_listens() -> None:
    """Lines to a parent that is gone are counted as lost, and nothing else happens."""
    ours, theirs = channel.pair()
    ours.close()
    outbox = channel.Outbox(theirs, _no_ring())
    outbox.put(b"one\n")
    outbox.put(b"two\n")
    outbox.finish()
    assert outbox.lost == 2
    theirs.close()


def test_what_is_no_message() -> None:
    """Anything but a JSON object is no message."""
    assert [channel.decode(line) for line in (b"", b"[1]\n", b"{", b"\xff\n", b'{"do": 1}\n')] == [None, None, None, None, {"do": 1}]
