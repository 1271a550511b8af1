"""The arguments of MAIL and RCPT."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.fronts import paths
from milter.model.reply import Reply


@pytest.mark.parametrize(
    ("argument", "address", "parameters"),
    [
        ("FROM:<a@b.example>", "a@b.example", ()),
        ("from: <a@b.example>", "a@b.example", ()),
        ("FROM:<>", "", ()),
        ("FROM:<> SIZE=1", "", ("SIZE=1",)),
        ("FROM:<a@b.example>  SIZE=1  BODY=8BITMIME ", "a@b.example", ("SIZE=1", "BODY=8BITMIME")),
        ("FROM:<@r.example:a@b.example>", "a@b.example", ()),
        ("FROM:<@r.example,@s.example:a@b.example>", "a@b.example", ()),
        ('FROM:<"a b"@b.example>', '"a b"@b.example', ()),
        ('FROM:<"a>b"@b.example> SMTPUTF8', '"a>b"@b.example', ("SMTPUTF8",)),
        (r'FROM:<"a\"b\\"@b.example>', r'"a\"b\\"@b.example', ()),
        ('FROM:<"@"@b.example>', '"@"@b.example', ()),
        ('FROM:<""@b.example>', '""@b.example', ()),
        ('FROM:<a."b c".d@b.example>', 'a."b c".d@b.example', ()),
        ("FROM:<a..b.@b.example>", "a..b.@b.example", ()),
        ("FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", ()),
        ("FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ()),
        ("FROM:<postmaster>", "postmaster", ()),
        ("FROM:<a+b=c%d!e@b.example>", "a+b=c%d!e@b.example", ()),
        ("FROM:a@b.example SIZE=1", "a@b.example", ("SIZE=1",)),
        ("FROM:<é@bücher.example>", "é@bücher.example", ()),
    ],
)
def test_read(argument: str, address: str, parameters: tuple[str, ...]) -> None:
    """Paths are read as mail servers read them, and kept as written."""
    assert paths.read("FROM:", argument) == paths.Path(address, parameters)


@pytest.mark.parametrize(
    "argument",
    [
        None,
        "",
        "FROM",
        "FROM:",
        "FROM: ",
        "TO:<a@b.example>",
        "FROM:<a@b.example",
        "FROM:a@b.example>",
        "FROM:<a@b@c.example>",
        "FROM:<a b@c.example>",
        "FROM:<a@b.example>x",
        "FROM:<<a@b.example>>",
        "FROM:<a@>",
        "FROM:<@b.example>",
        'FROM:<"a@b.example>',
        'FROM:<"a\\"@b.example>',
        "FROM:<a\tb@c.example>",
        "FROM:<a@b.example> SIZE==",
        "FROM:<a@b.example> SIZE=",
        "FROM:<a@b.example> -X=1",
        "FROM:<a@b.example> X=\x01",
        "FROM:<a@b.example>" + " X=1" * 21,
        "FROM:<a\udcff@b.example>",
        "FROM:<a@b.example> ENVID=\udcff",
        "FROM:<a@b,c.example>",
        "FROM:<a@b.example,d@e.example>",
    ],
)
def test_refused(argument: str | None) -> None:
    """What cannot be read is refused with 501, never guessed at."""
    said = paths.read("FROM:", argument)
    assert isinstance(said, Reply)
    assert said.code == 501


def test_linear() -> None:
    """Hostile arguments of the greatest length cost next to nothing."""
    began = time.perf_counter()
    for hostile in (
        '"a"' * 1_300,
        '"' * 4_000,
        "\\" * 4_000,
        '"\\' * 2_000,
        "@" * 4_000,
        "@a" * 2_000,
        "@a," * 1_300,
        "a" * 4_000,
        "<" * 4_000,
        " " * 4_000,
    ):
        for argument in (f"FROM:<{hostile}>", f"FROM:{hostile}", f"FROM:<{hostile}", f"FROM:<a> {hostile}"):
            paths.read("FROM:", argument)
    assert time.perf_counter() - began < 0.5


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('<>@:," \\.a[]\udc80é=\x00\x7f'), max_size=30))
def test_no_address_breaks_out(text: str) -> None:
    """Whatever is read as an address can stand between brackets in a command of ours without ending them or the line."""
    read = paths.read("FROM:", "FROM:" + text)
    if isinstance(read, paths.Path):
        again = paths.read("FROM:", f"FROM:<{read.address}>")
        assert isinstance(again, paths.Path)
        assert again.address == read.address
        assert b"\r" not in read.octets
        assert b"\n" not in read.octets
        assert b"\0" not in read.octets
        assert all(b" " not in one for one in read.parameter_octets)
