"""Judged mails and clocks for tests of the quarantine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from milter.model.domain import Domain
from milter.model.edit import Insert, Remove
from milter.model.evidence import AuthFacts, AuthResult, DmarcFact, SpfFact
from milter.model.mail import Connection, Envelope, Mail
from milter.model.verdict import Action, Decision, Finding, Verdict, VerdictKind

RAW = (
    b"X-Insurer-Milter: action=pass; verdict=genuine\r\n"
    b"From: Mutuelle des Lilas <service@lilas-remboursement.example>\r\n"
    b"Subject: Votre remboursement\r\n"
    b"Message-ID: <1@lilas-remboursement.example>\r\n"
    b"\r\n"
    b"Cliquez ici.\r\n"
)
FRONT = b"X-Insurer-Milter: action=quarantine; verdict=impersonation\r\n"


def mail(raw: bytes = RAW, recipients: tuple[str, ...] = ("jean.dupont@example.org",)) -> Mail:
    """A mail as it came in."""
    envelope = Envelope("rebond@lilas-remboursement.example", recipients)
    return Mail(raw, Connection("192.0.2.7", "mail.example", "mail.example"), envelope, "4Q2W1")


def decision() -> Decision:
    """Its judgement: quarantine, with a forged first field to be left out."""
    nothing = SpfFact(AuthResult.NONE, None)
    auth = AuthFacts(nothing, nothing, (), DmarcFact(AuthResult.FAIL, Domain("lilas-remboursement.example")))
    finding = Finding("insurer-display-name-unauthenticated", 4.5, {"fr": "Se présente comme Mutuelle des Lilas."})
    verdict = Verdict(VerdictKind.IMPERSONATION, "mutuelle-des-lilas", "Mutuelle des Lilas", 9.5, (finding,))
    edits = (Insert(FRONT), Remove(0))
    return Decision(Action.QUARANTINE, Action.QUARANTINE, verdict, auth, edits, subject="Votre remboursement")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time it shows."""
        return self.time

    def pass_by(self, **how_long: float) -> None:
        """Move it (`days=1`)."""
        self.time += timedelta(**how_long)


def databases(root: Path) -> list[str]:
    """The names of the database and of what was kept of it."""
    return sorted(path.name for path in root.glob("index.sqlite*"))


def files(root: Path) -> list[Path]:
    """The mail files below a folder, whole and unfinished."""
    return sorted([*root.rglob("*.held"), *root.rglob("*.tmp")])
