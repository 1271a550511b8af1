"""Evidence: what the three halves found, collected apart. Only `engine` brings them together.

`AuthFacts` says who sent it (authenticated), `Claim` who it claims to be (written), `ContentFacts` what it wants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from milter.model.domain import Domain
from milter.model.quick import quick


class AuthResult(StrEnum):
    """Results of RFC 8601 §2.7, kept apart; `temperror` is neither proof nor forgery."""

    PASS = "pass"  # noqa: S105  # a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@quick
@dataclass(frozen=True, slots=True)
class SpfFact:
    """Result for one identity (`mailfrom` or `helo`). `cause` names the term or DNS failure, for the log."""

    result: AuthResult
    domain: Domain | None
    identity: str = "mailfrom"
    cause: str = ""


@quick
@dataclass(frozen=True, slots=True)
class DkimFact:
    """Result of one signature. Only `result` PASS with `proves_content` may count as proof.

    `proves_content` is False when part of the body is unsigned (l=) or From is not signed.
    """

    result: AuthResult
    domain: Domain | None
    selector: str = ""
    cause: str = ""
    proves_content: bool = False
    signs_subject: bool = False
    test_mode: bool = False


@quick
@dataclass(frozen=True, slots=True)
class DmarcFact:
    """RFC 9989 evaluation. `reason` says why there is no pass or fail, else "": `no_record`, `no_valid_policy`; without a

    single author `several_author_domains`, `several_from_fields`, `no_author_domain`, `invalid_author` (suspicious, never "no
    policy"); with temperror `record_lookup`, `alignment_lookup`, `existence_lookup`.

    `policy` is the policy in force (none, quarantine, reject) or "" without a record. Where a whole signature of the author domain itself
    settles the result, nobody asks for `org_domain` and `spf_aligned`.
    """

    result: AuthResult
    author_domain: Domain | None = None
    org_domain: Domain | None = None
    policy: str = ""
    reason: str = ""
    spf_aligned: bool = False
    dkim_aligned: bool = False


@quick
@dataclass(frozen=True, slots=True)
class ArcFact:
    """Chain validation (RFC 8617): `pass`, `fail` or `none`; `sealers` are the sealing domains, oldest first."""

    result: AuthResult = AuthResult.NONE
    sealers: tuple[Domain, ...] = ()
    cause: str = ""


@quick
@dataclass(frozen=True, slots=True)
class AuthFacts:
    """Who really sent it.

    `proven` are the domains that authentication proves for the author or the envelope: DKIM d= of passing signatures
    that prove content, and the SPF domain of a pass for MAIL FROM (never HELO). `author_proven` is DMARC's pass:
    the author domain itself, by alignment. Do not conclude from `proven` alone that the author domain is genuine.
    """

    spf: SpfFact
    helo: SpfFact
    dkim: tuple[DkimFact, ...]
    dmarc: DmarcFact
    arc: ArcFact = field(default_factory=ArcFact)
    proven: tuple[Domain, ...] = ()
    author_proven: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def dns_trouble(self) -> bool:
        """True when some answer is missing for a temporary reason."""
        facts = (self.spf.result, self.dmarc.result, *(fact.result for fact in self.dkim))
        return AuthResult.TEMPERROR in facts


class Match(StrEnum):
    """How a domain relates to the registry. LOOKALIKE alone may quarantine a claiming mail; WEAK needs another claim."""

    OFFICIAL = "official"
    LOOKALIKE = "lookalike"
    WEAK = "weak"
    NONE = "none"


@quick
@dataclass(frozen=True, slots=True)
class DomainMatch:
    """Answer of the matcher for one domain. `insurer` is a registry id, `technique` a fixed word, `score` 0 to 1."""

    domain: Domain
    match: Match = Match.NONE
    insurer: str | None = None
    technique: str = ""
    score: float = 0.0
    registrable: Domain | None = None
    role: str = ""


class DomainMatcher(Protocol):
    """What `content` may ask of `identity`; the pipeline hands it in."""

    def match(self, domain: Domain) -> DomainMatch:
        """Relate a domain to the registry. Pure, never raises."""
        ...


class Place(StrEnum):
    """Where a mail presents itself as an insurer."""

    DISPLAY_NAME = "display-name"
    FROM_DOMAIN = "from-domain"
    LOCAL_PART = "local-part"
    REPLY_TO = "reply-to"
    SENDER = "sender"
    SUBJECT = "subject"
    SIGNATURE = "signature"
    LINK_TEXT = "link-text"
    LINK_DOMAIN = "link-domain"
    BODY = "body"


class Strength(StrEnum):
    """How firmly a place presents the mail as the insurer's. WEAK is a mere mention."""

    WEAK = "weak"
    MEDIUM = "medium"
    STRONG = "strong"

    @property
    def rank(self) -> int:
        """1 for weak to 3 for strong."""
        return _RANKS[self]


_RANKS = {Strength.WEAK: 1, Strength.MEDIUM: 2, Strength.STRONG: 3}


@quick
@dataclass(frozen=True, slots=True)
class Claim:
    """One claim to be `insurer` (registry id). `quote` is the hostile text that makes it, at most 120 characters."""

    insurer: str
    place: Place
    strength: Strength
    quote: str
    match: Match | None = None
    technique: str = ""
    domain: Domain | None = None


@quick
@dataclass(frozen=True, slots=True)
class LinkFact:
    """A link with its target looked up. `relation`: `official`, `sender` (same organization as the author),

    `lookalike`, `weak`, `other`, `none` (no host). `shows_other_domain`: the visible text names another domain.
    """

    url: str
    host: Domain | None
    relation: str
    insurer: str | None = None
    shows_other_domain: bool = False
    place: str = "text"


@quick
@dataclass(frozen=True, slots=True)
class ContentFacts:
    """What the mail wants. Texts are the author's own words, unfolded; `personal_data` holds kinds only (`nir`, `iban`).

    A mail without a claim is not read: do not conclude from empty facts there that it holds no link or number.
    """

    subject: str = ""
    text: str = ""
    links: tuple[LinkFact, ...] = ()
    personal_data: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    has_form: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one mail before judgement. `is_internal`: author and all recipients are of one organization, as written."""

    auth: AuthFacts
    claims: tuple[Claim, ...]
    content: ContentFacts
    author_kind: str
    author_domain: Domain | None
    author_display: str = ""
    is_list: bool = False
    is_auto: bool = False
    defects: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    is_internal: bool = False
