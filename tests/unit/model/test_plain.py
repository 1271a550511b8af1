"""Values as octets between processes: what is read is exactly of the declared type."""

from __future__ import annotations

import json

import pytest

from milter.auth.resolver import Answer, DnsStatus
from milter.model import plain
from milter.model.domain import Domain
from milter.model.edit import Insert, Remove, Replace
from milter.model.evidence import ArcFact, AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind

DOMAIN = Domain("a.example")
FACTS = AuthFacts(
    spf=SpfFact(AuthResult.PASS, DOMAIN),
    helo=SpfFact(AuthResult.NONE, None, "helo"),
    dkim=(DkimFact(AuthResult.FAIL, DOMAIN, "s1", "body was changed"), DkimFact(AuthResult.PASS, None, proves_content=True)),
    dmarc=DmarcFact(AuthResult.PASS, DOMAIN, DOMAIN, "reject"),
    arc=ArcFact(AuthResult.PASS, (DOMAIN,)),
    proven=(DOMAIN,),
    author_proven=True,
    doubts=("spf: timeout",),
)
DECISION = Decision(
    Action.TAG,
    Action.QUARANTINE,
    Verdict(VerdictKind.IMPERSONATION, "i", "Mutuelle d’exemple", 9.5, (Finding("r", 1.25, {"fr": "Usurpé \udcff", "en": "x"}, "\x00\u202e"),)),
    FACTS,
    (Insert(b"X: \xff\x00\r\n"), Remove(3), Replace(4, b"")),
    "fr",
    ("too big",),
    "sujet \U0001f600",
    "",
    (0.25, 1.0),
    "a1",
)


@pytest.mark.parametrize(
    "value",
    [
        DECISION,
        Decision(Action.PASS, Action.PASS, Verdict(VerdictKind.NONE)),
        Answer(DnsStatus.OK, (b"v=spf1 \xe9",), ("mx.example",), 300),
        Mail(b"\x00\xff", Connection(None, "n", "h"), Envelope("", ("a@a.example", "b@b.example")), "Q", b"x"),
    ],
)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    """Any octets and any text survive."""
    assert plain.load(type(value), plain.dump(value)) == value


def _changed(path: tuple[int, ...], new: object) -> bytes:
    outer = found = json.loads(plain.dump(DECISION))
    for step in path[:-1]:
        found = found[step]
    found[path[-1]] = new
    return json.dumps(outer).encode()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no-text"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(plain.dump(FACTS), id="another-type"),
        pytest.param(_changed((0,), "Policy"), id="another-name"),
        pytest.param(_changed((1,), "explode"), id="no-action"),
        pytest.param(_changed((1,), ["pass"]), id="list-for-action"),
        pytest.param(_changed((3, 4), "9.5"), id="text-for-number"),
        pytest.param(_changed((3, 4), float("nan")), id="no-number"),
        pytest.param(_changed((3, 4), 10**400), id="number-beyond-all"),
        pytest.param(_changed((4, 1, 2, 1), "A B"), id="no-domain"),
        pytest.param(_changed((4, 7), 1), id="number-for-flag"),
        pytest.param(_changed((5, 1, 1), True), id="flag-for-number"),
        pytest.param(_changed((5, 0), ["Execute", "x"]), id="no-edit"),
        pytest.param(_changed((5, 0, 1), "\u0100"), id="no-octet"),
        pytest.param(_changed((5, 0), ["Insert"]), id="too-few"),
        pytest.param(_changed((7,), "text"), id="text-for-tuple"),
        pytest.param(_changed((3, 5, 0, 3), {"fr": 1}), id="number-for-text"),
    ],
)
def test_anything_else_is_refused(octets: bytes) -> None:
    """Whoever wrote it: no other class, no other type, no value that its class refuses."""
    with pytest.raises(ValueError, match="octets hold no Decision"):
        plain.load(Decision, octets)


def test_what_has_no_plain_form_is_our_mistake() -> None:
    """It is said at once."""
    with pytest.raises(TypeError):
        plain.dump(object())
    with pytest.raises(ValueError, match="octets hold no"):
        plain.load(Domain, b"{}")
