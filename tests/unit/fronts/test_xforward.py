"""XFORWARD attributes."""

from __future__ import annotations

import pytest

from milter.fronts import xforward
from milter.model.mail import Connection


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("NAME=a.example ADDR=192.0.2.1", {"NAME": "a.example", "ADDR": "192.0.2.1"}),
        ("name=a  helo=b", {"NAME": "a", "HELO": "b"}),
        (
            "ADDR=IPV6:2001:db8::1 PORT=25 PROTO=ESMTP IDENT=4X SOURCE=LOCAL",
            {"ADDR": "IPV6:2001:db8::1", "PORT": "25", "PROTO": "ESMTP", "IDENT": "4X", "SOURCE": "LOCAL"},
        ),
        ("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", {"ADDR": "[UNAVAILABLE]", "NAME": "[TEMPUNAVAIL]"}),
        ("NAME=a NAME=b", {"NAME": "b"}),
        ("HELO=a+20b", {"HELO": "a+20b"}),
    ],
)
def test_read(argument: str, expected: dict[str, str]) -> None:
    """Attributes are kept in xtext, names in upper case."""
    assert xforward.read(argument) == expected


@pytest.mark.parametrize(
    "argument",
    [
        None,
        "",
        "NAME",
        "NAME=",
        "NAME=+2",
        "NAME=+GG",
        "NAME=a=b",
        "NAME=é",
        "FOO=x",
        "ADDR=a.example",
        "ADDR=1.2.3",
        "ADDR=IPV6:x",
        "HELO=" + "a" * 256,
    ],
)
def test_refused(argument: str | None) -> None:
    """What is no XFORWARD is refused in words."""
    assert isinstance(xforward.read(argument), str)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, Connection(None, "", "outer.example")),
        ({"ADDR": "192.0.2.1", "NAME": "a.example", "HELO": "b.example"}, Connection("192.0.2.1", "a.example", "b.example")),
        ({"ADDR": "IPV6:2001:DB8:0::1", "NAME": "[UNAVAILABLE]"}, Connection("2001:db8::1", "", "")),
        ({"ADDR": "[UNAVAILABLE]", "HELO": "a+20+0D+0A+FF"}, Connection(None, "", "a \r\n\ufffd")),
    ],
)
def test_connection(attributes: dict[str, str], expected: Connection) -> None:
    """The client is whom the server names; unknown stays unknown."""
    assert xforward.connection(attributes, helo="outer.example") == expected
