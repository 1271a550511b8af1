"""The Authentication-Results field (RFC 8601): writing ours, and telling a sender's copy of ours.

Knows the syntax of §2.2; must not know how results came about. Everything written comes from an attacker, so every
value is a plain token, a quoted string of printable ASCII, or left out.
"""

from __future__ import annotations

import re

from milter.model.domain import Domain
from milter.model.evidence import ArcFact, AuthFacts, AuthResult, DkimFact, DmarcFact, SpfFact
from milter.model.mail import Mail

# RFC 2045 §5.1 token, plus what RFC 8601 §2.2 pvalue allows around it (a domain, an address)
_PLAIN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+(?:@[A-Za-z0-9.\-_]+)?").fullmatch
_PRINTABLE = re.compile(r"[^ -~]")
_PIECE = re.compile(r"\\.|[()\";]|[^()\";\\]+|\\", re.DOTALL)
_ID_END = re.compile(r"[\s/;]")
_MAX_VALUE = 200
_FOLD = ";\r\n\t"


def render(facts: AuthFacts, mail: Mail, authserv_id: str) -> bytes:
    """The value of our field, folded with one method a line, without field name and last line end."""
    items = [
        _spf(facts.spf, "smtp.mailfrom", mail.envelope.mail_from or facts.spf.domain),
        _spf(facts.helo, "smtp.helo", facts.helo.domain or mail.connection.helo),
        *(_dkim(fact) for fact in facts.dkim),
        _dmarc(facts.dmarc),
        _arc(facts.arc),
    ]
    if not facts.dkim:
        items.insert(2, "dkim=none")
    return _FOLD.join([_value(authserv_id), *filter(None, items)]).encode("ascii")


_LONGEST_START = 4_096  # octets in which the authserv-id must stand


def is_ours(value: bytes, authserv_id: str) -> bool:
    """True when the field claims our authserv-id, in any case, folding, comments, quotes and with a version token.

    Tolerant on purpose: a field that some reader may take for ours is ours, and so is one that hides its id behind kilobytes of
    comment. Nothing follows about its truth.
    """
    text = _without_comments(value[:_LONGEST_START].decode("latin-1")).lstrip()
    if not text and len(value) > _LONGEST_START:
        return True
    name = text[1:].partition('"')[0] if text.startswith('"') else _ID_END.split(text, maxsplit=1)[0]
    return name.strip().lower().rstrip(".") == authserv_id.lower().rstrip(".")


def _without_comments(text: str) -> str:
    """The text up to its first semicolon with each comment made a blank; comments nest (RFC 5322 §3.2.2)."""
    out: list[str] = []
    depth = 0
    quoted = False
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece == '"' and not depth:
            quoted = not quoted
        elif piece == "(" and not quoted:
            depth += 1
            out.append(" ")
            continue
        elif piece == ")" and not quoted:
            depth = max(0, depth - 1)
            continue
        elif piece == ";" and not quoted and not depth:
            break
        if not depth:
            out.append(piece[1:] if piece.startswith("\\") and len(piece) == 2 else piece)
    return "".join(out)


def _spf(fact: SpfFact, name: str, identity: str | Domain | None) -> str:
    # RFC 8601 §2.7.2
    return " ".join(filter(None, (f"spf={fact.result}", _reason(fact.cause, fact.result), _property(name, identity))))


def _dkim(fact: DkimFact) -> str:
    # RFC 8601 §2.7.1, RFC 6008 header.s
    parts = (f"dkim={fact.result}", _reason(fact.cause, fact.result), _property("header.d", fact.domain), _property("header.s", fact.selector))
    return " ".join(filter(None, parts))


def _dmarc(fact: DmarcFact) -> str:
    # RFC 9989 §9.2 policy.dmarc: the policy in force
    parts = (
        f"dmarc={fact.result}",
        _reason(fact.reason.replace("_", " "), fact.result),
        _property("header.from", fact.author_domain),
        _property("policy.dmarc", fact.policy),
    )
    return " ".join(filter(None, parts))


def _arc(fact: ArcFact) -> str:
    # RFC 8617 §10.1
    if fact.result is AuthResult.NONE:
        return ""
    return " ".join(filter(None, (f"arc={fact.result}", _reason(fact.cause, fact.result))))


def _reason(cause: str, result: AuthResult) -> str:
    return f"reason={_quoted(cause)}" if cause and result is not AuthResult.PASS else ""


def _property(name: str, value: str | Domain | None) -> str:
    if not value:
        return ""
    text = value if isinstance(value, str) else value.name
    return f"{name}={_value(text)}"


def _value(text: str) -> str:
    """A token or an address as it is; anything else quoted."""
    return text if len(text) <= _MAX_VALUE and _PLAIN(text) else _quoted(text)


def _quoted(text: str) -> str:
    """A quoted string of printable ASCII (RFC 5322 §3.2.4), cut where it is long."""
    shown = _PRINTABLE.sub("?", text[:_MAX_VALUE])
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
