"""What `scan` prints of a decision."""

from __future__ import annotations

from milter.fronts.cli import lines
from milter.model.domain import Domain
from milter.model.evidence import ArcFact, AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind

AUTH = AuthFacts(
    SpfFact(AuthResult.SOFTFAIL, Domain("x.test")),
    SpfFact(AuthResult.NONE, None),
    (DkimFact(AuthResult.PASS, Domain("x.test"), "s"), DkimFact(AuthResult.PERMERROR, None)),
    DmarcFact(AuthResult.NONE, reason="no_record"),
    ArcFact(),
)
FINDING = Finding("a-rule", 4.0, {"fr": "Se présente comme Azur\x1b[31m.", "en": "Uses the name Azur."}, "Azur")
VERDICT = Verdict(VerdictKind.SUSPECT, "azur", "Mutuelle Azur", 4.0, (FINDING,))
DECISION = Decision(Action.PASS, Action.TAG, VERDICT, AUTH, subject="[Usurpation ? Mutuelle Azur] Bonjour", incomplete=("too deep",))


def test_the_json_object_has_exactly_the_keys_of_the_contract() -> None:
    """Programs rely on these names."""
    assert lines.judged("m1", DECISION, 0.01234).fields == {
        "id": "m1",
        "action": "pass",
        "would": "tag",
        "verdict": "suspect",
        "insurer": "azur",
        "score": 4.0,
        "reasons": [{"rule": "a-rule", "score": 4.0, "text": "Se présente comme Azur\x1b[31m."}],
        "auth": {
            "spf": "softfail",
            "dkim": [{"domain": "x.test", "result": "pass"}, {"domain": None, "result": "permerror"}],
            "dmarc": "none",
            "dmarc_reason": "no_record",
            "arc": "none",
        },
        "incomplete": ["too deep"],
        "subject": "[Usurpation ? Mutuelle Azur] Bonjour",
        "elapsed_ms": 12.3,
    }


def test_our_own_failure_has_the_same_keys_and_says_so() -> None:
    """A mail that we could not judge is not passed off as judged."""
    broken = Decision(Action.PASS, Action.PASS, Verdict(VerdictKind.NONE), unscanned="KeyError")
    fields = lines.judged("m1", broken, 0.0).fields
    assert fields.keys() == lines.judged("m1", DECISION, 0.0).fields.keys()
    assert fields["incomplete"] == ["not judged, our own error: KeyError"]


def test_a_block_for_people_is_clean_of_the_senders_control_characters() -> None:
    """A mail must not be able to write to the terminal."""
    assert lines.block(lines.judged("a.eml", DECISION, 0.0)) == (
        "a.eml\n"
        "  pass (enforcing would tag) · suspect · Mutuelle Azur · score 4\n"
        "  - Se présente comme Azur?[31m. (a-rule +4)\n"
        "  SPF softfail · DKIM pass (x.test), permerror (None) · DMARC none (no_record) · ARC none\n"
        "  Subject: [Usurpation ? Mutuelle Azur] Bonjour\n"
        "  incomplete: too deep\n"
    )


def test_a_short_line_and_an_error_line() -> None:
    """A batch without --json prints one line a mail."""
    assert lines.short(lines.judged("m1", DECISION, 0.0)) == "m1\tpass\tsuspect\tazur\t4"
    assert lines.short(lines.failed("m2", "no such file")) == "m2\terror\tno such file"
    assert lines.block(lines.failed("m2", "no such file")) == "m2\n  error: no such file\n"


def test_found_means_that_enforcing_would_not_pass_it() -> None:
    """What --exit-code reports, also in observe mode."""
    assert lines.judged("m1", DECISION, 0.0).found
    assert not lines.failed("m2", "x").found
