"""The board: what workers have under way, seen from outside, also when the worker was killed."""

from __future__ import annotations

import os
import signal

from milter.adapters.board import Board, Stage, UnderWay


def test_a_mail_is_seen_from_begin_to_end() -> None:
    """A mail shows its stage and, once it has one, its id; afterwards nothing of it is left."""
    board = Board(2, 4)
    place = board.take()
    assert place is not None
    mail = place.begin()
    assert board.mails() == [UnderWay("", Stage.RECEIVING)]
    place.mark(mail, Stage.JUDGING, "0123456789ABCDEF")
    place.mark(mail, Stage.DELIVERING)
    assert board.mails() == [UnderWay("0123456789ABCDEF", Stage.DELIVERING)]
    place.end(mail)
    assert board.mails() == []


def test_more_mails_than_it_holds_are_only_not_seen() -> None:
    """Beyond its size the board gives -1, and everything with it does nothing."""
    place = Board(1, 1).places[0]
    first, second = place.begin(), place.begin()
    assert second == -1
    place.mark(second, Stage.JUDGING, "A")
    place.end(second)
    place.end(first)
    assert place.begin() == first


def test_what_a_killed_process_had_under_way_stays() -> None:
    """A process that is killed leaves its mails, connections and octets on the board until its place is given back."""
    board = Board(2, 4)
    place = board.take()
    assert place is not None
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        place.connected(hash("192.0.2.1"), 1)
        place.grown(5_000)
        place.mark(place.begin(), Stage.DELIVERING, "F00")
        os.write(told, b".")
        signal.pause()
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for end in (ready, told):
        os.close(end)
    assert board.mails() == [UnderWay("F00", Stage.DELIVERING)]
    assert (board.connections, board.octets, board.of_client(hash("192.0.2.1"))) == (1, 5_000, 1)
    board.give_back(place)
    assert (board.connections, board.octets, board.of_client(hash("192.0.2.1")), board.mails()) == (0, 0, 0, [])


def test_connections_of_all_workers_count_together() -> None:
    """The sums are over all places."""
    board = Board(2, 1)
    for place in board.places:
        place.connected(7, 1)
        place.grown(10)
    assert (board.connections, board.of_client(7), board.of_client(8), board.octets) == (2, 2, 0, 20)
    board.places[0].connected(7, -1)
    assert (board.connections, board.of_client(7)) == (1, 1)


def test_no_place_is_left() -> None:
    """When all places are taken there is none, until one is given back."""
    board = Board(1, 1)
    place = board.take()
    assert place is not None
    assert board.take() is None
    board.give_back(place)
    assert board.take() is place
