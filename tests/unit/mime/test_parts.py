"""MIME leaves of well formed and of broken bodies."""

from __future__ import annotations

import base64

import pytest

from milter.mime.fields import scan
from milter.mime.parts import Tree, read
from milter.model.limits import Limits

LIMITS = Limits()


def tree(raw: bytes, limits: Limits = LIMITS) -> Tree:
    """The leaves of a mail."""
    header = scan(raw, limits)
    return read(raw, header.fields, header.body_start, limits)


def multipart(*parts: bytes, kind: bytes = b"mixed", boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> bytes:
    """A multipart body with its Content-Type field; each part has its own header."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=" + boundary + b"\r\n\r\n" + body + end


def texts(found: Tree) -> list[str]:
    """The text of every leaf."""
    return [leaf.part.text for leaf in found.leaves]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\r\nBonjour", "Bonjour"),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\xe9t\xe9", "été"),
        (b"Content-Transfer-Encoding: Quoted-Printable\r\n\r\n=C3=A9=\r\nt=C3=A9 =ZZ", "été =ZZ"),
        (b"Content-Transfer-Encoding: base64 (x)\r\n\r\n" + base64.b64encode("été".encode()), "été"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nw6l0!w6k", "été"),
        (b"Content-Transfer-Encoding: unheard-of\r\n\r\nx", "x"),
        (b"Content-Type: text\r\n\r\nx", "x"),
        (b"Content-Type: ;;;\r\n\r\nx", "x"),
        (b"Content-Type: text/html\r\nContent-Type: image/png\r\n\r\nx", "x"),
    ],
)
def test_decodes_a_single_part(raw: bytes, text: str) -> None:
    """Transfer encoding and charset are undone; a broken one gives what can be read."""
    assert texts(tree(b"A: b\r\n" + raw)) == [text]


def test_splits_a_multipart() -> None:
    """Parts come in order without preamble, epilogue and the line end of the delimiter."""
    raw = multipart(b"\r\none\r\n", b"Content-Type: text/html\r\n\r\n<p>two", end=b"--b--\r\nepilogue")
    found = tree(raw.replace(b"\r\n\r\n--b", b"\r\n\r\npreamble\r\n--b", 1))
    assert [(leaf.part.content_type, leaf.part.text, leaf.part.depth) for leaf in found.leaves] == [
        ("text/plain", "one\r\n", 1),
        ("text/html", "<p>two", 1),
    ]
    assert found.defects == ()


@pytest.mark.parametrize(
    ("raw", "expected", "defect"),
    [
        (multipart(b"\r\none", b"\r\ntwo", end=b""), ["one", "two\r\n"], "missing end boundary"),
        (multipart(b"\r\none", end=b"--b--\r\n\r\n--b\r\n\r\nlate\r\n--b--"), ["one", "late"], ""),
        (multipart(b"\r\none").replace(b"\r\n", b"\n"), ["one"], ""),
        (multipart(b"\r\n--bb\r\n--b2\r\n x--b"), ["--bb\r\n--b2\r\n x--b"], ""),
        (multipart(b"\r\none", end=b"--b--  \t\r\n"), ["one"], ""),
        (multipart(b"Subject: x"), [""], ""),
        (multipart(b"no header here"), ["no header here"], ""),
        (b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx", ["--b\r\n\r\nx"], "multipart without boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno delimiter", ["no delimiter"], "multipart without boundary"),
        (b'Content-Type: multipart/mixed; boundary=""\r\n\r\nx', ["x"], "multipart without boundary"),
        (multipart(b"Content-Type: nonsense\r\n\r\nx"), ["x"], "malformed Content-Type"),
    ],
)
def test_reads_broken_multiparts(raw: bytes, expected: list[str], defect: str) -> None:
    """Missing, late and look-alike delimiters are read as forgiving programs do, so that nothing hides behind them."""
    found = tree(raw)
    assert texts(found) == expected
    assert found.defects == ((defect,) if defect else ())


def test_goes_into_attached_messages() -> None:
    """The text of an attached message is read and marked as quoted, even where it is base64-encoded."""
    inner = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>inner"
    plain = b"Content-Type: message/rfc822\r\n\r\n" + inner
    coded = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(inner)
    found = tree(multipart(b"\r\nouter", plain, coded))
    assert [(leaf.part.text, leaf.quoted) for leaf in found.leaves] == [("outer", False), ("<p>inner", True), ("<p>inner", True)]


def test_digest_holds_messages() -> None:
    """RFC 2046 §5.1.5: parts of a digest are messages unless they say otherwise."""
    found = tree(multipart(b"\r\nSubject: x\r\n\r\ninner", kind=b"digest"))
    assert [(leaf.part.text, leaf.quoted) for leaf in found.leaves] == [("inner", True)]


def test_tells_alternatives_apart() -> None:
    """Leaves below one multipart/alternative share a number, also through a multipart/related."""
    related = multipart(b"Content-Type: text/html\r\n\r\nh", kind=b"related", boundary=b"r", end=b"--r--\r\n")
    found = tree(multipart(multipart(b"\r\np", related, kind=b"alternative", boundary=b"a", end=b"--a--\r\n"), b"\r\nfooter"))
    assert [(leaf.part.text, leaf.alternative) for leaf in found.leaves] == [("p", 1), ("h", 1), ("footer", 0)]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b'Content-Type: application/pdf; name="a.pdf"', "a.pdf"),
        (b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="b.pdf"', "b.pdf"),
        (b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''re%C3%A7u.pdf", "reçu.pdf"),
        (b'Content-Type: application/pdf; name="..\\..\\x/C:\\re\x00cu.pdf"', "recu.pdf"),
        (b"Content-Type: application/pdf", ""),
    ],
)
def test_reads_file_names(header: bytes, name: str) -> None:
    """File names are decoded and cut to their last component."""
    part = tree(multipart(header + b"\r\n\r\n%PDF")).leaves[0].part
    assert (part.filename, part.octets, part.text) == (name, b"%PDF", "")


def test_text_attachments_keep_text_and_disposition() -> None:
    """A text file is text; its disposition says that it is not shown."""
    part = tree(multipart(b"Content-Type: text/csv\r\nContent-Disposition: ATTACHMENT; filename=a.csv\r\n\r\na;b")).leaves[0].part
    assert (part.text, part.disposition) == ("a;b", "attachment")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(mime_parts=3), "too many MIME parts"),
        (Limits(mime_depth=1), "MIME parts nested too deep"),
        (Limits(part_octets=5), "attachment too large"),
        (Limits(text_chars=1, html_octets=1), "text part too long"),
    ],
)
def test_stops_at_a_limit_and_says_so(limits: Limits, words: str) -> None:
    """Parts beyond a limit are not read and the reading says why."""
    inner = multipart(b"\r\n0123456789", b"\r\ny", boundary=b"i", end=b"--i--\r\n")
    raw = multipart(inner, b"Content-Type: image/png\r\n\r\n0123456789", b"\r\nlast")
    assert words in tree(raw, limits).incomplete
    assert tree(raw).incomplete == ()
