"""What is delivered, for any octets as a mail: the original, minus exactly the forged fields, our fields in front; a tag where it says."""

from __future__ import annotations

from email.header import decode_header
from typing import cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from milter.actions import edits, encode, headers, tag
from milter.auth import results_header
from milter.engine.policy import Actions, Policy, Thresholds
from milter.identity.registry import Registry
from milter.mime.message import parse
from milter.model.edit import Insert, Remove, Replace
from milter.model.evidence import AuthFacts, AuthResult, DmarcFact, SpfFact
from milter.model.limits import Limits
from milter.model.mail import Mail
from milter.model.verdict import Action, Decision, Verdict, VerdictKind

OURS = b"mx.example.org"
TAGS = {"fr": "[Usurpation ? {insurer}] ", "de": "[Identitätsmissbrauch? {insurer}] "}
POLICY = Policy("test", "", "enforce", Thresholds(), Actions(), "fr", TAGS)
KNOWN = tag.shapes(tuple(TAGS.values()))
FACTS = AuthFacts(SpfFact(AuthResult.NONE, None), SpfFact(AuthResult.NONE, None), (), DmarcFact(AuthResult.NONE))
LIMITS = Limits(fields=8, header_octets=400, field_octets=60)  # so that mails reach them
QUICK = settings(max_examples=300, deadline=None)

NAMES = st.sampled_from([b"Subject", b"From", b"To", b"X", b"subject ", b"SUBJECT", b"X-Insurer", b"Authentication-Results", b"ARC-Seal"])
FORGED = st.sampled_from([b"X-Insurer-Milter", b"x-insurer-milter-reason\t", b"X-INSURER-MILTERX"])
ENDS = st.sampled_from([b"\r\n", b"\n", b"\r\n "])
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  ", b"\r\n ", b"\n\t"])
TEXTS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"mx.example.org; dmarc=pass", b"\r\n mx.example.org 1", b"other.example; x", b"=?utf-8?Q?=C3=A9?=", b"[Usurpation ? X] foo"]),
)
FIELDS = st.tuples(st.one_of(NAMES, FORGED), st.just(b":"), BLANKS, TEXTS, ENDS).map(b"".join)
LINES = st.one_of(FIELDS, FIELDS, FIELDS, st.binary(max_size=12), st.just(b"\r\n"), st.just(b"no field\r\n"))
MAILS = st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=14).map(b"".join))


class Names:
    """A registry that knows no names."""

    def organisation(self, name: str) -> None:
        """Nobody."""


def decided(raw: bytes, action: Action, language: str = "fr") -> Decision:
    """A decision with its edits."""
    verdict = Verdict(VerdictKind.SUSPECT, "lilas", "Lilas", 4.0)
    decision = Decision(action, action, verdict, FACTS, language=language)
    return headers.with_edits(Mail(raw), parse(raw, LIMITS), decision, cast(Registry, Names()), POLICY, OURS.decode())


def front(decision: Decision) -> bytes:
    """All that stands before the mail."""
    return b"".join(edit.octets for edit in decision.edits if isinstance(edit, Insert))


def without_forged(raw: bytes) -> bytes:
    """A second reading of what may go: line by line up to the first empty line, with the names that are ours."""
    kept: list[bytes] = []
    lines = raw.splitlines(keepends=True) if b"\r" not in raw.replace(b"\r\n", b"") else [line + b"\n" for line in raw.split(b"\n")]
    if b"\r" in raw.replace(b"\r\n", b"") and lines:
        lines[-1] = lines[-1][:-1]
    going = False
    for number, line in enumerate(lines):
        if line in (b"\r\n", b"\n"):
            return b"".join([*kept, *lines[number:]])
        if not line.startswith((b" ", b"\t")):
            name, colon, _ = line.partition(b":")
            field = b"".join([line, *_continuations(lines[number + 1 :])])
            going = bool(colon) and is_forged(name.rstrip(b" \t").lower(), field[len(name) + 1 :])
        if not going:
            kept.append(line)
    return b"".join(kept)


def put_before(front: bytes, raw: bytes) -> bytes:
    """Our fields and the mail without forged ones; a Unix mailbox line with what continues it stays first."""
    kept = without_forged(raw)
    line, end, _ = kept.partition(b"\n")
    if not end or not line.lstrip(b">").startswith(b"From ") or b"\r" in line.removesuffix(b"\r") or len(line) > 900 or line.startswith(b">" * 10):
        return front + kept
    size = len(line) + 1
    while kept[size : size + 1] in (b" ", b"\t") and b"\n" in kept[size:]:
        following = kept[size:].partition(b"\n")[0]
        if b"\r" in following.removesuffix(b"\r"):
            break
        size += len(following) + 1
    return kept[:size] + front + kept[size:]


def _continuations(lines: list[bytes]) -> list[bytes]:
    found = []
    for line in lines:
        if not line.startswith((b" ", b"\t")):
            break
        found.append(line)
    return found


def is_forged(name: bytes, value: bytes) -> bool:
    """Whether a field is a copy of ours; the Authentication-Results made here have neither comments nor quotes, or are rubbish."""
    if name == b"authentication-results":
        return results_header.is_ours(value, OURS.decode())
    return name.startswith(b"x-insurer-milter")


@QUICK
@given(MAILS)
@example(b"")
@example(b"X-Insurer-Milter: x")
@example(b"From bob Mon Mar  2\r\n folded\r\nX-Insurer-Milter: x\r\nSubject: s\r\n\r\n")
@example(b">From bob\nSubject: s\n\n")
@example(b"From bob")
@example(b"\r\nX-Insurer-Milter: body")
@example(b" X-Insurer-Milter: continued\r\nX-Insurer-Milter: x\r\n")
@example(b"H: x\r\n" * 20 + b"X-Insurer-Milter: x\r\n\r\nX-Insurer-Milter: body\r\n")
def test_pass_is_the_original_minus_forged_fields_plus_headers_in_front(raw: bytes) -> None:
    """For any octets: what passes is our fields, then the original without exactly the forged fields, but for our tag in a subject."""
    decision = decided(raw, Action.PASS)
    rest = tuple(edit for edit in decision.edits if not isinstance(edit, Replace))
    octets = edits.carry_out(raw, rest)
    assert octets == put_before(front(decision), raw)
    for edit in decision.edits:
        if isinstance(edit, Replace):
            field = edits.all_fields(raw)[edit.index]
            assert field.key == "subject"
            assert "[usurpation ? x]" in tag.shown(edits.pieces(raw, field)[1]).lower()


@QUICK
@given(MAILS)
def test_unscanned_is_the_original_minus_forged_fields_plus_one_header(raw: bytes) -> None:
    """For any octets: after our own bug the mail is one field of ours, maybe the guard, then the original without the forged fields."""
    blank = Decision(Action.PASS, Action.PASS, Verdict(VerdictKind.NONE), unscanned="KeyError")
    decision = headers.with_unscanned_edits(Mail(raw), blank, OURS.decode())
    assert edits.carry_out(raw, decision.edits) == put_before(front(decision), raw)


@QUICK
@given(MAILS, st.sampled_from(["fr", "de"]))
@example(b"Subject:", "de")
@example(b"Subject: =?utf-8?Q?=C3=A9?=\nSubject:x\r\n\r\nSubject: y", "de")
def test_a_tag_changes_only_subjects_and_can_be_taken_off(raw: bytes, language: str) -> None:
    """For any octets: a tagged mail differs from the passed one in Subject fields only, each behind the tag; untagged it is the original."""
    decision = decided(raw, Action.TAG, language)
    fields = edits.header_fields(raw)
    undone: list[Insert | Remove | Replace] = [edit for edit in decision.edits if isinstance(edit, Remove)]
    tagged = set()
    for edit in decision.edits:
        if not isinstance(edit, Replace):
            continue
        tagged.add(edit.index)
        before, value, line_end = edits.pieces(raw, fields[edit.index])
        assert edit.octets.startswith(before)
        assert edit.octets.endswith(line_end)
        new = edit.octets[len(before) : len(edit.octets) - len(line_end)]
        old = tag.remove(value, KNOWN)
        assert untagged(new, len(before), language) == (value if old is None else old)
        undone.append(Replace(edit.index, before + value + line_end))
    assert tagged == {number for number, field in enumerate(fields) if field.key == "subject"}
    assert edits.carry_out(raw, undone) == without_forged(raw)
    _, found, value = front(decision).partition(b"\r\nSubject:")
    assert bool(found) is (not tagged)
    assert tagged or tag.shown(value.removesuffix(headers.GUARD)) == tag.text(TAGS[language], "Lilas")


def untagged(value: bytes, used: int, language: str) -> bytes:
    """The inverse of tagging, written from the description in `milter.actions.tag`."""
    text = tag.text(TAGS[language], "Lilas")
    for shape in (text, text + " "):
        words = encode.encoded_words(shape, encode.LINE - used - 2) if encode.needs_encoding(shape) else [shape]
        for line_end in (b"\r\n", b"\n", b"\r"):
            octets = (line_end + b" ").join(one.encode() for one in words)
            for start in (b"  " + octets + line_end, b" " + octets, octets + line_end + b" ", octets + b" "):
                if value.startswith(start):
                    return value[len(start) :]
    raise AssertionError(f"no tag in front of {value!r}")


# Well-formed subjects, as mail programs write them, with the text that they show. No backslash: `email.header` gives its escapes away.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\"), min_size=1, max_size=12).filter(
    lambda text: "=?" not in text
)
ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="=?\\"), min_size=1, max_size=30)
FOLDS = st.sampled_from([b" ", b"\r\n ", b"\r\n\t", b"\t"])


def encoded(text: str) -> bytes:
    """One or more encoded words."""
    return b" ".join(one.encode() for one in encode.encoded_words(text))


@st.composite
def subjects(draw: st.DrawFn) -> tuple[bytes, str]:
    """(value, shown text): plain words, encoded words and raw UTF-8, with folds between them."""
    octets, shown, was_encoded = [draw(st.sampled_from([b"", b" ", b"\t", b"\r\n "]))], "", False
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["plain", "encoded", "raw"]))
        text = draw(ASCII if kind == "plain" else WORDS)
        is_encoded = kind == "encoded"
        if shown:
            octets.append(draw(FOLDS))
            shown += "" if is_encoded and was_encoded else " "
        octets.append(encoded(text) if is_encoded else text.encode())
        shown += text
        was_encoded = is_encoded
    return b"".join(octets), shown


def by_the_standard_library(value: bytes) -> str:
    """What `email.header` reads; blanks as one. Octets above 127 travel through it as private characters."""
    parts = []
    for text, charset in decode_header("".join(map(_private, value.replace(b"\r\n", b""))).strip()):
        if isinstance(text, bytes) and charset:
            parts.append(text.decode(charset))
            continue
        raw = text.decode("raw-unicode-escape") if isinstance(text, bytes) else text
        parts.append(bytes(ord(char) % 0xE000 for char in raw).decode())
    return " ".join("".join(parts).split())


def _private(octet: int) -> str:
    return chr(octet if octet < 128 else 0xE000 + octet)


@QUICK
@given(subjects(), st.sampled_from(["[Usurpation ? Lilas]", "[Identitätsmissbrauch? Crédit mutuel]", "🎁"]))
def test_a_subject_decodes_to_the_tag_plus_the_old_text(subject: tuple[bytes, str], label: str) -> None:
    """For any well-formed subject: it shows the tag, a blank, and what it showed before, to us and to the standard library."""
    value, text = subject
    shown = " ".join(text.split())
    assert tag.shown(value) == encode.clean(shown)
    tagged = tag.put(value, label)
    assert tag.shown(tagged) == f"{label} {encode.clean(shown)}".strip()
    assert by_the_standard_library(tagged) == f"{label} {by_the_standard_library(value)}".strip()
    assert tagged.endswith(value)


@QUICK
@given(st.binary(max_size=80).map(lambda octets: octets.replace(b"\n", b"\r\n ")), st.sampled_from(["[Usurpation ?]", "[Vérifié ?]"]))
@example(b"=?", "[Vérifié ?]")
@example(b"=?a?q?=?=", "[Vérifié ?]")
@example(b" =?utf-8?b??= x", "[Vérifié ?]")
def test_any_octets_stay_behind_the_tag(value: bytes, label: str) -> None:
    """For any octets as a subject: they stay as they are behind the tag, and the tag is what a reader sees first."""
    tagged = tag.put(value, label)
    assert tagged.endswith(value)
    assert tag.shown(tagged).startswith(label)


@QUICK
@given(
    st.lists(st.sampled_from([b"[Usurpation ? ", b"[Usur", b"pation ?", b"]", b" ", b"=?utf-8?Q?[Usurpation_=3F?=", b"Lilas", b"\r\n "]), max_size=30)
)
def test_no_tag_of_ours_survives(pieces: list[bytes]) -> None:
    """For any mixture of pieces of our tag: after the removal there is none, neither in the octets nor in the text."""
    left = tag.remove(b"".join(pieces), KNOWN)
    assert left is None or tag.remove(left, KNOWN) is None
