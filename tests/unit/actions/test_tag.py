"""The subject tag: in front once, out again, and out of what senders write."""

from __future__ import annotations

import time
from email.header import decode_header

import pytest

from milter.actions import encode, tag
from tests.helpers.subjects import AWKWARD, Subject

FR, EN, DE = "[Usurpation ? {insurer}] ", "[Impersonation? {insurer}] ", "[Identitätsmissbrauch? {insurer}] "
PLAIN = tag.text(FR, "Mutuelle des Lilas")
ACCENTED = tag.text(FR, "Mutuelle Générale")
KNOWN = tag.shapes((FR, EN, DE))
LONG = tag.text(DE, "Caisse mutuelle des très grands entrepôts frigorifiques réunis")


def stdlib(value: bytes) -> str:
    """What the standard library shows for a subject, each run of blanks as one."""
    unfolded = value.decode("latin-1").replace("\r\n", "").replace("\n", "").replace("\r", " ")
    parts = []
    for text, charset in decode_header(unfolded.strip()):
        octets = text if isinstance(text, bytes) else text.encode("latin-1")
        try:
            parts.append(octets.decode(charset or "utf-8"))
        except UnicodeDecodeError:
            parts.append(octets.decode(charset or "latin-1", "replace"))
    return " ".join("".join(parts).split())


def untagged(value: bytes, label: str) -> bytes:
    """The inverse of `tag.put`, written from its description."""
    for shape in (label, label + " "):
        for line_end in (b"\r\n", b"\n"):
            words = encode.encoded_words(shape, encode.LINE - len("Subject:") - 2) if encode.needs_encoding(shape) else [shape]
            octets = (line_end + b" ").join(word.encode() for word in words)
            for start in (b"  " + octets + line_end, b" " + octets, octets + line_end + b" ", octets + b" "):
                if value.startswith(start):
                    return value[len(start) :]
    raise AssertionError("no tag in front")


@pytest.mark.parametrize(
    ("template", "name", "shown"),
    [
        (FR, "Mutuelle des Lilas", "[Usurpation ? Mutuelle des Lilas]"),
        (FR, "", "[Usurpation ?]"),
        ("[Spoof]", "X", "[Spoof]"),
        (FR, "a\r\nBcc: b", "[Usurpation ? a Bcc: b]"),
        (FR, "{insurer}" * 2, "[Usurpation ? {insurer}{insurer}]"),
        ("", "X", ""),
    ],
)
def test_the_text_of_a_tag(template: str, name: str, shown: str) -> None:
    """The name is filled in as text; without one its place closes up."""
    assert tag.text(template, name) == shown


@pytest.mark.parametrize(
    ("value", "label", "tagged"),
    [
        (b" foo", PLAIN, b" [Usurpation ? Mutuelle des Lilas] foo"),
        (b"foo", PLAIN, b"[Usurpation ? Mutuelle des Lilas] foo"),
        (b"", PLAIN, b" [Usurpation ? Mutuelle des Lilas]"),
        (b"\r\n foo", PLAIN, b" [Usurpation ? Mutuelle des Lilas]\r\n foo"),
        (b" " + b"x" * 60, PLAIN, b"  [Usurpation ? Mutuelle des Lilas]\r\n " + b"x" * 60),
        (b"x" * 60, PLAIN, b"[Usurpation ? Mutuelle des Lilas]\r\n " + b"x" * 60),
        (b" =?utf-8?Q?=C3=A9?=", PLAIN, b" [Usurpation ? Mutuelle des Lilas] =?utf-8?Q?=C3=A9?="),
        (b" =?utf-8?Q?=C3=A9?=", "[\u00e9]", b" =?utf-8?b?W8OpXSA=?= =?utf-8?Q?=C3=A9?="),
        (b" foo", "[\u00e9]", b" =?utf-8?b?W8OpXQ==?= foo"),
        (b"foo", "[\u00e9]", b"=?utf-8?b?W8OpXQ==?= foo"),
        (b" foo", "", b" foo"),
    ],
)
def test_a_tag_goes_in_front(value: bytes, label: str, tagged: bytes) -> None:
    """The old octets stay behind the tag; where a blank is needed and readers drop it, it goes inside the encoded tag."""
    assert tag.put(value, label) == tagged


@pytest.mark.parametrize("label", [PLAIN, ACCENTED, LONG, "[\u00e9]", "[Подделка? 保険]"])
@pytest.mark.parametrize("subject", AWKWARD, ids=lambda subject: subject.name)
def test_awkward_subjects(subject: Subject, label: str) -> None:
    """The subject decodes to the tag plus the old text, by our reader and the standard library's; untagging gives the original octets."""
    assert tag.shown(subject.value) == subject.text
    tagged = tag.put(subject.value, label)
    assert tag.shown(tagged) == f"{label} {subject.text}".strip()
    assert stdlib(tagged) == f"{label} {stdlib(subject.value)}".strip()
    assert untagged(tagged, label) == subject.value
    assert tagged.endswith(subject.value)
    lines = [b"Subject:" + tagged.split(b"\r\n")[0], *tagged.split(b"\r\n")[1:]]
    assert all(line.strip() for line in lines)
    assert max(map(len, lines)) <= max(110, *(len(line) + 1 for line in subject.value.split(b"\r\n")))


@pytest.mark.parametrize("subject", AWKWARD, ids=lambda subject: subject.name)
def test_subjects_without_our_tag_are_left_alone(subject: Subject) -> None:
    """A subject in which our tag does not stand is not rewritten."""
    assert tag.remove(subject.value, KNOWN) is None


@pytest.mark.parametrize("label", [PLAIN, ACCENTED, tag.text(EN, "X"), tag.text(DE, "Mutuelle Générale"), tag.text(FR, "")])
@pytest.mark.parametrize("subject", AWKWARD, ids=lambda subject: subject.name)
def test_our_own_tag_is_taken_out(subject: Subject, label: str) -> None:
    """A subject that we tagged and that comes back shows the old text again, whatever the language of the tag."""
    left = tag.remove(tag.put(subject.value, label), KNOWN)
    assert left is not None
    assert tag.shown(left) == subject.text


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b" Re: [Usurpation ? Lilas] foo", b" Re: foo"),
        (b" Re: [USURPATION  ?   Lilas] foo", b" Re: foo"),
        (b" Re:[Usurpation ? Lilas]foo", b" Re:foo"),
        (b" foo [Usurpation ? Lilas]", b" foo"),
        (b" [Usurpation ? Lilas] Re: [Impersonation? Lilas] foo", b" Re: foo"),
        (b" [Usurpation ? Lilas]\r\n foo", b" foo"),
        (b" Re:\r\n [Usurpation ? Lilas]\r\n foo", b" Re:\r\n foo"),
        (b" foo\r\n [Usurpation ?\r\n Lilas]", b" foo"),
        (b" [Usurpation ? Lilas]", b""),
        (b"[Usurpation ? Lilas] foo", b"foo"),
        (b" [Usurpation ? Lilas] =?utf-8?Q?=C3=A9?=", b" =?utf-8?Q?=C3=A9?="),
        (" [Usurpation ? Générale] été".encode(), " été".encode()),
        (" [Identitätsmissbrauch? Lilas] été".encode(), " été".encode()),
        (b" [Usur[Usurpation ? A]pation ? B] foo", b" foo"),
        (b" [Usurpation ?\xc2\xa0Lilas] foo", b" foo"),
    ],
)
def test_a_tag_in_plain_octets_is_cut_out(value: bytes, left: bytes) -> None:
    """A tag in a reply or a forgery goes, in any case and blanks, wherever it stands; the rest keeps its octets."""
    assert tag.remove(value, KNOWN) == left


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" =?utf-8?Q?Re:_[Usurpation_=3F_Lilas]_=C3=A9t=C3=A9?=", "Re: été"),
        (b" =?utf-8?B?W1VzdXJwYXRpb24gPyBMaWxhc10gZm9v?=", "foo"),
        (b" [Usur=?utf-8?Q?pation?= ? Lilas] foo", "foo"),
        (b" =?utf-8?Q?[Usur?= =?utf-8?Q?pation_=3F_Lilas]_foo?=", "foo"),
        (b" =?utf-8?Q?[Usur?= [Usurpation ? A] =?utf-8?Q?pation_=3F_B]_foo?=", "foo"),
        (b" [Usurpation ? =?utf-8?Q?a]b?=] foo", "b] foo"),
    ],
)
def test_a_tag_inside_encoded_words_is_taken_out(value: bytes, shown: str) -> None:
    """A tag that a mail program encoded as a whole goes too; the rest of the text stays."""
    left = tag.remove(value, KNOWN)
    assert tag.shown(value if left is None else left) == shown
    assert left is None or tag.remove(left, KNOWN) is None


def test_tags_inside_tags_leave_nothing_of_ours() -> None:
    """However deep tags are nested, what is left holds none."""
    value = b" " + b"[Usurpation " * 100 + b"foo" + b"? A]" * 100 + b" bar"
    nested = b" foo"
    for _ in range(60):
        nested = b" [Usurpation" + nested + b" ? A] bar"
    deep = b" " + b"[Usurpation [Usurpation ? x] " * 30 + b"? y] " * 30 + b"bar"
    for octets in (value, nested, deep):
        left = tag.remove(octets, KNOWN)
        assert left is None or not tag.remove(left, KNOWN)


def test_looking_for_tags_is_linear() -> None:
    """A subject of 64 kB full of half tags costs milliseconds."""
    value = b" [Usurpation ?" * 4600
    began = time.perf_counter()
    tag.remove(value + b"]", KNOWN)
    tag.remove(b" " + b"[Usurpation ? x] " * 3800, KNOWN)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("template", ["{insurer}", "{insurer}: ", "[{insurer}]", "ab{insurer}c", ""])
def test_a_tag_without_firm_ends_is_not_looked_for(template: str) -> None:
    """A template that would match ordinary words is left out."""
    assert tag.shapes((template,)) == ()
