"""SPF macro strings."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth.spf_macro import Scene, expand, expand_domain, read_domain_spec, read_macro

SCENE = Scene(ip_address("192.0.2.3"), "strong-bad", "email.example.com", "mx.example.org", "email.example.com", "mx.example.org")
SIX = Scene(ip_address("2001:db8::cb01"), "strong-bad", "email.example.com", "mx.example.org", "email.example.com")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        # RFC 7208 §7.4
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{l}.%{h}.%{p}", "strong-bad.mx.example.org.mx.example.org"),
        ("a%%b%_c%-d", "a%b c%20d"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{d999}", "email.example.com"),
        ("%{l+-_}", "strong.bad"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    """Letters, transformers and delimiters give what RFC 7208 §7.4 shows."""
    macro = read_macro(text)
    assert macro is not None
    assert expand(macro, SCENE) == expanded


def test_ipv6_is_written_as_nibbles() -> None:
    """An IPv6 address expands to dotted nibbles (RFC 7208 §7.4)."""
    macro = read_macro("%{ir}.%{v}._spf.%{d2}")
    assert macro is not None
    assert expand(macro, SIX) == "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"


@pytest.mark.parametrize("text", ["%", "%a", "%{x}", "%{d", "%{d0}", "%{d00}", "%{}", "%{d!}", "%{c}", "%{t}", "a b", "é", "a\x7f"])
def test_syntax_errors(text: str) -> None:
    """A percent sign out of place, an unknown letter or a zero is a syntax error."""
    assert read_macro(text) is None


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("example.com", True),
        ("example.com.", True),
        ("%{d}", True),
        ("_spf.%{d2}", True),
        ("a.b-c", True),
        ("a.1c", True),
        ("com", False),
        ("a.123", False),
        ("a.-b", False),
        ("a.b-", False),
        ("a..", False),
        ("", False),
        ("a.%%", False),
        ("a.%_", False),
        ("192.0.2.1", False),
    ],
)
def test_domain_specs(text: str, *, good: bool) -> None:
    """A domain-spec ends in a macro or in a top label that is no number (RFC 7208 §7.1)."""
    assert (read_domain_spec(text) is not None) is good


def test_explanations_have_more_letters() -> None:
    """In an explanation blanks and the letters c, r, t are allowed."""
    macro = read_macro("%{c} is not %{r} at %{t}", explanation=True)
    assert macro is not None
    assert expand(macro, SCENE) == "192.0.2.3 is not unknown at 0"


def test_long_names_lose_their_left_labels() -> None:
    """A name beyond 253 octets loses labels on the left until it fits (RFC 7208 §7.3)."""
    macro = read_domain_spec("%{l}.example.com")
    assert macro is not None
    scene = Scene(SCENE.ip, ".".join(["abcdefghi"] * 30), "x.example", "h.example", "x.example")
    name = expand_domain(macro, scene)
    assert len(name) <= 253
    assert name.endswith(".abcdefghi.example.com")
    assert name.startswith("abcdefghi.")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="%{}sdlip0123456789r.-+/_=aB \x00é", max_size=40), st.text(max_size=30))
def test_any_text_is_read(text: str, local: str) -> None:
    """Invariant: no text makes reading or expanding raise."""
    for explanation in (False, True):
        macro = read_macro(text, explanation=explanation)
        if macro is not None:
            assert isinstance(expand_domain(macro, Scene(SCENE.ip, local, local, local, local)), str)
