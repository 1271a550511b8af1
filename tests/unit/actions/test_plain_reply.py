"""What the log shows of a next hop's reply: servers' words, and nothing that they repeat from the mail."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.actions import plain_reply
from milter.model.reply import Reply
from tests.helpers import canaries


@pytest.mark.parametrize(
    ("code", "text", "shown", "queue_id"),
    [
        (250, "2.0.0 Ok: queued as 4Z1kYq0bJ1z3Xw", "250 2.0.0 Ok: queued as …", "4Z1kYq0bJ1z3Xw"),
        (250, "2.0.0 Ok: queued as 3F2A1B0C", "250 2.0.0 Ok: queued as …", "3F2A1B0C"),
        (250, "OK id=1tABCD-0000000ABCD-1abc", "250 OK …", "1tABCD-0000000ABCD-1abc"),
        (250, "OK id=1tABCD-000ABC-DE", "250 OK …", "1tABCD-000ABC-DE"),
        (250, "2.0.0 0BPDA1xY012345 Message accepted for delivery", "250 2.0.0 … Message accepted for delivery", "0BPDA1xY012345"),
        (250, "2.0.0: 1a2b3c4d Message accepted for delivery", "250 2.0.0 … Message accepted for delivery", "1a2b3c4d"),
        (250, "2.0.0 Ok: held in quarantine as 01kbgqv5n2abcdefghjkmn", "250 2.0.0 Ok: held in quarantine as …", "01kbgqv5n2abcdefghjkmn"),
        (250, "2.0.0 Ok", "250 2.0.0 Ok", ""),
        (250, "Ok: queued as 123456789012", "250 Ok: queued as …", "123456789012"),
        (250, "Ok: queued as Quatrepommes", "250 Ok: queued as …", ""),
        (250, "OK id=Martin-Dupont-JP", "250 OK …", ""),
        (250, "Ok: queued as bob@example.org", "250 Ok: queued as …", ""),
        (250, "Ok: queued as 2850578006084", "250 Ok: queued as …", ""),
        (550, "no: queued as 4Z1kYq0bJ1z3Xw", "550 no: queued as …", ""),
        (
            550,
            "5.1.1 <jean.dupont@example.org>: Recipient address rejected: User unknown in local recipient table",
            "550 5.1.1 … Recipient address rejected: User unknown in local recipient table",
            "",
        ),
        (554, '5.7.1 "jean dupont"@example.org (Jean Dupont) refused, see https://x.example/?m=jean', "554 5.7.1 … refused, see …", ""),
        (452, "4.3.1 Insufficient system storage", "452 4.3.1 Insufficient system storage", ""),
        (451, "", "451", ""),
        (451, "1.2.3.4 hello", "451 … hello", ""),
    ],
)
def test_replies_in_plain_words(code: int, text: str, shown: str, queue_id: str) -> None:
    """Code, enhanced code, known words and a queue id stay; anything else is one ellipsis."""
    assert plain_reply.read(Reply(code, (text,))) == (shown, queue_id)
    assert plain_reply.plain(Reply(code, (text,))) == shown


def test_several_lines_are_shown_as_one() -> None:
    """All lines count for the words, the last one for the queue id."""
    assert plain_reply.read(Reply(250, ("2.1.5 bob@b.example ok", "Ok: queued as 4Z1kYq0bJ1"))) == ("250 2.1.5 … ok Ok: queued as …", "4Z1kYq0bJ1")


@pytest.mark.parametrize("canary", canaries.ALL, ids=lambda canary: canary.kind)
def test_no_spelling_of_personal_data_passes(canary: canaries.Canary) -> None:
    """However a server quotes what it refuses, nothing of it is shown. (A short number where a queue id stands cannot be told from one.)"""
    for text in canaries.spellings(canary.text).values():
        quoted = text.replace("\r\n", " ").replace("\n", " ")
        for said in (f"5.1.1 <{quoted}>: no", f"Ok: queued as {quoted}", f"{quoted} Message accepted for delivery", f"OK id={quoted}"):
            for code in (550,) if quoted.isdigit() else (250, 550):
                shown = " ".join(plain_reply.read(Reply(code, (said,))))
                assert canaries.find(shown.encode()) == []


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n"), max_size=300))
def test_any_reply_becomes_short_and_printable(text: str) -> None:
    """The log's line stays one line, whatever a server says."""
    shown, name = plain_reply.read(Reply(250, (text,)))
    assert shown.isprintable()
    assert len(shown) <= plain_reply.MOST
    assert name == "" or (name.isascii() and len(name) <= 24)


def test_a_long_reply_costs_little() -> None:
    """Only the first thousand characters are read."""
    began = time.perf_counter()
    for piece in ("queued as ", "a" * 50 + " ", "1.", "id=", "\u00e9 "):
        plain_reply.read(Reply(250, (piece * 6_000,)))
    assert time.perf_counter() - began < 0.2
