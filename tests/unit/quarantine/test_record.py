"""An entry as a line: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.model.mail import Connection, Envelope, Params
from milter.quarantine import record
from milter.quarantine.entry import Entry, Reason, State

NAME = "01kf0hktv0c6qpxe6sw3c6"
ENTRY = Entry(
    id=NAME,
    received=datetime(2026, 1, 15, 10, tzinfo=UTC),
    changed=datetime(2026, 1, 15, 11, 0, 0, 123_456, tzinfo=UTC),
    state=State.FAILED,
    octets=100,
    envelope=Envelope("", ("jean.dupont@example.org", "odd\udcff@example.org")),
    params=Params((b"ENVID=\xff",), ((b"NOTIFY=NEVER",), ())),
    connection=Connection(None, "", "mail.example"),
    queue_id="4Q2W1",
    verdict="suspect",
    insurer=None,
    insurer_name="",
    score=4.5,
    language="fr",
    reasons=(Reason("a-rule", 4.5, "Dit être « Mutuelle des Lilas »\n."),),
    author_domain="lilas.example",
    subject="Été",
    front=b"X: \xff\r\n",
    cuts=((0, 10), (10, 20)),
    pending=(1,),
    attempt=2,
    note="451",
)
DIGEST = "0" * 64


def resealed(change: dict[str, Any]) -> bytes:  # Any: JSON values
    """The line of ENTRY with other facts, its checksum right."""
    facts = json.loads(record.line(record.facts(ENTRY, DIGEST)).partition(b" ")[2])
    text = json.dumps({**facts, **change}).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def test_an_entry_comes_back() -> None:
    """One ASCII line holds the whole entry, odd octets too."""
    line = record.line(record.facts(ENTRY, DIGEST))
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1
    assert record.read(line) == (ENTRY, DIGEST)


WRONG_ENVELOPES: list[dict[str, object]] = [
    {"mail_from": "a>\r\nRCPT TO:<x@y.example"},
    {"rcpt_to": []},
    {"rcpt_to": ["a\n"]},
    {"mail_params": ["RET=HDRS\r\nDATA"]},
    {"rcpt_params": [["NOTIFY=NEVER X"]]},
    {"rcpt_params": [[], []]},
]
WRONG: list[dict[str, Any]] = [
    {"id": "../../../etc/passwd"},
    {"id": 7},
    {"more": 1},
    {"state": "gone"},
    {"received": 1e300},
    {"received": float("nan")},
    {"received": "now"},
    {"octets": -1, "cuts": [[0, 1]]},
    {"octets": True},
    {"octets": 10**400},
    {"attempt": -1},
    {"cuts": [[0, 101]]},
    {"cuts": [[5, 2]]},
    {"cuts": [[5, 9], [8, 12]]},
    {"cuts": [[1, 2, 3]]},
    {"pending": [2]},
    {"pending": [-1]},
    {"reasons": [["a", "b", "c"]]},
    {"front": None},
    {"front": "\ud800"},
    {"connection": {}},
    {"envelope": []},
    *({"envelope": {"mail_from": "", "rcpt_to": ["a@b.example"], "mail_params": [], "rcpt_params": [], **more}} for more in WRONG_ENVELOPES),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:60])
def test_a_wrong_fact_is_refused(change: dict[str, Any]) -> None:  # Any: JSON values
    """A line that is whole but says what cannot be, or would end a command of SMTP early, is refused."""
    assert record.read(resealed({})) == (ENTRY, DIGEST)
    with pytest.raises(ValueError, match="its facts"):
        record.read(resealed(change))


@pytest.mark.parametrize("octets", [b"", b"\n", b" \n", b"x", b"0" * 64 + b" {}\n", record.line(record.facts(ENTRY, DIGEST))[1:]])
def test_a_damaged_line_is_refused(octets: bytes) -> None:
    """A line whose checksum is not its own is refused."""
    with pytest.raises(ValueError, match="its facts are damaged"):
        record.read(octets)


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b"null", b"[]", b"{}", b'"x"', b"1e999", b"\xff"])
def test_json_that_is_no_entry_is_refused(text: bytes) -> None:
    """Whatever JSON, or none, stands behind a right checksum: refused."""
    with pytest.raises(ValueError, match="its facts"):
        record.read(hashlib.sha256(text).hexdigest().encode() + b" " + text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda one: st.lists(one, max_size=3), max_leaves=5
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(record.facts(ENTRY, DIGEST))), JSON)
def test_any_value_in_any_place_is_an_entry_or_refused(name: str, value: object) -> None:
    """Invariant: with any value in the place of any fact, reading gives an entry or ValueError, nothing else."""
    try:
        entry, _ = record.read(resealed({name: value}))
    except ValueError:
        return
    facts = record.facts(entry, DIGEST)
    assert {key: facts[key] for key in facts if key != name} == {key: told for key, told in record.facts(ENTRY, DIGEST).items() if key != name}
