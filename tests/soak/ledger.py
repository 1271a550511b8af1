"""What became of each mail that a long test sent: what the client heard, where the mail was found, what the log says of it.

An attempt is one way of one mail through the gateway. Each mail names its attempt in a header field, each copy that is found bears our queue id.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from milter.adapters import clock
from milter.quarantine import check
from milter.quarantine.entry import Filter
from milter.quarantine.store import Store

Attempt = tuple[int, int]
Event = Mapping[str, Any]  # Any: JSON

_ATTEMPT = re.compile(rb"X-Attempt: (\d+)-(\d+)\r\n")
_OURS = re.compile(rb"by gate\.insured\.example\s+\(insurer-milter\)\s+with\s+\w+\s+id\s+([0-9A-F]{16});")

# Fields and text that the shipped rules, with the registry of invented insurers, hold back under the policy `quarantine`.
FRAUD = (
    "From: Mutuelle Lavande <service@{domain}>\r\n"
    "To: jeanne@insured.example\r\n"
    "Subject: Remboursement en attente : 87,95 EUR\r\n"
    "{attempt}"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    "Un remboursement est en attente. Confirmez vos coordonnées bancaires sous 48 heures :\r\n"
    "https://{domain}/confirmation\r\n"
    "Mutuelle Lavande\r\n"
)
PLAIN = (
    "From: Anna Martin <anna@{domain}>\r\n"
    "To: jeanne@insured.example\r\n"
    "Subject: Notre rendez-vous\r\n"
    "{attempt}"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    "Bonjour Jeanne,\r\nje confirme notre rendez-vous de mardi.\r\nAnna\r\n"
)


def mail(attempt: Attempt, domain: str, *, is_fraud: bool, octets: int = 0) -> bytes:
    """A mail of at least so many octets."""
    text = (FRAUD if is_fraud else PLAIN).format(domain=domain, attempt="X-Attempt: {}-{}\r\n".format(*attempt)).encode()
    line = b"Et quelques mots de plus pour la route.\r\n"
    return text + line * max(0, (octets - len(text)) // len(line))


def attempt_of(octets: bytes) -> Attempt:
    """The attempt that a mail names."""
    found = _ATTEMPT.search(octets)
    assert found is not None, octets[:300]
    return int(found[1]), int(found[2])


def queue_id_of(octets: bytes) -> str:
    """Our id in the Received field of a delivered mail."""
    found = _OURS.search(octets)
    assert found is not None, octets[:300]
    return found[1].decode()


@dataclass(frozen=True, slots=True)
class Copy:
    """A mail that is safe somewhere."""

    attempt: Attempt
    queue_id: str
    is_held: bool


@dataclass(slots=True)
class Ledger:
    """`heard`: the last reply to each attempt, "" when the connection ended. `excused`: attempts under way when all processes were killed."""

    heard: dict[Attempt, str] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    excused: set[Attempt] = field(default_factory=set)

    def promised(self) -> set[int]:
        """The mails that somebody was told are taken."""
        return {number for (number, _), said in self.heard.items() if said.startswith("250")}

    def found(self) -> dict[int, list[Copy]]:
        """The copies of each mail."""
        result: dict[int, list[Copy]] = defaultdict(list)
        for copy in self.copies:
            result[copy.attempt[0]].append(copy)
        return result

    def settle(self, lines: Iterable[Event]) -> Counter[str]:
        """Hold everything to promise 2 and count. `lines` are the log's. AssertionError names what is wrong."""
        log: dict[str, Event] = {}
        for event in lines:
            if event.get("queue_id") and (event.get("in_doubt") or event["queue_id"] not in log):
                log[event["queue_id"]] = event
        found, promised = self.found(), self.promised()
        lost = promised - found.keys()
        assert not lost, f"250 was said and the mail is nowhere: {sorted(lost)[:10]}"
        assert max(Counter(copy.attempt for copy in self.copies).values(), default=0) <= 1, "one attempt was delivered twice"
        count = Counter({"250 given": len(promised), "mails found": len(found), "lost": 0, "doubles": 0})
        for number, copies in found.items():
            unheard = [copy for copy in copies if not self.heard.get(copy.attempt, "").startswith("250")]
            assert len(copies) - len(unheard) <= 1, f"mail {number} was sent again behind a 250: the test is wrong"
            count["doubles"] += len(copies) > 1
            for copy in unheard:
                count[self._why(copy, log)] += 1
        return count

    def _why(self, copy: Copy, log: Mapping[str, Event]) -> str:
        """Why a mail is there though its client heard no 250."""
        line = log.get(copy.queue_id, {})
        if line.get("in_doubt"):
            return "unanswered copies, in doubt in the log"
        if copy.attempt in self.excused:
            return "unanswered copies, under way when everything was killed"
        raise AssertionError(f"a copy that nothing explains: {copy}, client heard {self.heard.get(copy.attempt)!r}, log {line}")


async def held(folder: Path) -> list[Copy]:
    """All that the quarantine lists, each with its file. (`Store.octets` would write each view down.)"""
    async with await Store.open(folder) as store:
        entries = await store.list(Filter(limit=1_000_000))
        return [Copy(attempt_of(store.files.read(entry.id)), entry.queue_id, is_held=True) for entry in entries]


async def examine(folder: Path) -> Counter[str]:
    """What `quarantine check` says when nothing is under way any more, by kind. Nothing but what a crash may leave: whole mails without an entry

    (nobody was told that they are held) and beginnings of mails. AssertionError otherwise.
    """
    async with await Store.open(folder, now=_later) as store:
        faults = Counter(fault.kind for fault in await check.check(store))
    assert faults.keys() <= {check.Kind.ORPHAN, check.Kind.UNFINISHED}, faults
    return Counter({f"files left by kills: {kind.value}": number for kind, number in faults.items()})


async def mend(folder: Path) -> int:
    """Repair; afterwards `quarantine check` finds nothing. How many mails have an entry again."""
    async with await Store.open(folder, now=_later) as store:
        mended = await check.repair(store, who="test")
        assert mended.left == ()
        assert await check.check(store) == ()
    return len(mended.adopted)


def _later() -> datetime:
    """A time at which no file is young enough to be on its way in."""
    return clock.now() + timedelta(seconds=2 * check.UNDER_WAY_SECONDS)
