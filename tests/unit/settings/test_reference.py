"""The generated example file and reference page."""

from __future__ import annotations

import re
from pathlib import Path

from milter.settings import load, reference
from milter.settings.check import Known
from milter.settings.model import Settings

ROOT = Path(__file__).resolve().parents[3]
KNOWN = Known(("observe",), ("fr",), is_file=lambda path: True, is_folder=lambda path: True)


def test_the_example_file_is_generated() -> None:
    """config/settings.example.yml is the output of the generator."""
    assert (ROOT / "config/settings.example.yml").read_text() == reference.example()


def test_the_reference_page_is_generated() -> None:
    """docs/reference/settings.md is the output of the generator."""
    assert (ROOT / "docs/reference/settings.md").read_text() == reference.reference()


def test_the_example_file_loads() -> None:
    """Whoever copies the example has a working file."""
    assert load.load(reference.example().encode(), "example", KNOWN).hostname == "mx.example.org"


def test_every_commented_line_of_the_example_can_be_taken_in() -> None:
    """Without the `#` in front of its keys the example still loads, and sets every option."""
    text = re.sub(r"^( *)#(\w)", r"\1\2", reference.example(), flags=re.MULTILINE)
    settings = load.load(text.encode(), "example", KNOWN)
    assert all(re.search(rf"^ *{option.key.rpartition('.')[2]}:", text, re.MULTILINE) for option in reference.options())
    assert settings.limits == Settings().limits
    assert settings.smtp == Settings().smtp


def test_every_option_has_documentation() -> None:
    """No option without a sentence."""
    assert all(option.doc for option in reference.options())
