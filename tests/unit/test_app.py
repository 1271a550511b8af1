"""The composition root: which file is used, and that every broken file is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from milter import app
from milter.adapters import files
from milter.errors import FileError, SettingsError
from milter.settings.model import Settings
from milter.text import domains


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty /etc/insurer-milter and no system list; the shipped list is in use again afterwards."""
    monkeypatch.setattr(files, "SITE", tmp_path / "site")
    monkeypatch.setattr(files, "SYSTEM_SUFFIX_LIST", tmp_path / "system.dat")
    (tmp_path / "site").mkdir()
    yield tmp_path / "site"
    domains.use_list(files.shipped("config", "public_suffix_list.dat").read_text(encoding="utf-8"))


def test_settings_of_the_machine_are_used_when_none_are_named(site: Path) -> None:
    """--config, else /etc/insurer-milter/settings.yml, else the defaults; `scan` has defaults of its own."""
    assert app.load_settings(None) == app.Loaded(Settings())
    (site / "settings.yml").write_text("policy: tag\n")
    assert app.load_settings(None).settings.policy == "tag"
    assert app.load_settings(None, default=app.SCAN_DEFAULTS).settings.policy == "quarantine"
    other = site / "other.yml"
    other.write_text("policy: observe\n")
    assert app.load_settings(str(other)).file == str(other)


@pytest.mark.parametrize(("version", "wins"), [("2999-01-01_00-00-00_UTC", True), ("1999-01-01_00-00-00_UTC", False)])
def test_the_newer_suffix_list_wins(version: str, wins: bool) -> None:  # noqa: FBT001  # a parameter of the table
    """The system's list replaces the shipped one only when it is newer."""
    files.SYSTEM_SUFFIX_LIST.write_text(f"// VERSION: {version}\nexample\n")
    app.use_suffix_list(Settings())
    assert (domains.current_list().version == version) is wins


def test_a_configured_list_wins_and_its_age_is_said(tmp_path: Path) -> None:
    """Older than half a year is a warning, an unknown age too."""
    path = tmp_path / "list.dat"
    path.write_text("// VERSION: 2026-01-01_00-00-00_UTC\nexample\n")
    app.use_suffix_list(replace(Settings(), public_suffix_list=str(path)))
    assert app.suffix_list_warning(date(2026, 6, 1)) is None
    assert app.suffix_list_warning(date(2026, 8, 1)) == "the public suffix list is 212 days old; an up-to-date one makes better judgements"
    path.write_text("example\n")
    app.use_suffix_list(replace(Settings(), public_suffix_list=str(path)))
    assert app.suffix_list_warning(date(2026, 6, 1)) == "the public suffix list does not say how old it is"


def test_problems_of_registry_rules_and_policy_come_together(tmp_path: Path) -> None:
    """Three broken files are one run to repair."""
    (tmp_path / "claim").mkdir()
    for name in ("registry.yml", "policy.yml", "claim/local-x.yml"):
        (tmp_path / name).write_text("nonsense: yes\n")
    broken = replace(Settings(), registry=(str(tmp_path / "registry.yml"),), policy=str(tmp_path / "policy.yml"), rules=(str(tmp_path),))
    with pytest.raises(FileError) as caught:
        app.load_parts(broken)
    assert {Path(problem.file).name for problem in caught.value.problems} >= {"registry.yml", "policy.yml", "local-x.yml"}


def test_an_unknown_name_on_the_way_is_a_settings_error() -> None:
    """A name that no file has is told with those that there are."""
    with pytest.raises(SettingsError, match=r"nowhere: no such registry; known: example, fr"):
        app.load_registry(replace(Settings(), registry=("nowhere",)))


def test_our_names() -> None:
    """The authserv-id is the host name unless it is set."""
    assert app.authserv_id(replace(Settings(), hostname="mx.example.org")) == "mx.example.org"
    assert app.authserv_id(replace(Settings(), hostname="mx.example.org", authserv_id="example.org")) == "example.org"
    assert app.hostname(Settings())


def test_deadlines_of_the_next_hop_follow_the_setting() -> None:
    """No step waits longer than `next_hop_seconds`."""
    short = app.build_next_hop(replace(Settings(), smtp=replace(Settings().smtp, next_hop_seconds=3.0)))
    assert (short.deadlines.connect, short.deadlines.command, short.deadlines.final) == (3.0, 3.0, 3.0)
    usual = app.build_next_hop(Settings())
    assert (usual.host, usual.port, usual.deadlines.final) == ("127.0.0.1", 10026, 80.0)
