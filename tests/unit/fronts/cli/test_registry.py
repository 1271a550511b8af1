"""`registry list|find|lint`."""

from __future__ import annotations

import json

import pytest

from milter.adapters import files
from milter.fronts.cli.main import run

Capture = pytest.CaptureFixture[str]


def test_the_list_of_a_market(capsys: Capture) -> None:
    """One object an organisation, with its domains and their roles."""
    assert run(["registry", "list", "--market", "example", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found
    assert set(found[0]) == {"id", "name", "kind", "country", "aliases", "ambiguous", "domains"}
    assert set(found[0]["domains"][0]) == {"domain", "role", "checked"}
    assert run(["registry", "list", "--market", "example"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(found)


@pytest.mark.parametrize("text", ["HARMONIE mutuelle", "harmonie-et-moi", "Harmonie et Moi"])
def test_find_by_name_alias_and_domain(text: str, capsys: Capture) -> None:
    """Case and accents make no difference."""
    assert run(["registry", "find", text, "--json"]) == 0
    assert "harmonie-mutuelle" in [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]


def test_nothing_found_is_said(capsys: Capture) -> None:
    """On stderr, so that a pipe stays empty."""
    assert run(["registry", "find", "no such insurer"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no insurer with 'no such insurer' in its id, names or domains\n")


def test_find_prints_a_block_for_people(capsys: Capture) -> None:
    """Name, other names, domains with their role."""
    assert run(["registry", "find", "harmonie-mutuelle"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Harmonie Mutuelle (harmonie-mutuelle, mutuelle, fr)\n")
    assert "harmonie-et-moi.fr  official" in printed


def test_the_shipped_registries_are_in_order(capsys: Capture) -> None:
    """Each by itself, as `registry lint` is called before a change is sent in."""
    for name in ("fr", "example"):
        assert run(["registry", "lint", str(files.shipped("config", "registry", f"{name}.yml"))]) == 0
        assert capsys.readouterr().out.endswith("insurers in 1 file, in order\n")


def test_a_market_named_twice_is_read_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Saying it again is no conflict of the registry with itself."""
    assert run(["registry", "list", "--market", "example", "--market", "example"]) == 0
    twice = capsys.readouterr().out
    assert run(["registry", "list", "--market", "example"]) == 0
    assert twice == capsys.readouterr().out != ""
