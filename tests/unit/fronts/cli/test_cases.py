"""Batch lines and mail files as `scan` reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from milter.fronts.cli import cases
from milter.fronts.cli.cases import Case, CaseError
from milter.model.mail import Connection, Envelope

DEFAULT = Case(None, "", Connection("192.0.2.1", "", "h.example"), Envelope("a@example.org", ("b@example.org",)))


def test_a_whole_line() -> None:
    """Every key of the contract is used."""
    line = (
        b'{"id": "m1", "path": "a.eml", "client_ip": "198.51.100.7", "helo": "x.example", "mail_from": "<s@x.example>", "rcpt_to": ["<r@y.example>"]}'
    )
    assert cases.from_line(line, 1, DEFAULT) == Case(
        "m1", "a.eml", Connection("198.51.100.7", "", "x.example"), Envelope("s@x.example", ("r@y.example",))
    )


def test_what_a_line_does_not_name_comes_from_the_command_line() -> None:
    """The options are the defaults of every line; without an id the path is the id; other keys are ignored."""
    case = cases.from_line(b'{"path": "a.eml", "label": "spam"}', 1, DEFAULT)
    assert (case.id, case.connection, case.envelope) == ("a.eml", DEFAULT.connection, DEFAULT.envelope)


def test_an_empty_sender_is_the_null_sender() -> None:
    """A line may say that the envelope sender is empty, in both writings."""
    assert cases.from_line(b'{"path": "a", "mail_from": ""}', 1, DEFAULT).envelope.mail_from == ""
    assert cases.from_line(b'{"path": "a", "mail_from": "<>"}', 1, DEFAULT).envelope.mail_from == ""


@pytest.mark.parametrize(
    ("line", "message", "case_id"),
    [
        (b"{", "line 7: not JSON: Expecting property name enclosed in double quotes at column 2", None),
        (b"\xff", "line 7: not UTF-8", None),
        (b"[1]", "line 7: not a JSON object", None),
        (b"[" * 100_000, "line 7: not JSON that can be read", None),
        (b'{"id": 3}', "line 7: `path` is missing", 3),
        (b'{"id": "x", "path": "-"}', "line 7: a batch reads no mail from stdin; `path` names a file", "x"),
        (b'{"id": ["x"], "path": "p"}', "line 7: `id` is not a text or a number", None),
        (b'{"id": 1e999, "path": "p"}', "line 7: `id` is not a text or a number", None),
        (b'{"id": NaN, "path": "p"}', "line 7: not JSON that can be read", None),
        (b'{"id": "x", "path": 5}', "line 7: `path` is not a text", "x"),
        (b'{"id": "x", "path": "p", "rcpt_to": "r@example.org"}', "line 7: `rcpt_to` is not a list of texts", "x"),
        (b'{"id": "x", "path": "p", "client_ip": "here"}', "line 7: `client_ip` is not an IP address: 'here'", "x"),
    ],
)
def test_a_broken_line_says_which_and_why(line: bytes, message: str, case_id: object) -> None:
    """The error names the line; its id is given back as far as it can be read."""
    with pytest.raises(CaseError) as caught:
        cases.from_line(line, 7, DEFAULT)
    assert str(caught.value) == message
    assert cases.id_of(line) == case_id


@pytest.mark.parametrize(
    ("octets", "wire"),
    [
        (b"A: b\n\nc\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\nbare\nline\r\n", b"A: b\r\n\r\nbare\nline\r\n"),
        (b"From x@example.org Mon\nA: b\n\nc\n", b"A: b\r\n\r\nc\r\n"),
        (b"From : x@example.org\r\n\r\n", b"From : x@example.org\r\n\r\n"),
        (b"", b""),
    ],
)
def test_files_get_the_form_that_smtp_carries(octets: bytes, wire: bytes) -> None:
    """Unix line ends become CRLF and an mbox separator goes; everything else stays octet for octet."""
    assert cases.wire_form(octets) == wire


def test_what_cannot_be_read_is_an_error_with_words(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and a file over the limit each say what they are."""
    (tmp_path / "big").write_bytes(b"x" * 11)
    os.mkfifo(tmp_path / "pipe")
    found = []
    for name in ("missing", ".", "big", "pipe", "nul\0"):
        with pytest.raises(CaseError) as caught:
            cases.mail_of(Case(1, name, Connection(), Envelope(), str(tmp_path)), 10)
        found.append(str(caught.value))
    assert found == [
        "missing: No such file or directory",
        ".: is a folder",
        "big: 11 octets, larger than 10",
        "pipe: is not a regular file",
        "nul\0: embedded null byte",
    ]


def test_relative_paths_may_lie_beside_the_batch_file(tmp_path: Path) -> None:
    """A path that is not found from the current folder is looked for beside the batch file."""
    (tmp_path / "a.eml").write_bytes(b"A: b\n\n")
    assert cases.mail_of(Case(1, "a.eml", Connection(), Envelope(), str(tmp_path)), 100).raw == b"A: b\r\n\r\n"


def test_a_batch_may_begin_with_a_byte_order_mark() -> None:
    """Some editors write one."""
    assert cases.from_line(b'\xef\xbb\xbf{"path": "a.eml"}', 1, DEFAULT).id == "a.eml"
