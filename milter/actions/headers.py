"""The one door that writes header fields (promise 5), and the edits that carry a decision out.

Knows our fields and the sender's copies of them. Must not change a verdict. Everything in a header comes from an attacker: it is
cleaned, encoded and folded here and nowhere else. RFC 5322 §2.2, RFC 2047, RFC 8601 §5 (removing forged Authentication-Results).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache
from importlib import metadata

from milter.actions import edits as edits_of
from milter.actions import encode, tag
from milter.auth import results_header
from milter.engine.policy import Policy
from milter.identity.registry import Registry
from milter.model.edit import Edit, Insert, Remove, Replace
from milter.model.evidence import AuthResult
from milter.model.mail import Mail
from milter.model.message import Field, Message
from milter.model.verdict import Action, Decision, VerdictKind

VERDICT = "X-Insurer-Milter"
REASON = "X-Insurer-Milter-Reason"
RESULTS = "Authentication-Results"
# A mail that begins with a blank would continue our last field with the sender's words; they land in this one, which says nothing.
GUARD = b"X-Insurer-Milter-Note: the mail began with a continuation line\r\n"
MAX_REASONS = 50
MAX_SENTENCE = 1_000  # characters of one sentence
MAX_SUBJECTS = 20  # RFC 5322 §3.6 allows one; those behind get the tag, but are not searched for copies of it

_IS_NAME = re.compile(r"[!-9;-~]{1,76}").fullmatch
_OURS = "x-insurer-milter"
_RESULTS_KEY = "authentication-results"


def field(name: str, value: str | bytes) -> bytes:
    """One whole header field ending in CRLF, printable ASCII, lines folded at 76 octets where possible and never longer than 998.

    `value` as str is free text: shown exactly, RFC 2047 where needed, runs of blanks made one. As bytes it is a structured value (its folding
    is undone and done anew; an octet that is not printable ASCII becomes `?`, nothing is encoded). Control characters go, line ends become
    blanks. `name` is ours: ValueError when it is no field name.
    """
    if not _IS_NAME(name):
        raise ValueError(f"not a header field name: {name[:80]!r}")
    start = f"{name}:"
    if isinstance(value, bytes):
        line = b" ".join(value.split()).decode("ascii", "replace")
        words = (line if line.isascii() and line.isprintable() else encode.clean(line.replace("\ufffd", "?"))).split()
    else:
        words = encode.unstructured(encode.clean(value), len(start))
    return encode.fold(start, words).encode("ascii") + b"\r\n"


def with_edits(mail: Mail, message: Message, decision: Decision, registry: Registry, policy: Policy, authserv_id: str) -> Decision:
    """The decision with the edits that carry it out and the subject as delivered.

    Forged copies go whatever the action. A subject is touched by tag, and to take out our tag where no valid signature covers the subject
    (promise 7); never for quarantine and reject, because a release delivers the original.
    """
    is_odd = bool(message.incomplete or message.defects)  # then fields may stand where judging did not look
    fields = edits_of.header_fields(message.raw) if is_odd else message.fields
    label = _label(decision, registry, policy) if decision.action is Action.TAG else ""
    subject, subject_edits = _subject(message, fields, decision, label, tag.shapes(tuple(policy.subject_tag.values())))
    edits: list[Edit] = [Insert(octets) for octets in _own_fields(mail, decision, authserv_id)]
    edits += subject_edits
    edits += [Insert(GUARD)] if _continues(mail.raw) else []  # the last insert
    edits += [Remove(index) for index in _forged(edits_of.all_fields(message.raw) if is_odd else fields, authserv_id)]
    return decision.carried_out(tuple(edits), subject)


def with_unscanned_edits(mail: Mail, decision: Decision, authserv_id: str) -> Decision:
    """The same after our own bug: says that nothing was judged, and takes forged copies out when the header section can still be read.

    When it cannot, only our field is put in front: whoever trusts `X-Insurer-Milter` reads the first one. Never raises.
    """
    edits: list[Edit] = [Insert(_summary(decision))]
    edits += [Insert(GUARD)] if _continues(mail.raw) else []
    with suppress(Exception):  # the scanner may be what broke; another bug here must not lose the mail
        edits += [Remove(index) for index in _forged(edits_of.all_fields(mail.raw), authserv_id)]
    return decision.carried_out(tuple(edits), decision.subject)


def _own_fields(mail: Mail, decision: Decision, authserv_id: str) -> Iterator[bytes]:
    if decision.auth is not None:
        yield field(RESULTS, results_header.render(decision.auth, mail, authserv_id))
    yield _summary(decision)
    if decision.action is not Action.PASS or decision.would is not Action.PASS:
        for finding in decision.verdict.findings[:MAX_REASONS]:
            sentence = encode.clean(finding.text(decision.language))
            yield field(REASON, f"{finding.rule}; score={finding.score:g}; {sentence[:MAX_SENTENCE]}")


def _summary(decision: Decision) -> bytes:
    verdict = decision.verdict
    return _verdict_field(decision.action, decision.would, verdict.kind, verdict.insurer, round(verdict.score, 2), decision.unscanned)


@lru_cache(maxsize=256)  # most mails have the same one
def _verdict_field(action: Action, would: Action, kind: VerdictKind, insurer: str | None, score: float, unscanned: str) -> bytes:
    parts = [f"action={action}"]
    parts += [f"would={would}"] if would is not action else []
    parts += [f"verdict={kind}"]
    parts += [f"insurer={insurer}"] if insurer else []
    parts += [f"unscanned={unscanned}"] if unscanned else [f"score={score:g}"]
    parts += [f"version={_version()}"]
    return field(VERDICT, "; ".join(parts).encode("ascii", "replace"))


def _continues(raw: bytes) -> bool:
    """True when the first octet would make the first line part of the field before it; a bare CR may become a blank on its way."""
    return raw[:1] in (b" ", b"\t") or (raw[:1] == b"\r" and raw[:2] != b"\r\n")


@cache
def _version() -> str:
    try:
        return metadata.version("insurer-milter")
    except metadata.PackageNotFoundError:
        return "unknown"


def _label(decision: Decision, registry: Registry, policy: Policy) -> str:
    """The tag of the subject, as shown."""
    verdict = decision.verdict
    organisation = registry.organisation(verdict.insurer) if verdict.insurer else None
    name = verdict.insurer_name or (organisation.name if organisation else "")
    return tag.text(policy.subject_tag.get(decision.language) or next(iter(policy.subject_tag.values()), ""), name)


def _forged(fields: tuple[Field, ...], authserv_id: str) -> Iterator[int]:
    for index, found in enumerate(fields):
        if found.key.startswith(_OURS) or (found.key == _RESULTS_KEY and results_header.is_ours(found.value, authserv_id)):
            yield index


def _subject(message: Message, fields: tuple[Field, ...], decision: Decision, label: str, known: tuple[tag.Shape, ...]) -> tuple[str, list[Edit]]:
    """The subject as delivered (of several the first) and the edits that make it so."""
    tagging = decision.action is Action.TAG
    may_clean = tagging or (decision.action is Action.PASS and not _subject_is_signed(decision))
    shown: list[str] = []
    edits: list[Edit] = []
    for count, index in enumerate(index for index, found in enumerate(fields) if found.key == "subject"):
        before, value, line_end = edits_of.pieces(message.raw, fields[index])
        is_exact = count < MAX_SUBJECTS
        read = message.subject if not count and fields is message.fields and value == fields[index].value else None
        new = tag.remove(value, known, read) if may_clean and is_exact else None
        new = value if new is None else new
        if tagging:
            new = tag.put(new, label, used=len(before), line_end=line_end or b"\r\n", is_exact=is_exact)
        if new != value:
            edits.append(Replace(index, b"".join((before, new, line_end))))
        if not shown:
            is_read = bool(message.subject) and new == fields[index].value  # then its text is known
            shown.append(tag.visible(message.subject) if is_read else tag.shown(new))
    if not shown and tagging and label:
        edits.append(Insert(field("Subject", label)))
        shown.append(label)
    return (shown or [""])[0], edits


def _subject_is_signed(decision: Decision) -> bool:
    facts = decision.auth.dkim if decision.auth else ()
    return any(fact.result is AuthResult.PASS and fact.signs_subject for fact in facts)
