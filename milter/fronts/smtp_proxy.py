"""The SMTP proxy: takes mails from a mail server, has them judged, and hands them to the next hop, the quarantine, or back.

Knows what each action means in SMTP. Decides nothing: the judge does. No 250 before the mail is safe (promise 2): the next hop's own, or
ours once the quarantine has stored it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from milter.actions import edits, received
from milter.actions.next_hop import NextHop
from milter.actions.transaction import Large, Transaction
from milter.adapters.board import Board, Place, Scarce, Stage
from milter.adapters.lane import Lane
from milter.errors import QuarantineError
from milter.fronts import bypass, record
from milter.fronts.gate import Gate
from milter.fronts.inbox import LARGE
from milter.fronts.patience import Patience
from milter.fronts.smtp_connection import SmtpConnection, base_attributes
from milter.fronts.smtp_contract import NO_HANDLES, Broke, Journal, Judge, Limited, MailRecord, Options, Quarantine, Unjudged
from milter.fronts.smtp_session import SmtpSession
from milter.model.edit import Insert
from milter.model.mail import Mail, Params
from milter.model.reply import Reply, reply
from milter.model.verdict import Action, Decision

_SENTENCE = 300
_TYPOGRAPHY = {0x2019: "'", 0x2018: "'", 0xAB: '"', 0xBB: '"', 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-", 0x153: "oe", 0x152: "OE"}


def _random_id() -> str:
    return os.urandom(8).hex().upper()


class SmtpProxy:
    """One instance an event loop; construct it inside the loop. `session` is the factory for `listen`.

    `options.trusted_peers` and `bypass_clients` are addresses and networks (ValueError otherwise); `unjudged` must be there for a bypass.
    `now` gives seconds since 1970, `new_id` queue ids.
    `board` shows what all workers have under way, `place` is ours on it.
    """

    def __init__(
        self,
        options: Options,
        judge: Judge,
        quarantine: Quarantine,
        next_hop: NextHop,
        journal: Journal,
        *,
        broke: Broke,
        limited: Limited = lambda setting, client: None,
        unjudged: Unjudged | None = None,
        board: Board | None = None,
        place: Place | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = _random_id,
    ) -> None:
        self.options = options
        self.next_hop = next_hop
        self.base_attributes = base_attributes()
        self.is_stopping = False
        self.sessions: set[SmtpConnection] = set()
        self.lane = Lane()
        self._patience = Patience()
        self._judge = judge
        self._quarantine = quarantine
        self._journal = journal
        self._broke = broke
        self._now = now
        self._new_id = new_id
        self.board = board or Board(1, options.max_connections)
        self.place = place or self.board.places[0]
        self.memory = Gate(self.board, self.place, Scarce.OCTETS, options.memory_octets, seconds=options.wait_seconds)
        self._turns = Gate(self.board, self.place, Scarce.TURNS, options.max_in_flight, seconds=options.wait_seconds)
        self._limited = limited
        self._unjudged = unjudged
        self._bypass = tuple(ipaddress.ip_network(client) for client in options.bypass_clients)
        trusted = tuple(ipaddress.ip_network(peer) for peer in options.trusted_peers)
        self._trusts = lru_cache(maxsize=1_024)(partial(bypass.contains, trusted))

    def session(self) -> SmtpSession:
        """The protocol for a new connection."""
        return SmtpSession(self)

    async def drain(self, seconds: float) -> None:
        """Let mails that are under way finish, at most so many seconds; then end every session."""
        self.is_stopping = True
        for session in self.sessions:
            session.stop()
        tasks = {session.task for session in self.sessions if session.task is not None}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for session in tuple(self.sessions):
                if session.task in late:
                    session.cancel()
            if late:
                await asyncio.wait(late)
        self.next_hop.close()

    # -- what sessions need (`smtp_session.Door`) --

    def is_trusted(self, peer: str) -> bool:
        """Whether this address is listed in `trusted_peers`."""
        return self._trusts(peer)

    def opened(self, connection: SmtpConnection) -> None:
        """Told of a new connection."""
        self.sessions.add(connection)
        self.place.connected(self._client(connection), 1)

    def closed(self, connection: SmtpConnection) -> None:
        """Told when it is gone."""
        if connection in self.sessions:
            self.sessions.discard(connection)
            self.place.connected(self._client(connection), -1)

    def _client(self, connection: SmtpConnection) -> int | None:
        """By what the connections of a client are counted: its address, of IPv6 the network that one customer has. A listed peer speaks for many."""
        peer = connection.peer
        if self._trusts(peer):
            return None
        return hash(peer if ":" not in peer else ipaddress.ip_address(peer.partition("%")[0]).packed[:8])

    def refusal(self, connection: SmtpConnection) -> Reply | None:
        """What a new client hears when it is one too many for all workers together, or of its own connections; itself counted."""
        has_handles = len(self.sessions) <= self.options.own_connections
        if self.board.connections > self.options.max_connections or not has_handles:
            self.limited("smtp.max_connections" if has_handles else NO_HANDLES, connection)
            return reply(421, "4.7.0", "Too many connections; please try again later")
        client = self._client(connection)
        if client is not None and self.board.of_client(client) > self.options.max_client_connections:
            self.limited("smtp.max_client_connections", connection)
            return reply(421, "4.7.0", "Too many connections from your address; please try again later")
        return None

    def limited(self, setting: str, connection: SmtpConnection) -> None:
        """Told of a client that has reached a limit."""
        with suppress(Exception):  # see `_write`
            self._limited(setting, connection.peer)

    def new_id(self) -> str:
        """A queue id that no other mail has."""
        return self._new_id()

    def broke(self, error: BaseException) -> None:
        """Told of our own bugs in a session."""
        with suppress(Exception):  # see `_write`
            self._broke(error)

    def given_up(self, mail: Mail, answer: Reply | None, cause: str) -> None:
        """Told of a mail that ends without a judgement."""
        self._write(mail, answer=answer, cause=cause)

    def _write(self, mail: Mail, **facts: Any) -> None:  # Any: as `record.of_mail` takes them
        """A journal that fails (full disk, closed pipe) must not hold back the answer: a client that hears nothing sends the mail again."""
        try:
            made = record.of_mail(mail, addresses=self.options.log_addresses, **facts)
        except Exception as bug:
            self.broke(bug)
            made = MailRecord(mail.queue_id, cause=f"the record broke: {type(bug).__name__}")
        with suppress(Exception):
            self._journal(made)

    async def finish(self, mail: Mail, transaction: Transaction, params: Params, *, protocol: str, peer: str, slot: int, began: float) -> Reply:
        """Judge a mail and do what was decided; the answer for the client. The transaction is over then, whatever happens.

        `slot` is the mail's on the board, `began` when its octets began to come (`time.perf_counter`).
        """
        times = [("receive", time.perf_counter() - began)]
        judged = 0.0
        until = asyncio.get_running_loop().time() + self.options.answer_seconds
        decision: Decision | None = None
        outcome = _Outcome(_OUR_FAULT, cause="given up while the proxy stopped")
        self.place.mark(slot, Stage.JUDGING, mail.queue_id)
        has_turn = False
        try:
            if len(mail.raw) <= self.options.large_octets:  # of large ones, which may wait long for a child, memory admits only so many
                has_turn = self._turns.take_now(1) or await self._turns.take(1)
                if not has_turn:
                    raise _Busy
            decision = self._bypassed(mail, peer)
            if decision is None:
                decision = await self._patience.wait(self._judge(mail), until)
            judged = time.perf_counter()
            self.place.mark(slot, Stage.STORING if decision.action is Action.QUARANTINE else Stage.DELIVERING)
            outcome = await self._act(mail, decision, transaction, params, until, protocol=protocol, peer=peer)
        except _Busy:
            outcome = _Outcome(reply(451, "4.3.2", "Too many mails at once; please try again later"), cause="too many mails in flight")
        except TimeoutError:
            outcome = _Outcome(reply(451, "4.3.2", "Judging took too long; please try again later"), cause="judging took too long")
        except Exception as bug:
            self.broke(bug)
            outcome = _Outcome(_OUR_FAULT, cause=f"broke: {type(bug).__name__}")
        finally:
            transaction.drop()
            if has_turn:
                self._turns.give_back(1)
            ended = time.perf_counter()
            if decision is not None and (stage := _LAST_STAGE.get(decision.action)):
                times.append((stage, ended - judged))
            times.append(("total", ended - began))
            facts = {"answer": outcome.answer, "hop": outcome.hop, "cause": outcome.cause, "quarantine_id": outcome.quarantine_id}
            self._write(mail, peer=peer, decision=decision, times=times, in_doubt=transaction.in_doubt or outcome.in_doubt, **facts)
            self.place.mark(slot, Stage.ANSWERING)
        return outcome.answer

    def _bypassed(self, mail: Mail, peer: str) -> Decision | None:
        """The decision for a mail that the settings exempt from judging."""
        options = self.options
        if self._unjudged is None or not (self._bypass or options.bypass_authenticated):
            return None
        why = bypass.reason(mail, self._bypass, authenticated=options.bypass_authenticated, is_trusted=self._trusts(peer))
        return self._unjudged(mail, why) if why else None

    async def _act(
        self, mail: Mail, decision: Decision, transaction: Transaction, params: Params, until: float, *, protocol: str, peer: str
    ) -> _Outcome:
        if decision.action is Action.REJECT:
            return _Outcome(reply(550, "5.7.1", _sentence(decision)))
        if decision.action is Action.DEFER:
            return _Outcome(reply(451, "4.7.1", "Not judged yet; please try again later"), cause=decision.unscanned)
        content = self._content(mail, decision, protocol=protocol, peer=peer)
        if decision.action is not Action.QUARANTINE:
            answer = await transaction.data(content, until=until)
            return _Outcome(answer, None if answer.cause else answer, answer.cause)
        transaction.drop()  # nothing of it may be delivered, and the next hop need not wait for the disk
        try:
            kept = content if isinstance(content, bytes) else b"".join(content.pieces[:2])
            stored = await self._patience.wait(self._quarantine(mail, decision, kept, params), until)
        except (QuarantineError, TimeoutError) as error:
            cause = str(error) or "the quarantine did not store in time"
            refused = reply(451, "4.3.0", "The quarantine cannot store now; please try again later")
            return _Outcome(refused, cause=cause, in_doubt=isinstance(error, TimeoutError))  # a disk that wakes up may still have stored it
        return _Outcome(reply(250, "2.0.0", f"Ok: held in quarantine as {stored}"), quarantine_id=stored)

    def _content(self, mail: Mail, decision: Decision, *, protocol: str, peer: str) -> bytes | Large:
        """The mail as it is delivered: our Received on top, then the edits."""
        trace = received.field(
            mail.connection, peer=peer, hostname=self.options.hostname, protocol=protocol, queue_id=mail.queue_id, seconds=self._now()
        )
        if len(mail.raw) > LARGE:
            return Large(edits.carry_out_in_pieces(mail.raw, (Insert(trace), *decision.edits)), self.lane)
        return edits.carry_out(mail.raw, (Insert(trace), *decision.edits))


class _Busy(Exception):  # noqa: N818  # no error: too many others are in flight
    """The mail did not get its turn."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    answer: Reply
    hop: Reply | None = None
    cause: str = ""
    quarantine_id: str = ""
    in_doubt: bool = False


_OUR_FAULT = reply(451, "4.3.0", "Error on our side; please try again later")
_LAST_STAGE = {Action.PASS: "deliver", Action.TAG: "deliver", Action.QUARANTINE: "store"}


def _sentence(decision: Decision) -> str:
    """Why a mail is refused, in ASCII (RFC 5321 §4.2): the first finding in the language of the decision."""
    findings = decision.verdict.findings
    text = findings[0].text(decision.language) if findings else "Mail refused: it presents itself as an insurer without proof"
    plain = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY)).encode("ascii", "ignore").decode("ascii")
    return " ".join("".join(char if char.isprintable() else " " for char in plain).split())[:_SENTENCE]
