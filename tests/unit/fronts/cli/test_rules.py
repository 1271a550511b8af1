"""`rules list|lint|test|explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from milter.adapters import files
from milter.fronts.cli.main import run

Capture = pytest.CaptureFixture[str]
SHIPPED = files.shipped("rules")
ONE = "insurer-display-name-unauthenticated"


def test_the_list_has_every_shipped_rule(capsys: Capture) -> None:
    """One line, or one object, a rule file."""
    assert run(["rules", "list", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {rule["id"] for rule in found} == {path.stem for path in SHIPPED.rglob("*.yml")}
    assert set(found[0]) == {"id", "kind", "status", "severity", "score", "title", "file"}
    assert run(["rules", "list", "--kind", "want"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(list((SHIPPED / "want").glob("*.yml")))


def test_lint_and_test_of_what_is_shipped(capsys: Capture) -> None:
    """The shipped rules are in order and their examples hold."""
    assert run(["rules", "lint"]) == 0
    assert capsys.readouterr().out == f"{len(list(SHIPPED.rglob('*.yml')))} rule files in order\n"
    assert run(["rules", "test", str(SHIPPED / "claim")]) == 0
    assert f"examples of {len(list((SHIPPED / 'claim').glob('*.yml')))} rules hold" in capsys.readouterr().out


def test_an_example_that_does_not_hold_is_said(tmp_path: Path, capsys: Capture) -> None:
    """A site's rule is tested beside the shipped ones; a failing proof names the file, the example and what fired."""
    path = tmp_path / "claim" / f"local-{ONE}.yml"
    path.parent.mkdir()
    text = (SHIPPED / "claim" / f"{ONE}.yml").read_text(encoding="utf-8").replace(f"id: {ONE}", f"id: local-{ONE}")
    head, _, rest = text.partition("  match:\n")
    match, _, no_match = rest.partition("  no_match:\n")
    path.write_text(head + "  match:\n" + match + match.replace("name: ", "name: again ") + "  no_match:\n" + no_match)
    assert run(["rules", "test", str(path)]) == 0
    path.write_text(head + "  match:\n" + match + "  no_match:\n" + match.replace("name: ", "name: again ") + no_match)
    capsys.readouterr()
    assert run(["rules", "test", str(path)]) == 2
    printed = capsys.readouterr()
    assert f"{path}: local-{ONE}: example 'again" in printed.err
    assert "the rule fires" in printed.err


def test_explain_shows_the_rule_to_people_and_programs(capsys: Capture) -> None:
    """Title, sentences, and when the rule is wrong."""
    assert run(["rules", "explain", ONE]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in (ONE, "Says (fr): ", "Says (en): ", "Wrong when ", "Fires on: "))
    assert run(["rules", "explain", ONE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["says"]["fr"]
