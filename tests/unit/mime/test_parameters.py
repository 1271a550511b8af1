"""Content-Type and Content-Disposition values, well formed and as programs really write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.parameters import read


@pytest.mark.parametrize(
    ("value", "main", "params"),
    [
        (b" text/plain", "text/plain", {}),
        (b" TEXT/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        (b' text/html; charset="utf-8";', "text/html", {"charset": "utf-8"}),
        (b'multipart/mixed;\r\n\tboundary="a b"; type=x', "multipart/mixed", {"boundary": "a b", "type": "x"}),
        (b"multipart/mixed; boundary=----=_x(1)", "multipart/mixed", {"boundary": "----=_x(1)"}),
        (b"text/plain (comment); charset = utf-8", "text/plain", {"charset": "utf-8"}),
        (b'a/b; name="x\\"y;z"', "a/b", {"name": 'x"y;z'}),
        (b"a/b; name=mit blank.pdf", "a/b", {"name": "mit blank.pdf"}),
        (b"a/b; charset=utf-8 format=flowed", "a/b", {"charset": "utf-8"}),
        (b'multipart/mixed; boundary="=_a=b"', "multipart/mixed", {"boundary": "=_a=b"}),
        (b'a/b; name="x\r\n y"', "a/b", {"name": "x y"}),
        (b"a/b; name=x; name=y", "a/b", {"name": "x"}),
        (b'a/b; name="never closed; x=y', "a/b", {"name": "never closed; x=y"}),
        (b"a/b;; ;name=x", "a/b", {"name": "x"}),
        (b"attachment; filename*=utf-8''re%C3%A7u.pdf", "attachment", {"filename": "reçu.pdf"}),
        (b"attachment; filename*=utf-8''re%C3%A7u.pdf; filename=x", "attachment", {"filename": "reçu.pdf"}),
        (b"attachment; filename*0=re; filename*1=cu.pdf", "attachment", {"filename": "recu.pdf"}),
        (b"attachment; filename*1*=%E9u.pdf; filename*0*=iso-8859-1'fr're", "attachment", {"filename": "reéu.pdf"}),
        (b'attachment; filename="=?utf-8?Q?re=C3=A7u.pdf?="', "attachment", {"filename": "reçu.pdf"}),
        ("attachment; filename=reçu.pdf".encode("latin-1"), "attachment", {"filename": "reçu.pdf"}),
        (b"", "", {}),
        (b";", "", {}),
        (b"=;=;", "=", {}),
    ],
)
def test_reads_what_programs_write(value: bytes, main: str, params: dict[str, str]) -> None:
    """Quotes, comments, continuations, charsets and the usual mistakes are read as mail programs read them."""
    found_main, found = read(value)
    assert found_main == main
    assert {name: text for name, text in found.items() if name} == params


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from([b";", b"=", b'"', b"*", b"0", b"'", b"%", b"name", b"\\", b"\r\n ", b"a/b", b"\xff"])).map(b"".join)
)
def test_reading_never_raises(value: bytes) -> None:
    """For any octets the result is text."""
    main, params = read(value)
    assert all(text.encode("utf-8") is not None for text in [main, *params, *params.values()])
