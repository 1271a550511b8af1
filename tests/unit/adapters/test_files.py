"""Where files are looked for, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from milter.adapters import files


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /etc/insurer-milter."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(files, "SITE", folder)
    return folder


def test_the_site_comes_before_what_is_shipped(site: Path) -> None:
    """A policy of the same name in /etc/insurer-milter wins; the others are still found."""
    assert files.find("policy", "tag") == files.shipped("config", "policy", "tag.yml")
    (site / "policy").mkdir()
    (site / "policy" / "tag.yml").touch()
    (site / "policy" / "ours.yml").touch()
    assert files.find("policy", "tag") == site / "policy" / "tag.yml"
    assert set(files.names("policy")) >= {"observe", "ours", "quarantine", "tag"}


def test_an_unknown_name_is_not_found(site: Path) -> None:
    """None says that there is no such file."""
    assert files.find("policy", "nowhere") is None


def test_rule_folders_in_order_and_once(site: Path, tmp_path: Path) -> None:
    """Shipped, then the site's, then those of the settings."""
    (site / "rules").mkdir()
    assert files.rule_folders([str(tmp_path), str(site / "rules")]) == (files.shipped("rules"), site / "rules", tmp_path)


def test_rule_sources_are_sorted_and_found_at_any_depth(tmp_path: Path) -> None:
    """Only *.yml files count."""
    for name in ("b/two.yml", "a/one.yml", "a/README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert [name for name, _ in files.rule_sources([tmp_path])] == [str(tmp_path / "a/one.yml"), str(tmp_path / "b/two.yml")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 192.0.2.53\n", ("192.0.2.53",)),
        ("# x\nsearch example\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n", ("192.0.2.1", "fe80::1")),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", ("192.0.2.1", "192.0.2.2", "192.0.2.3")),
        ("nameserver my_router\nnameserver 1.2.3\nnameserver ::1\n", ("::1",)),
        ("nameserver\n", ("127.0.0.1",)),
        ("", ("127.0.0.1",)),
    ],
)
def test_resolvers_of_the_system(text: str, found: tuple[str, ...], tmp_path: Path) -> None:
    """resolv.conf(5): at most three name servers, the local one when there is none."""
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert files.system_resolvers(path) == found


def test_a_system_without_resolv_conf_asks_the_local_resolver(tmp_path: Path) -> None:
    """No file means 127.0.0.1."""
    assert files.system_resolvers(tmp_path / "nowhere") == ("127.0.0.1",)


def test_pipes_folders_and_giants_are_refused_at_once(tmp_path: Path) -> None:
    """Nothing that could block or fill the memory is read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "giant").write_bytes(b"12345")
    for name, words in (("pipe", "is not a regular file"), (".", "is a folder"), ("giant", "5 octets, larger than 4")):
        with pytest.raises(files.NotAFileError) as caught:
            files.read(tmp_path / name, most=4)
        assert caught.value.strerror == words
