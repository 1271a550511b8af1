"""Addresses and domains as a log may show them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.model.mask import masked, shown_domain


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("jean.dupont@example.org", "j…@example.org"),
        ('"a b"@example.org', '"…@example.org'),
        ("postmaster", "p…"),
        ("", ""),
        ("@example.org", "…@example.org"),
        ("élise@example.org", "é…@example.org"),
        ('"a@b"@example.org', '"…@example.org'),
        ("jean%example.org@relay.example", "j…@relay.example"),
        ("\x1b[2J@example.org", "?…@example.org"),
        ("\udcff@example.org", "?…@example.org"),
        ("x@jean dupont\r\n", "x…@jean?dupont??"),
        ("x@[192.0.2.1]", "x…@[192.0.2.1]"),
        ("x@2850578006084.example", "x…@#############.example"),
        ("x@fr76.3000.6000.0112.3456.example", "x…@fr##.####.####.####.####.example"),
        ("x@amVhbkBleGFtcGxl.example", "x…@amvhbkblegftcgxl.example"),
    ],
)
def test_masking_hides_the_local_part(address: str, shown: str) -> None:
    """What is shown is the first character of a local part, and the domain without numbers long enough to be somebody's."""
    assert masked(address) == shown


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=300))
def test_any_address_becomes_short_and_printable(local: str, domain: str) -> None:
    """Whatever stands in an envelope, the log's line stays one line."""
    for shown in (masked(f"{local}@{domain}"), masked(local), shown_domain(domain)):
        assert shown.isprintable()
        assert len(shown) <= 600
