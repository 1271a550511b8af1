"""Log lines: JSON in a pipe, no personal data, our bugs by place."""

from __future__ import annotations

import io
import json

import pytest

from milter.adapters import log, log_terminal


def test_a_line_is_one_json_object_when_nobody_watches() -> None:
    """Programs read it line by line."""
    stream = io.StringIO()
    log.open_log(stream).info("mail", action="tag", rules=("a-b",), insurer="mutuelle-é")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["action"], line["rules"], line["level"], line["insurer"]) == ("mail", "tag", ["a-b"], "info", "mutuelle-é")
    assert line["timestamp"].endswith("Z")
    assert stream.getvalue().count("\n") == 1


class Broken(io.StringIO):
    """A stream on a full disk, behind a pipe that nobody reads, or closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tried = 0

    def write(self, text: str) -> int:
        """Fail."""
        self.tried += 1
        raise self.error

    def flush(self) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(error: Exception) -> None:
    """A log that cannot be written breaks neither a mail nor the stopping of the service."""
    stream = Broken(error)
    log.open_log(stream).info("mail", action="tag")
    assert stream.tried == 1


def test_the_quick_line_is_like_the_others() -> None:
    """The line of a mail has the form of every other line, whatever octets hide in it."""
    stream = io.StringIO()
    log.open_log(stream).info("mail", to=("j…@a.example",), code=250)
    usual, quick = json.loads(stream.getvalue()), json.loads(log.line("mail", {"to": ("j…@a.example",), "code": 250}))
    assert usual.keys() == quick.keys()
    assert {**usual, "timestamp": ""} == {**quick, "timestamp": ""}
    assert len(usual["timestamp"]) == len(quick["timestamp"])
    assert json.loads(log.line("mail", {"sender": "\udcff"}))["sender"] == "\udcff"


MAIL = {
    "event": "mail",
    "level": "info",
    "timestamp": "2026-01-15T12:00:00Z",
    "queue_id": "ID1",
    "action": "tag",
    "would": "quarantine",
    "verdict": "suspect",
    "insurer": "mutuelle-lavande",
    "score": 6.5,
    "sender": "j…@x.example",
    "to": ["a…@b.example"],
    "recipients": 3,
    "code": 250,
    "next_hop_id": "4ZAB",
    "ms": {"total": 33.2},
    "rules": ["rule-a", "rule-b"],
}


def test_a_person_reads_a_mail_as_one_short_line() -> None:
    """On a terminal: what was done and why, from whom to whom, where it is now, how long it took."""
    shown = log_terminal.show(MAIL, colours=False)
    assert shown[8:] == (
        " tag         (would quarantine)  suspect mutuelle-lavande 6.5  j…@x.example → a…@b.example and 2 more"
        "  250 queued as 4ZAB  33 ms  ID1  [rule-a, rule-b]"
    )
    assert "unjudged" in log_terminal.show({"event": "mail"})
    assert "queued as" not in log_terminal.show({**MAIL, "next_hop_id": "", "quarantine_id": "01ab"})


@pytest.mark.parametrize("key", [*MAIL, "cause", "unscanned", "incomplete", "other"])
def test_nothing_but_printable_text_reaches_a_terminal(key: str) -> None:
    """No value can move the cursor, break the line or stop the log, whatever its type."""
    for value in ("a\x1b[2J\r\n\x07", ["\x1b]0;x\x07"], {"\n": 1}, None, 5, 1.5, True):
        for event in (MAIL, {"event": "worker died"}):
            assert log_terminal.show({**event, key: value}, colours=False).isprintable()


def test_empty_facts_are_left_out_and_numbers_rounded() -> None:
    """A line shows what there is; zero is a fact."""
    assert log.facts({"a": "", "b": None, "c": (), "d": 0, "e": 1.23456, "f": "x"}) == {"d": 0, "e": 1.23, "f": "x"}


def leak(secret: str) -> None:
    """Breaks with the secret in its message."""
    raise ValueError(f"cannot read {secret}")


def test_a_bug_is_told_by_type_and_place_never_by_its_text() -> None:
    """The text of an exception may quote a mail."""
    with pytest.raises(ValueError, match="dupont") as caught:
        leak("jean.dupont@example.org")
    place = log.bug_place(caught.value)
    assert place.startswith("ValueError at ")
    assert place.endswith(" in leak")
    assert "dupont" not in place


def test_the_place_is_the_last_one_in_our_own_code() -> None:
    """A bug that surfaces in a library is told by the line of ours that called it."""
    with pytest.raises(AttributeError) as caught:
        log.facts(7)  # type: ignore[arg-type]  # the bug
    assert log.bug_place(caught.value).startswith("AttributeError at adapters/log.py:")
