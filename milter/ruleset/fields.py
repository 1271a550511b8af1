"""The catalogue: every field that a rule may name, with its type, its values and where the value comes from.

The reference page and SCHEMA.json are generated from it. A field over a list (`identity.claim.*`, `content.link.*`)
is true when ONE record of the list fulfils all keys of a selection that have the same prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from milter.model.address import AuthorKind
from milter.model.evidence import AuthResult, Match, Place, Strength


class FieldType(StrEnum):
    """How values of a field compare."""

    WORD = "word"  # one of a fixed list
    ORDERED = "ordered"  # one of a fixed list that has an order, lowest first
    FLAG = "flag"  # true or false
    SET = "set"  # several of a fixed list at once
    TEXT = "text"  # words of the mail, matched by phrase or regex


MODIFIERS: dict[FieldType, tuple[str, ...]] = {
    FieldType.WORD: ("",),
    FieldType.ORDERED: ("", "at_least"),
    FieldType.FLAG: ("",),
    FieldType.SET: ("",),
    FieldType.TEXT: ("phrase", "regex"),
}

MODIFIER_DOCS: dict[str, str] = {
    "": "equals one of the values (for a set: holds one of them)",
    "at_least": "this value or a higher one",
    "phrase": "one of the phrases occurs: whole words, folded; `confirm*` any ending, `(a|b)` a choice, `{0-3}` up to three words between",
    "regex": "one of the RE2 patterns occurs in the folded text",
}

ROLES = ("official", "sends_for", "broker", "links_only", "portal", "legacy", "payer")
RELATIONS = ("sender", "official", "lookalike", "weak", "other", "none")
LINK_PLACES = ("html", "form", "text", "area", "button")
CLAIM = "identity.claim"
LINK = "content.link"
TEXT_SCOPES = {"text.any": "any", "text.own": "own", "text.subject": "subject"}


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field. `get` takes a record (a Claim, a LinkFact) where `group` is set, else a Facts.

    It returns text, bool, a set of texts, or None when there is no value; None equals nothing.
    """

    name: str
    type: FieldType
    doc: str
    get: Callable[[Any], Any]  # Any: Claim, LinkFact or Facts in, one of the types above out
    values: tuple[str, ...] = ()
    group: str = ""

    @property
    def area(self) -> str:
        """The first label of the name: `identity`, `auth`, `proof`, `author`, `content` or `text`."""
        return self.name.split(".", 1)[0]


def _words(kind: type[StrEnum]) -> tuple[str, ...]:
    return tuple(str(member) for member in kind)


def _text(name: str, doc: str) -> FieldSpec:
    return FieldSpec(name, FieldType.TEXT, doc, lambda facts: None)


_SPECS = (
    FieldSpec(f"{CLAIM}.place", FieldType.WORD, "Where the mail presents itself as the insurer.", lambda claim: claim.place, _words(Place), CLAIM),
    FieldSpec(
        f"{CLAIM}.strength",
        FieldType.ORDERED,
        "How firmly that place presents the mail as the insurer's; `weak` is a mere mention.",
        lambda claim: claim.strength,
        _words(Strength),
        CLAIM,
    ),
    FieldSpec(
        f"{CLAIM}.match",
        FieldType.WORD,
        "How the domain of the claim relates to the insurer; without a value where the claim is made by a name.",
        lambda claim: claim.match,
        _words(Match),
        CLAIM,
    ),
    FieldSpec(
        "auth.spf.result",
        FieldType.WORD,
        "SPF result for the envelope sender (RFC 7208 §2.6).",
        lambda facts: facts.evidence.auth.spf.result,
        _words(AuthResult),
    ),
    FieldSpec(
        "auth.dmarc.result",
        FieldType.WORD,
        "DMARC result for the author domain (RFC 9989).",
        lambda facts: facts.evidence.auth.dmarc.result,
        _words(AuthResult),
    ),
    FieldSpec(
        "auth.dmarc.policy",
        FieldType.WORD,
        "Policy that the author domain publishes; without a value when it publishes none at all.",
        lambda facts: facts.evidence.auth.dmarc.policy or None,
        ("none", "quarantine", "reject"),
    ),
    FieldSpec(
        "auth.somebody_authenticated",
        FieldType.FLAG,
        "Some domain is authenticated, by a signature or by SPF, whoever it belongs to.",
        lambda facts: bool(facts.evidence.auth.proven),
        ("true", "false"),
    ),
    FieldSpec(
        "proof.speaks_for_claimed_insurer",
        FieldType.FLAG,
        "The authenticated author is the claimed insurer, or one whom the registry lets speak for it.",
        lambda facts: facts.proof.speaks,
        ("true", "false"),
    ),
    FieldSpec(
        "proof.role",
        FieldType.WORD,
        "Registry role of the author domain for the claimed insurer, authenticated or not; `payer`: its third-party payer.",
        lambda facts: facts.proof.role or None,
        ROLES,
    ),
    FieldSpec(
        "proof.insurer_has_domain",
        FieldType.FLAG,
        "The registry knows a domain from which the claimed insurer's own mail could come.",
        lambda facts: facts.proof.insurer_has_domain,
        ("true", "false"),
    ),
    FieldSpec(
        "proof.author_authenticated",
        FieldType.FLAG,
        "The author domain itself is authenticated, whoever it belongs to.",
        lambda facts: facts.proof.author_authenticated,
        ("true", "false"),
    ),
    FieldSpec(
        "author.kind",
        FieldType.WORD,
        "How many authors a mail program could find in From.",
        lambda facts: facts.evidence.author_kind,
        _words(AuthorKind),
    ),
    FieldSpec(
        f"{LINK}.relation",
        FieldType.WORD,
        "Where a link leads: to the author's own organization, an official or lookalike domain, elsewhere.",
        lambda link: link.relation,
        RELATIONS,
        LINK,
    ),
    FieldSpec(
        f"{LINK}.shows_other_domain",
        FieldType.FLAG,
        "The visible text of the link names another domain than its target.",
        lambda link: link.shows_other_domain,
        ("true", "false"),
        LINK,
    ),
    FieldSpec(
        "content.personal_data",
        FieldType.SET,
        "Kinds of personal data that the mail itself holds; looked for only where something in the mail claims to be an insurer.",
        lambda facts: facts.evidence.content.personal_data,
        ("nir", "iban"),
    ),
    _text("text.any", "The subject, and the author's own words in the body."),
    _text("text.own", "The author's own words in the body, without what he quotes."),
    _text("text.subject", "The subject."),
)

CATALOGUE: dict[str, FieldSpec] = {spec.name: spec for spec in _SPECS}
