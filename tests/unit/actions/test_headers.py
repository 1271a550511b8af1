"""The one door for headers, and the edits of a decision."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from milter.actions import edits, headers
from milter.engine.policy import Actions, Policy, Thresholds
from milter.identity.registry import Registry
from milter.mime.message import parse
from milter.model.domain import Domain
from milter.model.evidence import AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from milter.model.limits import Limits
from milter.model.mail import Mail
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind

OURS = "mx.example.org"
POLICY = Policy("test", "", "enforce", Thresholds(), Actions(), "fr", {"fr": "[Usurpation ? {insurer}] ", "en": "[Impersonation? {insurer}] "})
NONE = SpfFact(AuthResult.NONE, None)
FINDINGS = (
    Finding("display-name", 4.5, {"fr": "Se présente comme Lilas.", "en": "Says it is Lilas."}),
    Finding("urgent", 1.0, {"en": "Presses."}),
)
VERDICT = Verdict(VerdictKind.IMPERSONATION, "mutuelle-des-lilas", "Lilas", 5.5, FINDINGS)
RAW = b"From: Lilas <a@evil.example>\r\nSubject: Votre remboursement\r\n\r\nbody\r\n"


class Names:
    """A registry that knows no names."""

    def organisation(self, name: str) -> None:
        """Nobody."""


def auth(*dkim: DkimFact) -> AuthFacts:
    """Facts with these signatures."""
    return AuthFacts(NONE, NONE, dkim, DmarcFact(AuthResult.NONE, Domain("evil.example")))


def decide(action: Action, would: Action | None = None, *, verdict: Verdict = VERDICT, language: str = "fr") -> Decision:
    """A decision without edits."""
    return Decision(action, would or action, verdict, auth(), language=language)


def carry_out(raw: bytes, decision: Decision) -> tuple[bytes, Decision]:
    """The mail as delivered, and the decision with its edits."""
    mail = Mail(raw)
    done = headers.with_edits(mail, parse(raw, Limits()), decision, cast(Registry, Names()), POLICY, OURS)
    return edits.carry_out(raw, done.edits), done


def added(octets: bytes, raw: bytes) -> list[str]:
    """Our fields but the version, which changes."""
    assert octets.endswith(raw)
    lines = octets[: -len(raw)].decode("ascii").replace("\r\n ", " ").splitlines()
    return [line.partition("; version=")[0] for line in lines]


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        ("text", b"X: text\r\n"),
        ("a\r\nBcc: b", b"X: a Bcc: b\r\n"),
        ("a\0b\x1b", b"X: ab\r\n"),
        ("é", b"X: =?utf-8?b?w6k=?=\r\n"),
        ("", b"X:\r\n"),
        (b"", b"X:\r\n"),
        (b"mx.example; spf=pass\r\n smtp.mailfrom=a", b"X: mx.example; spf=pass smtp.mailfrom=a\r\n"),
        (b"a\r\nBcc: b\xff\0", b"X: a Bcc: b?\r\n"),
        (b"=?utf-8?q?x?=", b"X: =?utf-8?q?x?=\r\n"),
        (b"x" * 1000, b"X: " + b"x" * 898 + b"\r\n " + b"x" * 102 + b"\r\n"),
    ],
)
def test_one_door_writes_headers(value: str | bytes, octets: bytes) -> None:
    """Whatever comes in, one field goes out: printable ASCII, no line of its own making, nothing longer than 998 octets."""
    assert headers.field("X", value) == octets


@pytest.mark.parametrize("name", ["", "X:", "X Y", "X\r\n", "É", "X" * 77])
def test_a_name_that_is_none_is_our_mistake(name: str) -> None:
    """A field name is never made of what comes in."""
    with pytest.raises(ValueError, match="not a header field name"):
        headers.field(name, "x")


def test_a_passed_mail_gets_two_headers_in_front() -> None:
    """A mail that passes keeps its octets behind Authentication-Results and X-Insurer-Milter."""
    octets, done = carry_out(RAW, decide(Action.PASS, verdict=Verdict(VerdictKind.MENTION, "mutuelle-des-lilas", "Lilas", 1.0)))
    results, verdict = added(octets, RAW)
    assert results.startswith("Authentication-Results: mx.example.org; spf=none")
    assert verdict == "X-Insurer-Milter: action=pass; verdict=mention; insurer=mutuelle-des-lilas; score=1"
    assert done.subject == "Votre remboursement"


def test_a_mail_without_insurer_names_none() -> None:
    """Without an insurer the key is left out."""
    octets, _ = carry_out(RAW, decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)))
    assert added(octets, RAW)[1] == "X-Insurer-Milter: action=pass; verdict=none; score=0"


def test_a_tagged_mail_has_reasons_and_a_tag() -> None:
    """A tagged mail has a reason for each finding in the language of the decision, and the tag in front of its subject."""
    octets, done = carry_out(RAW, decide(Action.TAG))
    tail = RAW.replace(b"Subject: ", b"Subject: [Usurpation ? Lilas] ")
    assert added(octets, tail)[1:] == [
        "X-Insurer-Milter: action=tag; verdict=impersonation; insurer=mutuelle-des-lilas; score=5.5",
        "X-Insurer-Milter-Reason: display-name; score=4.5; Se =?utf-8?q?pr=C3=A9sente?= comme Lilas.",
        "X-Insurer-Milter-Reason: urgent; score=1; Presses.",
    ]
    assert done.subject == "[Usurpation ? Lilas] Votre remboursement"


def test_the_language_is_the_decisions() -> None:
    """Tag and reasons follow the language of the decision; a language without tag takes the first there is."""
    octets, _ = carry_out(RAW, decide(Action.TAG, language="en"))
    assert b"Subject: [Impersonation? Lilas] Votre" in octets
    assert b"Says it is Lilas." in octets
    octets, _ = carry_out(RAW, decide(Action.TAG, language="xx"))
    assert b"Subject: [Usurpation ? Lilas] Votre" in octets


def test_observing_says_what_enforcing_would_do() -> None:
    """While observing, the mail passes untouched and the headers say what would have been done, and why."""
    octets, _ = carry_out(RAW, decide(Action.PASS, Action.QUARANTINE))
    _, verdict, *reasons = added(octets, RAW)
    assert verdict.startswith("X-Insurer-Milter: action=pass; would=quarantine; verdict=impersonation")
    assert len(reasons) == 2


def test_a_quarantined_mail_keeps_its_subject() -> None:
    """What a release delivers has the verdict and the reasons in front and the sender's own subject, a tag in it too."""
    raw = RAW.replace(b"Subject: ", b"Subject: Re: [Usurpation ? X] ")
    octets, done = carry_out(raw, decide(Action.QUARANTINE))
    assert len(added(octets, raw)) == 4
    assert done.subject == "Re: [Usurpation ? X] Votre remboursement"


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Insurer-Milter: action=pass; verdict=genuine\r\n",
        b"x-INSURER-milter : x\r\n",
        b"X-Insurer-Milter-Reason: a\r\n folded\r\n\tmore\r\n",
        b"X-Insurer-Milter-Whatever:\r\n",
        b"Authentication-Results: mx.example.org; dmarc=pass\r\n",
        b"AUTHENTICATION-RESULTS:\r\n MX.Example.ORG;\r\n dmarc=pass\r\n",
        b"Authentication-Results: (a (comment)) mx.example.org 1; dmarc=pass\r\n",
        b'Authentication-Results: "mx.example.org"; dmarc=pass\r\n',
        b"Authentication-Results : mx.example.org\r\n",
    ],
)
@pytest.mark.parametrize("place", ["first", "middle", "last", "behind a thousand", "behind a line that is no field"])
def test_forged_copies_go(forged: bytes, place: str) -> None:
    """A sender's copies of our fields are removed whatever their case, folding, place and number, and nothing else is."""
    many = b"".join(b"H%d: x\r\n" % number for number in range(1200))
    before, after = {
        "first": (b"", RAW),
        "middle": (b"To: b@example.org\r\n", RAW),
        "last": (RAW.partition(b"\r\n\r\n")[0] + b"\r\n", b"\r\nbody\r\n"),
        "behind a thousand": (many, RAW),
        "behind a line that is no field": (b"From: a@evil.example\r\nthis is no field\r\n", RAW),
    }[place]
    octets, _ = carry_out(before + forged * 2 + after, decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)))
    assert len(added(octets, before + after)) == 2


@pytest.mark.parametrize(
    "kept",
    [
        b"Authentication-Results: other.example; dmarc=pass\r\n",
        b"ARC-Authentication-Results: i=1; mx.example.org; dmarc=pass\r\n",
        b"X-Insurer: x\r\n",
        b"Not-X-Insurer-Milter: x\r\n",
        b"Comments: X-Insurer-Milter: x\r\n X-Insurer-Milter: x\r\n",
    ],
)
def test_other_fields_stay(kept: bytes) -> None:
    """Fields of others, however alike, stay."""
    raw = kept + RAW
    octets, _ = carry_out(raw, decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)))
    assert len(added(octets, raw)) == 2


def test_our_fields_in_the_body_stay() -> None:
    """What stands behind the empty line is nobody's header."""
    raw = RAW + b"X-Insurer-Milter: x\r\n\r\nX-Insurer-Milter: x\r\n"
    octets, _ = carry_out(raw, decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)))
    assert octets.endswith(raw)


@pytest.mark.parametrize("forged", [b"X-Insurer-Milter\r: action=pass\r\n", b"Authentication-Results \r\t: mx.example.org; dmarc=pass\r\n"])
def test_a_bare_cr_hides_no_forged_field(forged: bytes) -> None:
    """Where line ends are normalised a bare CR before the colon becomes a blank, so the field is one."""
    octets, _ = carry_out(forged + RAW, decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)))
    assert len(added(octets, RAW)) == 2


def test_a_flood_of_subjects_is_bounded() -> None:
    """Each of ten thousand subjects gets the tag, but only the first are searched for copies of it."""
    raw = b"Subject: [Usurpation ? X] a\r\n" * 10_000 + b"\r\n"
    octets, _ = carry_out(raw, decide(Action.TAG))
    assert octets.count(b"Subject: [Usurpation ? Lilas] a\r\n") == headers.MAX_SUBJECTS
    assert octets.count(b"Subject: [Usurpation ? Lilas] [Usurpation ? X] a\r\n") == 10_000 - headers.MAX_SUBJECTS


def test_every_subject_is_tagged() -> None:
    """Of several Subject fields each gets the tag: who knows which one is shown."""
    raw = b"Subject: one\r\nSUBJECT : two\nFrom: a@evil.example\r\n\r\n"
    octets, done = carry_out(raw, decide(Action.TAG))
    assert octets.endswith(b"Subject: [Usurpation ? Lilas] one\r\nSUBJECT : [Usurpation ? Lilas] two\nFrom: a@evil.example\r\n\r\n")
    assert done.subject == "[Usurpation ? Lilas] one"


@pytest.mark.parametrize("raw", [b"From: a@evil.example\r\n\r\nbody", b"\r\nbody", b"", b"no header\r\n"])
def test_a_mail_without_subject_gets_one(raw: bytes) -> None:
    """Where there is no Subject the tag is one, in front."""
    octets, done = carry_out(raw, decide(Action.TAG))
    assert octets.endswith(b"\r\nSubject: [Usurpation ? Lilas]\r\n" + raw)
    assert done.subject == "[Usurpation ? Lilas]"


@pytest.mark.parametrize("raw", [b"Subject: a", b"Subject:", b"Subject: a\n"])
def test_a_tag_keeps_the_end_of_the_mail(raw: bytes) -> None:
    """A mail that ends inside its subject gets no line end that it did not have."""
    octets, _ = carry_out(raw, decide(Action.TAG))
    name, _, rest = raw.partition(b":")
    assert octets.endswith(b"\r\n" + name + b": [Usurpation ? Lilas]" + rest)


def test_a_reply_to_a_tagged_mail_loses_the_tag() -> None:
    """Our tag in a sender's subject goes, in every language of the policy, and the delivered subject says so."""
    raw = RAW.replace(b"Subject: ", b"Subject: Re: [Impersonation? X] [Usurpation ? Y] ")
    octets, done = carry_out(raw, decide(Action.PASS))
    assert octets.endswith(RAW.replace(b"Subject: ", b"Subject: Re: "))
    assert done.subject == "Re: Votre remboursement"


def test_a_tag_is_put_once() -> None:
    """A mail that bears our tag already, and is tagged, bears it once, signed or not."""
    signed = replace(decide(Action.TAG), auth=auth(DkimFact(AuthResult.PASS, Domain("evil.example"), signs_subject=True)))
    raw = RAW.replace(b"Subject: ", b"Subject: [Usurpation ? Lilas] ")
    for decision in (decide(Action.TAG), signed):
        octets, _ = carry_out(raw, decision)
        assert octets.endswith(raw)


@pytest.mark.parametrize(
    ("fact", "is_kept"),
    [
        (DkimFact(AuthResult.PASS, Domain("example.com"), signs_subject=True), True),
        (DkimFact(AuthResult.PASS, Domain("example.com"), signs_subject=False), False),
        (DkimFact(AuthResult.FAIL, Domain("example.com"), signs_subject=True), False),
        (DkimFact(AuthResult.TEMPERROR, Domain("example.com"), signs_subject=True), False),
    ],
)
def test_a_signed_subject_is_left_alone(fact: DkimFact, is_kept: bool) -> None:  # noqa: FBT001  # a table column
    """Where a valid signature covers the subject, taking our tag out would break it (promise 7)."""
    raw = RAW.replace(b"Subject: ", b"Subject: Re: [Usurpation ? X] ")
    octets, _ = carry_out(raw, replace(decide(Action.PASS), auth=auth(fact)))
    assert octets.endswith(raw) is is_kept


@pytest.mark.parametrize("start", [b" dmarc=pass\r\n", b"\taction=pass\r\n", b"\raction=pass\r\n", b" \r\n"])
def test_a_mail_cannot_continue_our_fields(start: bytes) -> None:
    """A first line that begins with a blank is joined to a field that says nothing, not to our verdict."""
    octets, _ = carry_out(start + RAW, decide(Action.PASS))
    assert octets.endswith(headers.GUARD + start + RAW)
    unscanned = headers.with_unscanned_edits(Mail(start + RAW), decide(Action.PASS), OURS)
    assert edits.carry_out(start + RAW, unscanned.edits).endswith(headers.GUARD + start + RAW)


def test_a_mail_cannot_continue_the_tag() -> None:
    """When a tagged mail has no subject, its first line is joined to the field that says nothing, not to the tag."""
    raw = b" and it is urgent\r\nFrom: a@a.example\r\n\r\nbody\r\n"
    octets, decision = carry_out(raw, decide(Action.TAG))
    assert octets.endswith(headers.GUARD + raw)
    assert octets.count(b"\r\nSubject: ") == 1
    assert "urgent" not in decision.subject


def test_reasons_are_bounded() -> None:
    """A hundred findings and endless sentences make a header section that a mail server takes."""
    endless = Verdict(VerdictKind.IMPERSONATION, "a", "A", 9.0, tuple(Finding("rule", 1.0, {"fr": "é" * 100_000}) for _ in range(100)))
    octets, _ = carry_out(RAW, decide(Action.QUARANTINE, verdict=endless))
    assert octets.count(b"X-Insurer-Milter-Reason: ") == headers.MAX_REASONS
    assert len(octets) < 250_000
    assert max(map(len, octets.split(b"\r\n"))) < 100


def test_after_our_own_bug_the_headers_say_so() -> None:
    """An unscanned mail says so in front, and forged copies are removed all the same."""
    forged = b"X-Insurer-Milter: action=pass; verdict=genuine\r\n"
    decision = replace(decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)), auth=None, unscanned="KeyError")
    done = headers.with_unscanned_edits(Mail(forged + RAW), decision, OURS)
    octets = edits.carry_out(forged + RAW, done.edits)
    assert added(octets, RAW) == ["X-Insurer-Milter: action=pass; verdict=none; unscanned=KeyError"]


def test_when_the_scanner_is_what_broke_the_mail_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the header section cannot be read at all, our field stands in front of the mail as it came."""

    def broken(*arguments: object) -> None:
        raise IndexError

    monkeypatch.setattr("milter.mime.fields.scan", broken)
    decision = replace(decide(Action.PASS, verdict=Verdict(VerdictKind.NONE)), auth=None, unscanned="IndexError")
    done = headers.with_unscanned_edits(Mail(RAW), decision, OURS)
    assert added(edits.carry_out(RAW, done.edits), RAW) == ["X-Insurer-Milter: action=pass; verdict=none; unscanned=IndexError"]
