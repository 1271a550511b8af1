"""Log lines: JSON in a pipe, no personal data, our bugs by place."""

from __future__ import annotations

import io
import json

import pytest

from milter.adapters import log


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
        log.open_log(7)  # type: ignore[arg-type]  # the bug
    assert log.bug_place(caught.value).startswith("AttributeError at adapters/log.py:")
