"""Who the author is, or why nobody can tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.addresses import read_addresses, read_author
from milter.mime.fields import scan
from milter.mime.shown import addresses_in
from milter.model.address import Author, AuthorKind
from milter.model.limits import Limits

LIMITS = Limits()


def author_of(head: bytes, limits: Limits = LIMITS) -> Author:
    """The author as the reading of a whole mail finds it."""
    header = scan(head + b"To: <victim@recipient.test>\r\n\r\nbody", limits)
    return read_author(
        header.fields,
        limits,
        beyond=header.beyond,
        headless="empty first line" in header.defects,
        mixed_line_ends=header.mixed_line_ends,
        truncated=bool(header.incomplete),
    )


def domains(author: Author) -> list[str]:
    """The domains of all candidates."""
    return [str(candidate.domain) for candidate in author.candidates]


@pytest.mark.parametrize(
    ("value", "local", "domain", "name"),
    [
        ("contact@mutuelle.example", "contact", "mutuelle.example", ""),
        ("<contact@mutuelle.example>", "contact", "mutuelle.example", ""),
        ("Mutuelle Lune <contact@MUTUELLE.example>", "contact", "mutuelle.example", "Mutuelle Lune"),
        ('"Lune, Service" <contact@mutuelle.example>', "contact", "mutuelle.example", "Lune, Service"),
        ('"Le \\"Lune\\"" <contact@mutuelle.example>', "contact", "mutuelle.example", 'Le "Lune"'),
        ("=?utf-8?Q?Sant=C3=A9,_Lune?= <contact@mutuelle.example>", "contact", "mutuelle.example", "Santé, Lune"),
        ('"=?utf-8?Q?Sant=C3=A9?=" <contact@mutuelle.example>', "contact", "mutuelle.example", "Santé"),
        ("Dupont, Jean <jean@mutuelle.example>", "jean", "mutuelle.example", "Dupont, Jean"),
        ("jean@mutuelle.example (Jean Dupont)", "jean", "mutuelle.example", "Jean Dupont"),
        ("Jean (agence) <jean@mutuelle.example>", "jean", "mutuelle.example", "Jean (agence)"),
        ("Lune: jean@mutuelle.example;", "jean", "mutuelle.example", "Lune"),
        ("Lune: Jean <jean@mutuelle.example>;", "jean", "mutuelle.example", "Lune Jean"),
        ("<@relais.example:jean@mutuelle.example>", "jean", "mutuelle.example", ""),
        ("jean . dupont @ mutuelle . example", "jean.dupont", "mutuelle.example", ""),
        ('"jean dupont"@mutuelle.example', "jean dupont", "mutuelle.example", ""),
        ("<jean@mutuelle-santé.example>", "jean", "xn--mutuelle-sant-nhb.example", ""),
        ("<jean@mutuelle.example.>", "jean", "mutuelle.example", ""),
        (", <jean@mutuelle.example>,,", "jean", "mutuelle.example", ""),
        ("<jean@localhost>", "jean", "localhost", ""),
    ],
)
def test_finds_the_one_author(value: str, local: str, domain: str, name: str) -> None:
    """Lax and obsolete forms that every program reads alike give one author."""
    author = author_of(b"From: " + value.encode() + b"\r\n")
    assert author.kind is AuthorKind.ONE
    assert author.address is not None
    assert (author.address.local, str(author.address.domain), author.address.name) == (local, domain, name)


@pytest.mark.parametrize(
    ("head", "kind", "found", "reason"),
    [
        (b"From: <a@x.example>\r\nFrom: <b@x.example>\r\n", AuthorKind.SEVERAL, ["x.example", "x.example"], "repeated field"),
        (b"From: <a@x.example>\r\nFrom : <b@y.example>\r\n", AuthorKind.SEVERAL, ["x.example", "y.example"], "repeated field"),
        (b"From: <a@x.example>, <b@y.example>\r\n", AuthorKind.SEVERAL, ["x.example", "y.example"], "several mailboxes"),
        (b"From: <a@x.example>, <b@x.example>\r\n", AuthorKind.ONE, ["x.example", "x.example"], "several mailboxes"),
        (b"From: <a@x.example>, <b@[192.0.2.1]>\r\n", AuthorKind.SEVERAL, ["x.example"], "address literal"),
        (b"From: <a@[192.0.2.1]>\r\n", AuthorKind.NONE, [], "address literal"),
        (b"From: Lune Assurances\r\n", AuthorKind.NONE, [], ""),
        (b"From: <>\r\n", AuthorKind.NONE, [], ""),
        (b"", AuthorKind.NONE, [], ""),
        (b"From: G:;\r\n", AuthorKind.NONE, [], "group"),
        (b"From: a@x.example <b@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "address as unquoted display name"),
        (b"From: <a@x.example> <b@y.example>\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "several addresses without comma"),
        (b"From: <a@x.example> b@y.example\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "text after the address"),
        (b"From: a@x.example b@y.example\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "several at signs"),
        (b"From: a@x.example; b@y.example\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "semicolon outside a group"),
        (b"From: <a@x.example@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "several at signs"),
        (b"From: <a@x..example>\r\n", AuthorKind.MALFORMED, ["x.example"], "unusable domain"),
        (b"From: <a@x\xe3\x80\x82example>\r\n", AuthorKind.MALFORMED, ["x.example"], "unusable domain"),
        (b"From: <a@x\xc2\xad.example>\r\n", AuthorKind.MALFORMED, ["x.example"], "unusable domain"),
        (b'From: "x <a@x.example>, b@y.example\r\n', AuthorKind.MALFORMED, ["x.example", "y.example"], "open quote"),
        (b"From: (x <a@x.example>\r\n", AuthorKind.MALFORMED, ["x.example"], "open comment"),
        (b"From: x <a@x.example\r\n", AuthorKind.MALFORMED, ["x.example"], "open angle bracket"),
        (b"From: a@x.example>\r\n", AuthorKind.MALFORMED, ["x.example"], "stray bracket"),
        (b"From: <<a@x.example>b@y.example>\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "stray bracket"),
        (b"From: G: a@x.example\r\n", AuthorKind.MALFORMED, ["x.example"], "open group"),
        (b"From: G: H: a@x.example;;\r\n", AuthorKind.MALFORMED, ["x.example"], "nested group"),
        (b"From: <a@x.example\0>\r\n", AuthorKind.MALFORMED, ["x.example"], "control characters"),
        (b"From: a b <c d@x.example>\r\n", AuthorKind.MALFORMED, ["x.example"], "blank inside an address"),
        (b"From: <a@x.example, b@y.example>\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "list inside angle brackets"),
        (b"From: =?utf-8?Q?a=40x.example?=, b@y.example\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "encoded word hides an address"),
        (b" From: <a@x.example>\r\nFrom: <b@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "blank before the field"),
        (b"From: a@x.example\r\nx\r\nFrom: b@y.example\r\n", AuthorKind.MALFORMED, ["x.example", "y.example"], "line without colon before the field"),
        (b"From\0: <a@x.example>\r\nFrom: <b@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "disguised field name"),
        (b"\xef\xbb\xbfFrom: <a@x.example>\r\nFrom: <b@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "disguised field name"),
        (b"X: a\nFrom: <a@x.example>\r\n", AuthorKind.MALFORMED, ["x.example"], "line end other than CRLF"),
        (b"X: a\rFrom: <a@x.example>\r\nFrom: <b@y.example>\r\n", AuthorKind.MALFORMED, ["y.example", "x.example"], "bare CR"),
    ],
)  # fmt: skip
def test_names_every_ambiguity(head: bytes, kind: AuthorKind, found: list[str], reason: str) -> None:
    """Where two programs may show different authors, there is no single one; all candidates and the reason are given."""
    author = author_of(head)
    assert author.kind is kind
    assert set(domains(author)) == set(found)
    assert not reason or reason in author.reasons
    assert (author.domain is not None) == (kind is AuthorKind.ONE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'"a@x.example" <b@y.example>', "address in display name"),
        (b"=?utf-8?Q?a=40x.example?= <b@y.example>", "address in display name"),
        ("a＠x.example <b@y.example>".encode(), "address in display name"),
        (b"=?utf-8?B?PT91dGYtOD9RP2E9NDB4LmV4YW1wbGU/PQ==?= <b@y.example>", "address in display name"),
        (b"b@y.example (a@x.example)", "address in display name"),
        ("Lu\u202ene <b@y.example>".encode(), "invisible or direction characters"),
        ("Lu\u200bne <b@y.example>".encode(), "invisible or direction characters"),
        ("Lu\u200fne <b@y.example>".encode(), "invisible or direction characters"),
        (b"<" + b"x" * 65 + b"@y.example>", "overlong value"),
        (b'"' + b"x" * 101 + b'" <b@y.example>', "overlong value"),
        (b"=?utf-8?Q?b?=@y.example", "encoded word in address"),
        (b"<@x.example:b@y.example>", "source route"),
        (b"<@y.example>", "no local part"),
    ],
)
def test_notes_what_deceives_the_eye(value: bytes, reason: str) -> None:
    """Tricks of the display leave one author, and are named."""
    author = author_of(b"From: " + value + b"\r\n")
    assert (author.kind, str(author.domain)) == (AuthorKind.ONE, "y.example")
    assert reason in author.reasons


@pytest.mark.parametrize(
    "value",
    [
        b'"contact@y.example" <contact@y.example>',
        b"=?utf-8?B?16nXqNeV16rigI8gTHVuZQ==?= <b@y.example>",
        "Zoé 👩\u200d💻 <b@y.example>".encode(),
        b"Jean Dupont via Liste <b@y.example>",
    ],
)
def test_leaves_honest_names_alone(value: bytes) -> None:
    """The own address as name, right-to-left names and emoji are no tricks."""
    assert author_of(b"From: " + value + b"\r\n").reasons == ()


@pytest.mark.parametrize(
    ("value", "first", "other"),
    [
        (b'"a@x.example"@y.example', "y.example", "x.example"),
        (b'"L\\" <a@x.example>" <b@y.example>', "y.example", "x.example"),
        (b"(L <a@x.example>) b@y.example", "y.example", "x.example"),
        (b"<b@(x.example)y.example>", "y.example", "x.example"),
        (b"=?utf-8?B?TCA8YUB4LmV4YW1wbGU+?= <b@y.example>", "y.example", "x.example"),
        (b"<@x.example:b@y.example>", "y.example", "x.example"),
    ],
)
def test_gives_what_careless_programs_would_take(value: bytes, first: str, other: str) -> None:
    """A program that decodes or unquotes before it parses finds another address; it is a candidate, never the author."""
    author = author_of(b"From: " + value + b"\r\n")
    assert list(dict.fromkeys(domains(author))) == [first, other]
    assert author.kind is AuthorKind.ONE


def test_from_lines_inside_other_fields_are_candidates() -> None:
    """A program that splits at other characters than line ends sees a From where we see text."""
    author = author_of(b"X-Note: a\x0bFrom: <a@x.example>\r\nSubject: b\r\n From: <c@z.example>\r\nFrom: <b@y.example>\r\n")
    assert author.kind is AuthorKind.ONE
    assert domains(author) == ["y.example", "x.example", "z.example"]


def test_mailbox_line_on_top_is_a_candidate_only() -> None:
    """A Unix mailbox line names an address that some programs show; the From field counts."""
    author = author_of(b"From a@x.example Mon Mar  2 09:00:00 2026\r\nFrom: <b@y.example>\r\n")
    assert (author.kind, domains(author)) == (AuthorKind.ONE, ["y.example", "x.example"])


def test_header_cut_at_a_limit_has_no_sure_author() -> None:
    """A From may stand beyond the limit, so the one that was seen does not count as the only one."""
    author = author_of(b"From: <b@y.example>\r\n" + b"X: y\r\n" * 20, Limits(fields=5))
    assert (author.kind, author.reasons) == (AuthorKind.MALFORMED, ("header cut at a limit",))


def test_overlong_value_is_read_at_both_ends() -> None:
    """Of a value beyond the limit, beginning and end give candidates; nobody can say which is shown."""
    author = author_of(b'From: "a@x.example' + b" " * 5_000 + b'" <b@y.example>\r\n')
    assert author.kind is AuthorKind.MALFORMED
    assert set(domains(author)) == {"x.example", "y.example"}
    assert "overlong value" in author.reasons


def test_keeps_at_most_so_many_candidates() -> None:
    """`limits.authors` bounds the candidates, whatever the field holds."""
    many = b", ".join(b"<a%d@x%d.example>" % (number, number) for number in range(100))
    author = author_of(b"From: " + many + b"\r\n", Limits(authors=7))
    assert len(author.candidates) == 7
    assert author.kind is AuthorKind.SEVERAL
    assert len(read_addresses(many, Limits(authors=7))) == 7


def test_reads_address_lists() -> None:
    """Other fields give their mailboxes in order, names decoded."""
    found = read_addresses(b"=?utf-8?Q?L=C3=BCne?= <a@x.example>, b@y.example (B), undisclosed:;", LIMITS)
    assert [(address.name, address.written) for address in found] == [("Lüne", "a@x.example"), ("B", "b@y.example")]


PIECES = st.sampled_from(
    [
        '"',
        "<",
        ">",
        "@",
        ",",
        ";",
        ":",
        "(",
        ")",
        "\\",
        "[",
        "]",
        " ",
        "a",
        "b.example",
        "=?utf-8?Q?=40?=",
        "=?",
        "?=",
        "é",
        "\0",
        "\u202e",
        ".",
        "＠",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_reading_never_raises_and_is_consistent(text: str) -> None:
    """For any text: no exception; ONE has an author domain, anything else none; candidates have domains."""
    author = author_of(b"From: " + text.encode("utf-8", "replace").replace(b"\n", b" ") + b"\r\n")
    assert (author.kind is AuthorKind.ONE) == (author.domain is not None)
    assert all(candidate.domain for candidate in author.candidates)
    addresses_in(text, 5)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=150))
def test_any_header_has_an_author_reading(raw: bytes) -> None:
    """For any octets in place of the header, the reading is a value."""
    assert author_of(raw).kind in AuthorKind
