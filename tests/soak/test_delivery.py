"""Promise 1 at length: what is delivered is the original but for what is named, over 10,000 mails by hypothesis and 10,000 on the whole road."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.header import Header
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from milter import app, pipeline
from milter.actions import edits, encode, tag
from milter.engine.policy import Policy
from milter.model.edit import Insert, Remove
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action, Decision
from milter.settings.model import Settings
from tests.helpers.dns import DictResolver
from tests.helpers.subjects import AWKWARD
from tests.property import test_delivery as short
from tests.soak.conftest import Report

pytestmark = pytest.mark.soak

SEED = 20_260_115
MANY = settings(max_examples=10_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
FRONT = re.compile(rb"(?:(?:Authentication-Results|X-Insurer-Milter(?:-Reason|-Note)?|Subject):[ -~]*\r\n(?:[ \t][ -~\t]*\r\n)*)+")


def check_of(test: Any) -> Callable[..., None]:  # Any: hypothesis gives its attribute no type
    """The body of a property test, for one example."""
    inner: Callable[..., None] = test.hypothesis.inner_test
    return inner


def test_any_octets(report: Report) -> None:
    """For 10,000 mails of any octets: passed, unscanned and tagged are the original minus the forged fields, and untagging gives it back."""
    passes = check_of(short.test_pass_is_the_original_minus_forged_fields_plus_headers_in_front)
    unscanned = check_of(short.test_unscanned_is_the_original_minus_forged_fields_plus_one_header)
    tagged = check_of(short.test_a_tag_changes_only_subjects_and_can_be_taken_off)
    count: Counter[str] = Counter()

    @seed(SEED)
    @MANY
    @given(short.MAILS, st.sampled_from(["fr", "de"]))
    def run(raw: bytes, language: str) -> None:
        passes(raw)
        unscanned(raw)
        tagged(raw, language)
        count["mails"] += 1
        count["with forged fields"] += short.without_forged(raw) != raw

    run()
    assert count["mails"] >= 10_000
    assert count["with forged fields"] >= 1_000
    report(count)


def test_any_subject(report: Report) -> None:
    """For 10,000 well-formed subjects: tagged they show the tag and the old text, to us and to the standard library."""
    check = check_of(short.test_a_subject_decodes_to_the_tag_plus_the_old_text)
    count: Counter[str] = Counter()

    @seed(SEED)
    @MANY
    @given(short.subjects(), st.sampled_from(["[Usurpation ? Lilas]", "[Identitätsmissbrauch? Crédit mutuel]", "🎁"]))
    def run(subject: tuple[bytes, str], label: str) -> None:
        check(subject, label)
        count["subjects"] += 1

    run()
    assert count["subjects"] >= 10_000
    report(count)


@dataclass(frozen=True, slots=True)
class Made:
    """A mail whose delivery is known by the way it was made. `subject` is (value, text shown), None without one.

    `before` and `after` are what must be left of it around the subject's value.
    """

    raw: bytes
    before: bytes
    after: bytes
    subject: tuple[bytes, str] | None

    @property
    def kept(self) -> bytes:
        """All that must be left when it passes."""
        return self.before + (self.subject[0] if self.subject else b"") + self.after


WORDS = (
    "votre",
    "remboursement",
    "de",
    "santé",
    "est",
    "prêt",
    ":",
    "cliquez",
    "aujourd’hui",
    "10",
    "€",
    "naïve",
    "Ω",
    "日本",
    "🎁",
    "lavande",
    "n°",
)
AUTHORS = (
    "Anna Martin <anna@colleague.test>",
    "Mutuelle Lavande <service@clients-info.test>",
    "=?utf-8?Q?Mutuelle_Lavande?= <no-reply@mutuelle-lavende.example>",
    "Service <contact@remboursement-mutuelle-lavande.test>",
    "Mutuelle Lavande <contact@mutuelle-lavande.example>",
    "a@b.test, c@d.test",
    "Undisclosed",
)
FORGED = (
    "X-Insurer-Milter: action=pass; verdict=genuine; score=0",
    "x-insurer-milter-reason:\r\n\tnothing\r\n here",
    "X-INSURER-MILTER-X : 1",
    "Authentication-Results: mx.example.org; dmarc=pass",
    "authentication-results:\r\n (really) MX.example.org 1; spf=pass",
    'Authentication-Results: "mx.example.org"; dkim=pass',
)
KEPT = (
    "Received: from a.test (a.test [192.0.2.1])\r\n\tby b.test with ESMTP id 1;\r\n\tMon, 2 Mar 2026 09:00:00 +0100",
    "Authentication-Results: mx.example.org.evil.test; dmarc=pass",
    "Authentication-Results: other.example; spf=pass reason=mx.example.org",
    "X-Insurer: mine",
    "X-Insurer_Milter: not ours",
    "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=x; h=from; bh=AAAA; b=AAAA",
    "List-Id: <list.a.test>",
    "Content-Type: text/html; charset=utf-8",
    "Content-Type: multipart/mixed; boundary=x",
    "Content-Transfer-Encoding: base64",
    "To: jeanne@recipient.test",
    "To: jeanne@recipient.test",
    "Empty:",
)
LINES = (
    b"Votre mutuelle Lavande vous rembourse, confirmez votre IBAN : https://lavande.test/rib",
    b"X-Insurer-Milter: in the body",
    b"--x",
    b"--x--",
    b"Content-Type: text/plain",
    b'<a href="http://x.test">https://mutuelle-lavande.example</a> <b><script>',
    b"",
    b".",
    b"From a@b.test Mon Mar  2 09:00:00 2026",
    b"z" * 1_200,
)


def made(random: Random) -> Made:
    """One mail: fields in any order, forged and look-alike ones among them, any body."""
    subject = subject_of(random)
    fields: list[tuple[bytes, bool]] = [(f"From: {random.choice(AUTHORS)}\r\n".encode(), True)]
    fields += [((text + "\r\n").encode(), True) for text in random.choices(KEPT, k=random.randrange(8))]
    fields += [((text + "\r\n").encode(), False) for text in random.choices(FORGED, k=random.choice([0, 0, 1, 3]))]
    fields += [(b"X-Any: " + no_line_end(random.randbytes(random.randrange(60))) + b"\r\n", True) for _ in range(random.randrange(2))]
    random.shuffle(fields)
    place = random.randrange(len(fields) + 1)
    lines = [*random.choices(LINES, k=random.randrange(30)), random.randbytes(random.choice([0, 50, 5_000]))]
    random.shuffle(lines)
    body = b"\r\n" + b"\r\n".join(lines)
    name = random.choice([b"Subject:", b"Subject:", b"SUBJECT:", b"subject :"]) if subject else b""
    end = b"\r\n" if subject else b""
    whole = b"".join(octets for octets, _ in fields[:place]) + name, end + b"".join(octets for octets, _ in fields[place:]) + body
    before = b"".join(octets for octets, is_kept in fields[:place] if is_kept) + name
    after = end + b"".join(octets for octets, is_kept in fields[place:] if is_kept) + body
    value = subject[0] if subject else b""
    if random.random() < 0.2:  # as a mail with LF line ends comes in where they are normalised

        def unix(octets: bytes) -> bytes:
            return octets.replace(b"\r\n", b"\n")

        return Made(unix(whole[0] + value + whole[1]), unix(before), unix(after), (unix(value), subject[1]) if subject else None)
    return Made(whole[0] + value + whole[1], before, after, subject)


def no_line_end(octets: bytes) -> bytes:
    """The octets without CR and LF."""
    return octets.translate(None, b"\r\n")


def subject_of(random: Random) -> tuple[bytes, str] | None:
    """(value, text that is shown), written by the standard library, as octets above 127, or awkward; None for a mail without one."""
    kind = random.choice(["none", "awkward", "raw", "encoded", "encoded"])
    if kind == "none":
        return None
    if kind == "awkward":
        awkward = random.choice(AWKWARD)
        return awkward.value, awkward.text
    text = " ".join(random.choices(WORDS, k=random.randrange(1, 15)))
    if kind == "raw":
        return b" " + text.encode(), text
    return b" " + Header(text, "utf-8", maxlinelen=random.choice([76, 200]), header_name="Subject").encode(linesep="\r\n").encode(), text


async def test_the_whole_road(report: Report) -> None:
    """10,000 made mails, judged with all rules: passed, tagged and held ones are what they must be by the way they were made."""
    random = Random(SEED)
    bugs: list[BaseException] = []
    kits = []
    for policy in ("tag", "quarantine"):
        chosen = replace(Settings(), registry=("example",), policy=policy, hostname="mx.example.org")
        kits.append(app.build_kit(chosen, app.load_parts(chosen), DictResolver(), lambda mail, bug: bugs.append(bug)))
    count: Counter[str] = Counter()
    for number in range(10_000):
        one = made(random)
        kit = kits[number % 2]
        envelope = Envelope("rebond@clients-info.test", ("jeanne@recipient.test",))
        decision = await pipeline.judge(Mail(one.raw, Connection("192.0.2.7", "", "a.test"), envelope), kit)
        assert not bugs, (number, one.raw)
        check(one, decision, kit.policy)
        count["mails"] += 1
        count[f"{decision.action}"] += 1
        count["with forged fields"] += any(isinstance(edit, Remove) for edit in decision.edits)
    assert min(count["pass"], count["tag"], count["quarantine"], count["with forged fields"]) >= 500, count
    report(count)


def check(one: Made, decision: Decision, policy: Policy) -> None:
    """Hold one delivery to the promise."""
    front = b"".join(edit.octets for edit in decision.edits if isinstance(edit, Insert))
    assert FRONT.fullmatch(front), front
    # What a release from quarantine delivers is the original too.
    chosen = edits.without_replacements(decision.edits) if decision.action is Action.QUARANTINE else decision.edits
    delivered = edits.carry_out(one.raw, chosen)
    if decision.action is not Action.TAG:
        assert delivered == front + one.kept
        return
    label = tag.text(policy.subject_tag[decision.language], decision.verdict.insurer_name)
    assert label
    if one.subject is None:
        assert delivered == front + one.kept
        assert b"\r\nSubject: " in front
        assert decision.subject == label
        return
    assert delivered.startswith(front + one.before)
    assert delivered.endswith(one.after)
    value, text = one.subject
    new = delivered[len(front + one.before) : len(delivered) - len(one.after)]
    assert new.endswith(value)
    assert tag.shown(new[: len(new) - len(value)]) == label, "untagged it is the original"
    assert tag.shown(new) == decision.subject == f"{label} {encode.clean(text)}".strip()
