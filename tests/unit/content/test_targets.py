"""Where a click goes, whatever the link looks like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.content.targets import read, shown_domain


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.lune.example/a?b=c#d", "www.lune.example"),
        ("HTTP://LUNE.EXAMPLE", "lune.example"),
        ("https://lune.example:8443/", "lune.example"),
        ("https://lune.example.", "lune.example"),
        ("https://mutuelle.example@fraude.test/", "fraude.test"),
        ("https://mutuelle.example:x@fraude.test:80", "fraude.test"),
        ("https://mutuelle.example%40x@fraude.test", "fraude.test"),
        ("https:\\\\fraude.test\\x", "fraude.test"),
        ("https:fraude.test", "fraude.test"),
        ("https:///fraude.test", "fraude.test"),
        ("//fraude.test/x", "fraude.test"),
        ("\\\\fraude.test\\x", "fraude.test"),
        (" ht\ntps://fra\tude.test", "fraude.test"),
        ("https://fraude%2Etest/", "fraude.test"),
        ("https://mutuelle-santé.example/", "xn--mutuelle-sant-nhb.example"),
        ("https://xn--mutuelle-sant-nhb.example/", "xn--mutuelle-sant-nhb.example"),
        ("https://fraude。test", "fraude.test"),
        ("www.lune.example/x", "www.lune.example"),
        ("lune.example:8080/x", "lune.example"),
        ("ftp://lune.example", "lune.example"),
        ("https://192.0.2.1/", None),
        ("https://[2001:db8::1]/", None),
        ("https://3221225985/", None),
        ("https://0xC0000201/", None),
        ("https://", None),
        ("https://?x", None),
    ],
)
def test_finds_the_host_as_a_browser_does(url: str, host: str | None) -> None:
    """User names, ports, backslashes, escapes, odd dots and blanks do not hide the host; IP addresses have none."""
    target = read(url)
    assert target.is_web
    assert (str(target.host) if target.host else None) == host


@pytest.mark.parametrize(
    ("url", "scheme", "is_web"),
    [
        ("mailto:a@lune.example", "mailto", False),
        ("tel:+33100000000", "tel", False),
        ("cid:1@lune.example", "cid", False),
        ("javascript:alert(1)", "javascript", True),
        ("data:text/html,x", "data", True),
        ("#top", "", False),
        ("/chemin", "", False),
        ("index.html", "http", True),
        ("", "", False),
    ],
)
def test_tells_what_a_browser_would_load(url: str, scheme: str, is_web: bool) -> None:  # noqa: FBT001  # a table of expected values
    """Mail addresses, numbers and places inside the mail are no web links."""
    target = read(url)
    assert (target.scheme, target.is_web) == (scheme, is_web)


@pytest.mark.parametrize(
    ("url", "pretends"),
    [
        ("https://mutuelle.example@fraude.test/", "mutuelle.example"),
        ("https://mutuelle.example:443@fraude.test/", "mutuelle.example"),
        ("https://jean@fraude.test/", None),
        ("https://fraude.test/@mutuelle.example", None),
    ],
)
def test_sees_a_domain_before_the_at_sign(url: str, pretends: str | None) -> None:
    """What stands before "@" is a user name, made to be read as the host."""
    found = read(url).pretends
    assert (str(found) if found else None) == pretends


@pytest.mark.parametrize(
    ("word", "domain"),
    [
        ("www.lune.example", "www.lune.example"),
        ("https://www.lune.example/x", "www.lune.example"),
        ("(lune.example)", "lune.example"),
        ("lune.example/espace", "lune.example"),
        ("Lune.Example.", "lune.example"),
        ("releve.pdf", None),
        ("1.234,56", None),
        ("M.", None),
        ("etc...", None),
        ("v2.0", None),
        ("mot", None),
        ("", None),
    ],
)
def test_knows_a_domain_when_it_is_shown(word: str, domain: str | None) -> None:
    """Host names and addresses show a domain; file names, numbers and words do not."""
    found = shown_domain(word)
    assert (str(found) if found else None) == domain


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["https:", "/", "\\", "@", ":", "%2e", "[", "]", "a.test", "?", "#", "。", "\t", "é"])).map("".join)
)
def test_reading_never_raises(url: str) -> None:
    """For any text the target is a value."""
    assert read(url).scheme == read(url).scheme.lower()
    shown_domain(url)
