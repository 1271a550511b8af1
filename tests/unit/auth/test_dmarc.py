"""DMARC records and evaluation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.adapters.dns_zone import Records
from milter.auth import dmarc
from milter.auth.dmarc_record import DmarcRecord, choose_record, read_record
from milter.model.address import Address, Author, AuthorKind
from milter.model.domain import Domain
from milter.model.evidence import AuthResult, DkimFact, SpfFact
from tests.helpers.dns import DictResolver

PASS, FAIL, NONE, TEMPERROR = AuthResult.PASS, AuthResult.FAIL, AuthResult.NONE, AuthResult.TEMPERROR
NO_SPF = SpfFact(NONE, None)


def author(domain: str) -> Author:
    """A single author at this domain."""
    return Author(AuthorKind.ONE, (Address("user", Domain(domain)),))


def signed_by(domain: str, result: AuthResult = PASS) -> tuple[DkimFact, ...]:
    """One signature fact."""
    return (DkimFact(result, Domain(domain), proves_content=True),)


async def evaluate(records: Records, domain: str, *, dkim: tuple[DkimFact, ...] = (), spf: SpfFact = NO_SPF) -> tuple[dmarc.Evaluation, list[str]]:
    """The evaluation, and the names that were asked."""
    resolver = DictResolver(records)
    evaluation = await dmarc.evaluate(author(domain), spf, dkim, resolver)
    return evaluation, [name for name, _ in resolver.calls]


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("v=DMARC1; p=reject", DmarcRecord("reject", "reject", "reject")),
        ("v=DMARC1;p=none;sp=Quarantine;np=REJECT", DmarcRecord("none", "quarantine", "reject", names_absent=True)),
        ("V = DMARC1 ; p = none ; aspf=s; adkim = S; psd=n; t=y;;", DmarcRecord("none", "none", "none", False, "n", True, True, True)),
        ("v=DMARC1; p=reject; pct=0; foo; =x; ruf=%%%", DmarcRecord("reject", "reject", "reject")),
        ("v=DMARC1; rua=mailto:a@b.example", DmarcRecord("none", "none", "none")),
        ("v=DMARC1; p=maybe; rua=https://r.example/x", DmarcRecord("none", "none", "none")),
        ("v=DMARC1; p=reject; sp=maybe; rua=mailto:", DmarcRecord("")),
        ("v=DMARC1; p=reject; psd=maybe; t=maybe; aspf=maybe", DmarcRecord("reject", "reject", "reject")),
        ("v=DMARC1", DmarcRecord("")),
        ("v=DMARC1; p=reject; p=none", None),
        ("v=dmarc1; p=reject", None),
        ("v=DMARC10; p=reject", None),
        ("p=reject; v=DMARC1", None),
        (" v=DMARC1; p=reject", None),
        ("v=spf1 -all", None),
    ],
)  # fmt: skip
def test_records(text: str, record: DmarcRecord | None) -> None:
    """A record gives its tags with their defaults, or is no DMARC record at all (RFC 9989 §4.7)."""
    assert choose_record((b"other", text.encode())) == record


def test_two_records_are_none() -> None:
    """Several records at one name are all discarded (RFC 9989 §4.10)."""
    assert choose_record((b"v=DMARC1; p=none", b"v=DMARC1; p=reject")) is None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_any_octets_are_read(octets: bytes) -> None:
    """Invariant: no octets make reading a record raise."""
    record = read_record(b"v=DMARC1;" + octets)
    assert record is None or record.policy in ("", "none", "quarantine", "reject")


ORGANIZATION: Records = {"_dmarc.insurer.example": {"TXT": ["v=DMARC1; p=reject; sp=quarantine"]}}


@pytest.mark.parametrize(
    ("domain", "signer", "result", "policy", "organization"),
    [
        ("insurer.example", "mail.insurer.example", PASS, "reject", "insurer.example"),
        ("news.insurer.example", "mail.insurer.example", PASS, "quarantine", "insurer.example"),
        ("insurer.example", "other.example", FAIL, "reject", "insurer.example"),
        ("insurer.example", "xinsurer.example", FAIL, "reject", "insurer.example"),
        ("insurer.example", "example", FAIL, "reject", "insurer.example"),
        ("insurer.example", "insurer.test", FAIL, "reject", "insurer.example"),
        ("other.example", "other.example", NONE, "", "other.example"),
    ],
)
async def test_relaxed_alignment(domain: str, signer: str, result: AuthResult, policy: str, organization: str) -> None:
    """Domains of one organization align, strangers do not, and without a record there is no result."""
    evaluation, _ = await evaluate(ORGANIZATION, domain, dkim=signed_by(signer))
    fact = evaluation.fact
    assert (fact.result, fact.policy, str(fact.org_domain)) == (result, policy, organization)
    assert fact.dkim_aligned is (result is PASS)
    assert fact.reason == ("no_record" if result is NONE else "")


@pytest.mark.parametrize(
    ("tags", "spf", "dkim", "result"),
    [
        ("adkim=s", None, "mail.insurer.example", FAIL),
        ("adkim=s", None, "insurer.example", PASS),
        ("aspf=s", "mail.insurer.example", None, FAIL),
        ("aspf=s", "insurer.example", None, PASS),
        ("aspf=s", None, "mail.insurer.example", PASS),
    ],
)
async def test_strict_alignment(tags: str, spf: str | None, dkim: str | None, result: AuthResult) -> None:
    """Strict mode asks for the same name, for SPF and DKIM apart."""
    records: Records = {"_dmarc.insurer.example": {"TXT": [f"v=DMARC1; p=reject; {tags}"]}}
    spf_fact = SpfFact(PASS, Domain(spf)) if spf else NO_SPF
    evaluation, _ = await evaluate(records, "insurer.example", spf=spf_fact, dkim=signed_by(dkim) if dkim else ())
    assert evaluation.fact.result is result


@pytest.mark.parametrize("result", [result for result in AuthResult if result not in (PASS, TEMPERROR)])
async def test_only_a_pass_aligns(result: AuthResult) -> None:
    """No other result of the author domain itself is authentication."""
    spf = SpfFact(result, Domain("insurer.example"))
    evaluation, _ = await evaluate(ORGANIZATION, "insurer.example", spf=spf, dkim=signed_by("insurer.example", result))
    assert evaluation.fact.result is FAIL


async def test_undecided_identifiers_leave_dmarc_undecided() -> None:
    """A failed lookup of an identifier that could align gives temperror, of a stranger it does not matter."""
    ours = SpfFact(TEMPERROR, Domain("mail.insurer.example"))
    undecided, _ = await evaluate(ORGANIZATION, "insurer.example", spf=ours)
    decided, _ = await evaluate(ORGANIZATION, "insurer.example", spf=SpfFact(TEMPERROR, Domain("other.test")))
    passed, _ = await evaluate(ORGANIZATION, "insurer.example", spf=ours, dkim=signed_by("insurer.example"))
    assert (undecided.fact.result, undecided.fact.reason) == (TEMPERROR, "alignment_lookup")
    assert (decided.fact.result, passed.fact.result) == (FAIL, PASS)


async def test_dns_trouble_is_no_absence() -> None:
    """A record that cannot be looked up is temperror, never "no record"."""
    evaluation, _ = await evaluate({"_dmarc.insurer.example": "SERVFAIL"}, "insurer.example", dkim=signed_by("insurer.example"))
    assert (evaluation.fact.result, evaluation.fact.reason) == (TEMPERROR, "record_lookup")


async def test_the_walk_asks_at_most_eight_names() -> None:
    """A long author domain costs its own name and then seven labels and less (RFC 9989 §4.10)."""
    _, asked = await evaluate({}, "a.b.c.d.e.f.g.h.i.j.mail.example")
    assert asked == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example",
        "_dmarc.f.g.h.i.j.mail.example",
        "_dmarc.g.h.i.j.mail.example",
        "_dmarc.h.i.j.mail.example",
        "_dmarc.i.j.mail.example",
        "_dmarc.j.mail.example",
        "_dmarc.mail.example",
        "_dmarc.example",
    ]


async def test_the_authors_own_signature_settles_it() -> None:
    """After a pass of the author domain itself neither its organization nor SPF matters; a part signed, or no own record, settles nothing."""
    own = SpfFact(PASS, Domain("bounce.insurer.example"))
    evaluation, asked = await evaluate(ORGANIZATION, "insurer.example", dkim=(*signed_by("x.test"), *signed_by("insurer.example")), spf=own)
    assert asked == ["_dmarc.insurer.example"]
    assert evaluation.aligned == {Domain("insurer.example")}
    assert (evaluation.fact.result, evaluation.fact.policy, evaluation.fact.dkim_aligned) == (PASS, "reject", True)
    partly = (DkimFact(PASS, Domain("insurer.example")),)
    evaluation, asked = await evaluate(ORGANIZATION, "insurer.example", dkim=partly, spf=own)
    assert len(asked) == 3
    assert evaluation.aligned == {Domain("insurer.example"), Domain("bounce.insurer.example")}
    evaluation, asked = await evaluate(ORGANIZATION, "news.insurer.example", dkim=signed_by("news.insurer.example"))
    assert len(asked) == 3
    assert (evaluation.fact.result, evaluation.fact.policy) == (PASS, "quarantine")


async def test_nothing_is_asked_that_cannot_change_the_answer() -> None:
    """Strangers and identical names cost no walk of their own, and no name is asked twice."""
    _, asked = await evaluate(ORGANIZATION, "insurer.example", dkim=(*signed_by("mail.insurer.example"), *signed_by("a.b.other.test")))
    assert asked == ["_dmarc.insurer.example", "_dmarc.example", "_dmarc.mail.insurer.example"]
    _, asked = await evaluate(ORGANIZATION, "insurer.example", dkim=(*signed_by("a.insurer.example"), *signed_by("b.insurer.example")))
    assert asked == ["_dmarc.insurer.example", "_dmarc.example", "_dmarc.a.insurer.example", "_dmarc.b.insurer.example"]


SUFFIX: Records = {"_dmarc.bank.example": {"TXT": ["v=DMARC1; p=none; psd=y; sp=reject"]}}
APART: Records = {**ORGANIZATION, "_dmarc.b.insurer.example": {"TXT": ["v=DMARC1; p=none; psd=n"]}}


@pytest.mark.parametrize(
    ("records", "domain", "signer", "result", "organization", "policy"),
    [
        (SUFFIX, "a.giant.bank.example", "giant.bank.example", PASS, "giant.bank.example", "reject"),
        (SUFFIX, "giant.bank.example", "mega.bank.example", FAIL, "giant.bank.example", "reject"),
        (SUFFIX, "bank.example", "a.bank.example", FAIL, "bank.example", "none"),
        (APART, "a.b.insurer.example", "insurer.example", FAIL, "b.insurer.example", "none"),
    ],
)
async def test_public_suffix_flags(records: Records, domain: str, signer: str, result: AuthResult, organization: str, policy: str) -> None:
    """psd=y puts the organization one label below, psd=n makes the name one (RFC 9989 §4.10.2)."""
    evaluation, _ = await evaluate(records, domain, dkim=signed_by(signer))
    assert (evaluation.fact.result, str(evaluation.fact.org_domain), evaluation.fact.policy) == (result, organization, policy)


@pytest.mark.parametrize(
    ("more", "policy"),
    [
        ({}, "reject"),
        ({"x.insurer.example": {"A": ["192.0.2.1"]}}, "none"),
        ({"y.x.insurer.example": {"MX": ["0 ."]}}, "none"),
        ({"x.insurer.example": "SERVFAIL"}, ""),
    ],
)
async def test_policy_of_names_that_do_not_exist(more: Records, policy: str) -> None:
    """np is for author domains that do not exist; a failed test of that leaves the policy open."""
    records: Records = {"_dmarc.insurer.example": {"TXT": ["v=DMARC1; p=quarantine; sp=none; np=reject"]}, **more}
    evaluation, _ = await evaluate(records, "x.insurer.example")
    assert evaluation.fact.policy == policy
    assert evaluation.fact.result is (FAIL if policy else TEMPERROR)


async def test_test_mode_lowers_the_policy() -> None:
    """t=y lowers the policy by one step and leaves the result (RFC 9989 §4.7)."""
    evaluation, _ = await evaluate({"_dmarc.insurer.example": {"TXT": ["v=DMARC1; p=reject; t=y"]}}, "insurer.example")
    assert (evaluation.fact.result, evaluation.fact.policy) == (FAIL, "quarantine")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (Author(AuthorKind.NONE), "no_author_domain"),
        (Author(AuthorKind.MALFORMED), "invalid_author"),
        (Author(AuthorKind.SEVERAL, reasons=("several mailboxes",)), "several_author_domains"),
        (Author(AuthorKind.SEVERAL, reasons=("repeated field",)), "several_from_fields"),
        (Author(AuthorKind.ONE, (Address("a", None),)), "invalid_author"),
    ],
)
async def test_without_a_single_author_there_is_no_verdict(written: Author, reason: str) -> None:
    """An ambiguous or missing author gives no verdict with its reason, and asks nothing: it is never "no policy"."""
    resolver = DictResolver(ORGANIZATION)
    evaluation = await dmarc.evaluate(written, SpfFact(PASS, Domain("insurer.example")), signed_by("insurer.example"), resolver)
    assert (evaluation.fact.result, evaluation.fact.reason, resolver.calls) == (NONE, reason, [])
    assert dmarc.questions(written) == []
