"""Policy files."""

from __future__ import annotations

from pathlib import Path

import pytest

from milter.engine import policy
from milter.errors import PolicyError
from milter.model.verdict import Action, Verdict, VerdictKind

ROOT = Path(__file__).resolve().parents[3]
TEXT = """\
title: Test
description: For tests.
mode: enforce
thresholds: {suspect: 3.0, impersonation: 6.0}
actions: {suspect: tag, impersonation: quarantine}
language: fr
subject_tag: {fr: "[Usurpation ? {insurer}] ", en: "[Impersonation? {insurer}] "}
recipients:
  example.org: {language: en, mode: observe}
  lab.example: {actions: {suspect: pass, impersonation: reject}}
"""
NO_LANGUAGE = """\
p.yml:6:11: language: no subject_tag in the language 'fr'; there is: fra, en
p.yml:7:20: subject_tag.fra: a language is two lower-case letters, such as `fr`"""


@pytest.mark.parametrize(
    ("name", "mode", "suspect", "impersonation"),
    [("observe", "observe", "tag", "quarantine"), ("tag", "enforce", "tag", "tag"), ("quarantine", "enforce", "tag", "quarantine")],
)
def test_shipped(name: str, mode: str, suspect: str, impersonation: str) -> None:
    """The three shipped policies share thresholds and tags and differ in what they do."""
    file = ROOT / "config" / "policy" / f"{name}.yml"
    loaded = policy.load(file.read_bytes(), str(file))
    assert (loaded.mode, loaded.actions.suspect, loaded.actions.impersonation) == (mode, suspect, impersonation)
    assert (loaded.thresholds.suspect, loaded.thresholds.impersonation, loaded.language) == (3.0, 6.0, "fr")
    assert list(loaded.subject_tag) == ["fr", "en", "de"]
    assert loaded.subject_tag["fr"] == "[Usurpation ? {insurer}] "


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (0.0, VerdictKind.MENTION),
        (2.99, VerdictKind.MENTION),
        (3.0, VerdictKind.SUSPECT),
        (5.9, VerdictKind.SUSPECT),
        (6.0, VerdictKind.IMPERSONATION),
    ],
)
def test_thresholds(score: float, kind: VerdictKind) -> None:
    """A score on a threshold has reached it."""
    assert policy.load(TEXT.encode(), "p.yml").kind(score) is kind


@pytest.mark.parametrize(
    ("address", "action", "would", "language"),
    [
        ("a@elsewhere.example", Action.QUARANTINE, Action.QUARANTINE, "fr"),
        ("a@example.org", Action.PASS, Action.QUARANTINE, "en"),
        ("a@EXAMPLE.ORG.", Action.PASS, Action.QUARANTINE, "en"),
        ("a@sub.example.org", Action.QUARANTINE, Action.QUARANTINE, "fr"),
        ('"b@lab.example"@example.org', Action.PASS, Action.QUARANTINE, "en"),
        ("a@lab.example", Action.REJECT, Action.REJECT, "fr"),
        ("postmaster", Action.QUARANTINE, Action.QUARANTINE, "fr"),
        ("", Action.QUARANTINE, Action.QUARANTINE, "fr"),
        ("a@[192.0.2.1]", Action.QUARANTINE, Action.QUARANTINE, "fr"),
    ],
)
def test_by_recipient(address: str, action: Action, would: Action, language: str) -> None:
    """The recipient's domain, the part after the last @, chooses mode, actions and language; its sub-domains do not."""
    chosen = policy.load(TEXT.encode(), "p.yml").for_recipient(address)
    verdict = Verdict(VerdictKind.IMPERSONATION)
    assert (chosen.action(verdict), chosen.would(verdict), chosen.language) == (action, would, language)


@pytest.mark.parametrize("kind", [VerdictKind.NONE, VerdictKind.MENTION, VerdictKind.GENUINE])
def test_everything_else_passes(kind: VerdictKind) -> None:
    """Only suspect and impersonation can have an action other than pass."""
    assert policy.load(TEXT.encode(), "p.yml").for_recipient("a@lab.example").action(Verdict(kind)) is Action.PASS


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mode: enforce", "mode: enforced", "p.yml:3:7: mode: should be 'observe' or 'enforce', not 'enforced'"),
        ("suspect: tag", "suspect: defer", "p.yml:5:20: actions.suspect: should be 'pass', 'tag', 'quarantine' or 'reject', not 'defer'"),
        ("suspect: 3.0", "suspect: 7", "p.yml:4:13: thresholds: 0 < suspect <= impersonation <= 1000 is wanted, not 7 and 6"),
        ("suspect: 3.0", "suspect: nan", "p.yml:4:13: thresholds: 0 < suspect <= impersonation <= 1000 is wanted, not nan and 6"),
        ("suspect: 3.0", "suspect: 0", "p.yml:4:13: thresholds: 0 < suspect <= impersonation <= 1000 is wanted, not 0 and 6"),
        ("language: fr", "langage: fr", "p.yml:1:1: key `language` is missing\np.yml:6:1: langage: unknown key; did you mean `language`?"),
        ("language: fr", "language: de", "p.yml:6:11: language: no subject_tag in the language 'de'; there is: fr, en"),
        ("language: en", "language: de", "p.yml:9:27: recipients.example.org.language: no subject_tag in the language 'de'; there is: fr, en"),
        ("  example.org", "  Example.org", "p.yml:9:16: recipients.Example.org: 'Example.org' is no domain in lower-case A-labels"),
        ("  example.org", "  a@example.org", "p.yml:9:18: recipients.a@example.org: 'a@example.org' is no domain in lower-case A-labels"),
        ("? {insurer}] ", "? {name}] ", "p.yml:7:19: subject_tag.fr: the only placeholder is {insurer}"),
        ("[Usurpation ? {insurer}] ", " ", "p.yml:7:19: subject_tag.fr: one printable line of 1 to 60 characters"),
        ("[Usurpation ? {insurer}] ", "a\\r\\nb", "p.yml:7:19: subject_tag.fr: one printable line of 1 to 60 characters"),
        (
            "{fr: ",
            "{fra: ",
            NO_LANGUAGE,
        ),
        ("mode: observe", "mod: observe", "p.yml:9:31: recipients.example.org.mod: unknown key; did you mean `mode`?"),
    ],
)
def test_mistakes(old: str, new: str, expected: str) -> None:
    """A mistake in a policy is named with its place."""
    assert old in TEXT
    with pytest.raises(PolicyError) as raised:
        policy.load(TEXT.replace(old, new, 1).encode(), "p.yml")
    assert str(raised.value) == expected
