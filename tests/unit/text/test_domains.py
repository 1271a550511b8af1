"""Domain names as mails write them, and who registered them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.model.domain import Domain
from milter.text import domains
from milter.text.domains import is_ip_literal, parse_domain, public_suffix, registrable, same_organization, to_unicode

SUITE = Path(__file__).resolve().parents[4] / "shared" / "data" / "suites" / "psl" / "tests.txt"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Mutuelle-Lavande.Example", "mutuelle-lavande.example"),
        ("  lavande.example. ", "lavande.example"),
        ("santé.example", "xn--sant-epa.example"),
        ("SANTÉ.example", "xn--sant-epa.example"),
        ("XN--SANT-EPA.example", "xn--sant-epa.example"),
        ("sante。example", "sante.example"),
        ("ｓａｎｔｅ.example", "sante.example"),
        ("_dmarc.lavande.example", "_dmarc.lavande.example"),
        ("xn--zz--kaputt--99999.example", "xn--zz--kaputt--99999.example"),
        ("localhost", "localhost"),
        ("faß.example", "xn--fa-hia.example"),
    ],
)
def test_a_written_name_becomes_lower_case_a_labels(written: str, name: str) -> None:
    """Case, blanks, the root dot, full-width letters and other dots make no difference; a broken xn-- label is kept."""
    assert parse_domain(written) == Domain(name)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        ".",
        "..",
        "a..b",
        ".example",
        "a.example..",
        "192.0.2.1",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "2001:db8::1",
        "1.2.3",
        "a.0x7f",
        "a b.example",
        "a@b.example",
        "<a.example>",
        "a/b.example",
        "x" * 64 + ".example",
        ".".join(["a"] * 200),
        "é" * 70 + ".example",
        "a" * 2000,
        "\x00.example",
        "a\n.example",
    ],
)
def test_what_is_no_host_name_gives_none(written: str) -> None:
    """Empty labels, IP literals in every form, blanks, address syntax and names that are too long are no domain."""
    assert parse_domain(written) is None


@pytest.mark.parametrize(
    ("written", "literal"),
    [
        ("192.0.2.1", True),
        ("[192.0.2.1]", True),
        ("[IPv6:2001:db8::1]", True),
        ("2001:db8::1", True),
        ("lavande.example", False),
        ("", False),
        ("[]", False),
    ],
)
def test_ip_literals_are_told(written: str, literal: bool) -> None:  # noqa: FBT001  # a table of cases
    """Addresses in place of a name, with and without brackets."""
    assert is_ip_literal(written) is literal


def test_a_label_that_idna_forbids_is_kept_as_punycode() -> None:
    """Mail programs show a pictogram in a domain, so it must not vanish from our sight."""
    domain = parse_domain("axa☠.example")
    assert domain is not None
    assert domain.name.startswith("xn--axa-")
    assert to_unicode(domain) == "axa☠.example"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("xn--sant-epa.example", "santé.example"), ("lavande.example", "lavande.example"), ("xn--99999999999.example", "xn--99999999999.example")],
)
def test_a_labels_are_shown_decoded_when_they_decode(name: str, shown: str) -> None:
    """A label that does not decode stays as it is."""
    assert to_unicode(Domain(name)) == shown


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("mail.lavande.example", "lavande.example"),
        ("a.b.example", "b.example"),
        ("example", None),
        ("fr", None),
        ("gouv.fr", None),
        ("assure.ameli.test", "ameli.test"),
        ("demo.pages.dev", "demo.pages.dev"),
        ("pages.dev", None),
        ("x.amazonaws.com", "amazonaws.com"),
        ("b.s3.amazonaws.com", "b.s3.amazonaws.com"),
        ("www.city.kobe.jp", "city.kobe.jp"),
        ("a.b.c.kobe.jp", "b.c.kobe.jp"),
        ("www.ck", "www.ck"),
    ],
)
def test_the_registrable_name_is_one_label_below_the_suffix(name: str, owner: str | None) -> None:
    """Inner nodes of longer rules are no suffixes, bare suffixes have no owner, unlisted top levels follow the rule `*`."""
    found = registrable(Domain(name))
    assert (found.name if found else None) == owner


def test_the_lists_own_suite() -> None:
    """The public suffix list's own cases hold, read through parse_domain as a mail would be."""
    if not SUITE.exists():
        pytest.skip("shared data (suites/psl) is not beside the repository")
    cases = [line.split() for line in SUITE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("//")]
    wrong = []
    for written, expected in cases:
        domain = parse_domain(written)
        owner = registrable(domain) if domain else None
        wanted = parse_domain(expected) if expected != "null" else None
        if owner != wanted:
            wrong.append((written, owner, expected))
    assert len(cases) > 60
    assert wrong == []


def test_private_suffixes_are_told_apart() -> None:
    """A free host is a suffix under which strangers register; a registry's suffix is not private."""
    current = domains.current_list()
    assert current.is_private("pages.dev")
    assert not current.is_private("fr")
    assert not current.is_private("example")


def test_one_owner_is_told_from_two_tenants() -> None:
    """Two names of one owner are one organization; two tenants of a free host, or two .example names, are not."""
    assert same_organization(Domain("a.lavande.example"), Domain("lavande.example"))
    assert not same_organization(Domain("a.example"), Domain("b.example"))
    assert not same_organization(Domain("a.pages.dev"), Domain("b.pages.dev"))
    assert same_organization(Domain("fr"), Domain("fr"))


def test_an_empty_list_is_refused() -> None:
    """A list without a rule would make every tenant its own owner, so it raises and the list in use stays."""
    before = domains.current_list()
    with pytest.raises(ValueError, match="no rule"):
        domains.use_list("// nothing\n")
    assert domains.current_list() is before


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gives_a_domain_or_none(text: str) -> None:
    """Invariant: parse_domain never raises, and reading its own answer again gives the same domain."""
    domain = parse_domain(text)
    assert domain is None or parse_domain(domain.name) == domain
    if domain is not None:
        assert public_suffix(domain).name in domain.name
        to_unicode(domain)


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"[a-zà-ÿ]{1,12}(-[a-z]{1,8})?\.(example|test|fr)", fullmatch=True))
def test_case_root_dot_and_u_label_make_no_difference(name: str) -> None:
    """Invariant: upper case, a trailing dot and the shown form all give the same domain."""
    domain = parse_domain(name)
    assert domain is not None
    assert parse_domain(name.upper().replace("SS", "ß" if "ß" in name else "SS") + ".") == domain or "ß" in name or "ı" in name
    assert parse_domain(to_unicode(domain)) == domain
