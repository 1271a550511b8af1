"""The search for marked personal data finds every spelling, and nothing in clean text: else the tests that use it would prove nothing."""

from __future__ import annotations

import json

import pytest

from tests.helpers import canaries
from tests.helpers.canaries import ALL, Canary

WAYS = tuple(canaries.spellings("x@y"))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "punycode"])
@pytest.mark.parametrize("canary", ALL, ids=lambda canary: canary.kind)
def test_each_spelling_is_found(canary: Canary, way: str) -> None:
    """Alone, inside a line of JSON, and as part of a longer word."""
    text = canaries.spellings(canary.text)[way]
    for line in (text, json.dumps({"event": "mail", "cause": f"no {text}, sorry"}), json.dumps([f"<{text}>"], ensure_ascii=False)):
        found = canaries.find(line.encode())
        assert any(one.startswith(f"{canary.kind}:") for one in found), (line, found)


def test_halves_of_what_is_long_are_found() -> None:
    """A mark that was cut is found by its pieces."""
    for cut in ("zephyrine.quatrepommes@", "<zephyrine.quatre pommes", "FR76 3000 6000 0112 34", "50578006084", "Quatrepommes"):
        assert canaries.find(cut.encode())


def test_clean_lines_hold_nothing() -> None:
    """What the log says of a mail is no mark."""
    line = {"client": "192.0.2.1", "sender": "z…@canari-un.example", "to": ["i…@canari-deux.example"], "ms": {"total": 639.98}, "queue_id": "285057"}
    assert canaries.find(json.dumps(line).encode() * 50) == []
    assert canaries.find(bytes(range(256)) * 20) == []


def test_the_mails_hold_every_mark() -> None:
    """The hostile mails are full of marks, in every spelling."""
    made = list(canaries.mails())
    assert len(made) > 2 * len(WAYS)
    for sender, recipients, octets in made:
        assert {one.split(":")[0] for one in canaries.find(octets)} >= {"nir", "name", "body"}, octets[:300]
        assert canaries.find(sender.encode())
        assert canaries.find(",".join(recipients).encode())
