"""Release: the original with the verdict in front, once, or at least once and said so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from milter.actions.next_hop import Delivery, NextHop
from milter.errors import QuarantineError
from milter.model.mail import Envelope, Mail, Params
from milter.model.reply import Reply, reply
from milter.quarantine.entry import State
from milter.quarantine.release import release
from milter.quarantine.store import Store
from tests.helpers import held
from tests.helpers.next_hop import FakeNextHop

ME = "admin"
OK = reply(250, "2.0.0", "Ok: queued as 4Q2W9")
NO = reply(550, "5.1.1", "No such user")
LATER = reply(451, "4.4.1", "Not delivered yet: no connection")
BOTH = ("jean.dupont@example.org", "anne@example.net")


class Hop:
    """A next hop that answers as it is told and remembers what it got."""

    def __init__(self, *answers: Delivery | BaseException, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self.answers = list(answers)
        self.got: list[tuple[Envelope, bytes]] = []
        self.params: list[Params | None] = []
        self.meanwhile = meanwhile

    async def deliver(self, envelope: Envelope, content: bytes, params: Params | None = None) -> Delivery:
        """Take a mail."""
        self.params.append(params)
        self.got.append((envelope, content))
        if self.meanwhile:
            await self.meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A quarantine."""
    async with await Store.open(tmp_path / "q", now=held.Clock()) as opened:
        yield opened


async def test_a_release_delivers_the_original_with_the_verdict_in_front(store: Store) -> None:
    """Front: Received and our headers; the forged copy is left out; everything else is octet for octet, Message-ID and subject too."""
    name = await store.add(held.mail(), held.decision(), b"Received: here\r\n")
    hop = Hop(Delivery((OK,), OK))
    outcome = await release(store, hop, name, who=ME)
    assert outcome.state is State.RELEASED
    assert "250 2.0.0 Ok: queued as 4Q2W9" in outcome.sentence
    assert hop.got == [(held.mail().envelope, b"Received: here\r\n" + held.FRONT + held.RAW[held.RAW.index(b"From:") :])]
    assert (await store.get(name)).state is State.RELEASED
    assert [line.what for line in await store.trail(name)] == ["release", "released"]


async def test_releasing_is_committed_before_the_next_hop_is_asked(store: Store) -> None:
    """While the next hop is at work, the entry says `releasing`."""
    name = await store.add(held.mail(), held.decision())
    seen: list[State] = []

    async def look() -> None:
        seen.append((await store.get(name)).state)

    await release(store, Hop(Delivery((OK,), OK), meanwhile=look), name, who=ME)
    assert seen == [State.RELEASING]


@pytest.mark.parametrize("answer", [Delivery((NO,), NO), Delivery((LATER,), LATER), Delivery((OK,), LATER)])
async def test_a_refused_mail_can_be_released_again(store: Store, answer: Delivery) -> None:
    """A refusal leaves the entry `failed` with the reply, and the next release needs nothing special."""
    name = await store.add(held.mail(), held.decision())
    hop = Hop(answer, Delivery((OK,), OK))
    outcome = await release(store, hop, name, who=ME)
    entry = await store.get(name)
    assert (outcome.state, entry.state, entry.note) == (State.FAILED, State.FAILED, answer.final.text)
    assert "can be released again" in outcome.sentence
    assert (await release(store, hop, name, who=ME)).state is State.RELEASED
    assert hop.got[0] == hop.got[1]


async def test_no_answer_behind_the_final_dot_is_in_doubt(store: Store) -> None:
    """When nobody knows whether the mail was taken, the entry says so and only `again` sends it a second time."""
    name = await store.add(held.mail(), held.decision())
    hop = Hop(Delivery((OK,), LATER, in_doubt=True), Delivery((OK,), OK))
    outcome = await release(store, hop, name, who=ME)
    assert outcome.state is State.IN_DOUBT
    assert "may have been delivered" in outcome.sentence
    with pytest.raises(QuarantineError, match=r"in doubt.*--again"):
        await release(store, hop, name, who=ME)
    assert len(hop.got) == 1
    assert (await release(store, hop, name, who=ME, again=True)).state is State.RELEASED


async def test_a_release_that_was_cut_off_is_in_doubt(store: Store) -> None:
    """A release that died in the middle is found `releasing`: the next one refuses, and says why, until `again`."""
    name = await store.add(held.mail(), held.decision())

    class Killed(BaseException):
        pass

    hop = Hop(Killed(), Delivery((OK,), OK))
    with pytest.raises(Killed):
        await release(store, hop, name, who=ME)
    assert (await store.get(name)).state is State.RELEASING
    for sentence in ("left no outcome", "in doubt"):
        with pytest.raises(QuarantineError, match=sentence):
            await release(store, hop, name, who=ME)
    assert (await store.get(name)).state is State.IN_DOUBT
    assert (await release(store, hop, name, who=ME, again=True)).state is State.RELEASED


async def test_a_second_release_while_one_runs_sends_nothing(store: Store) -> None:
    """Two people who release at once: one delivers, the other is told; the outcome of the first is kept."""
    name = await store.add(held.mail(), held.decision())
    other = Hop()

    async def second() -> None:
        with pytest.raises(QuarantineError, match="left no outcome"):
            await release(store, other, name, who="paul")

    await release(store, Hop(Delivery((OK,), OK), meanwhile=second), name, who=ME)
    assert not other.got
    assert (await store.get(name)).state is State.RELEASED


async def test_an_overtaken_attempt_does_not_change_the_state(store: Store) -> None:
    """The outcome of an attempt that another one overtook is written down, but the state is the later one's."""
    name = await store.add(held.mail(), held.decision())

    async def second() -> None:
        await release(store, Hop(Delivery((OK,), OK)), name, who="paul", again=True)

    await release(store, Hop(Delivery((LATER,), LATER), meanwhile=second), name, who=ME)
    assert (await store.get(name)).state is State.RELEASED
    assert [line.what for line in await store.trail(name)] == ["release", "release", "released", "failed"]


async def test_a_released_mail_needs_again(store: Store) -> None:
    """A mail that was delivered is not delivered twice by mistake."""
    name = await store.add(held.mail(), held.decision())
    hop = Hop(Delivery((OK,), OK), Delivery((OK,), OK))
    await release(store, hop, name, who=ME)
    with pytest.raises(QuarantineError, match=r"was released at 2026-01-15 10:00:00 UTC \(250 .*--again"):
        await release(store, hop, name, who=ME)
    assert (await release(store, hop, name, who=ME, again=True)).state is State.RELEASED
    assert hop.got[0] == hop.got[1]


async def test_only_recipients_without_the_mail_get_it_at_the_next_release(store: Store) -> None:
    """When one of two recipients is refused, the next release goes to that one alone."""
    name = await store.add(held.mail(recipients=BOTH), held.decision())
    hop = Hop(Delivery((OK, LATER), OK), Delivery((OK,), OK))
    outcome = await release(store, hop, name, who=ME)
    assert outcome.state is State.FAILED
    assert "1 of 2 recipients were refused, the first with 451" in outcome.sentence
    assert (await release(store, hop, name, who=ME)).state is State.RELEASED
    assert [envelope.rcpt_to for envelope, _ in hop.got] == [BOTH, BOTH[1:]]


async def test_the_clients_parameters_go_with_their_recipient(store: Store) -> None:
    """Each recipient has the parameters that the client gave for it, at a second release too; one without has none."""
    params = Params((b"RET=HDRS",), ((b"NOTIFY=NEVER",), (b"NOTIFY=FAILURE",)))
    name = await store.add(held.mail(recipients=BOTH), held.decision(), params=params)
    bare = await store.add(held.mail(recipients=BOTH), held.decision())
    hop = Hop(Delivery((OK, LATER), OK), Delivery((OK,), OK), Delivery((OK, OK), OK))
    for one in (name, name, bare):
        await release(store, hop, one, who=ME)
    assert hop.params == [params, Params(params.mail, params.rcpt[1:]), Params((), ((), ()))]


async def test_a_null_sender_stays_one(tmp_path: Path) -> None:
    """A bounce or an automatic answer is released with MAIL FROM:<>: whatever becomes of it, nobody gets a bounce for it."""
    bounce = Mail(b"Auto-Submitted: auto-replied\r\nFrom: Mutuelle des Lilas <a@lilas.example>\r\n\r\nx\r\n", envelope=Envelope("", BOTH[:1]))
    fake = FakeNextHop()
    async with fake.running(), await Store.open(tmp_path / "null") as store:
        hop = NextHop("127.0.0.1", fake.port, "mx.example.org")
        name = await store.add(bounce, replace(held.decision(), edits=()))
        assert (await release(store, hop, name, who=ME)).state is State.RELEASED
        hop.close()
    assert [command for command in fake.commands if command.startswith("MAIL")] == [f"MAIL FROM:<> SIZE={len(bounce.raw)}"]
    assert len(fake.mails) == 1


async def test_octets_that_must_not_be_sent_are_not(store: Store) -> None:
    """A mail that the next-hop client refuses to send is `failed`, with the reason."""
    name = await store.add(held.mail(), held.decision())
    outcome = await release(store, Hop(ValueError("bare CR in a mail")), name, who=ME)
    assert outcome == type(outcome)(State.FAILED, f"{name} was not delivered, it cannot be sent: bare CR in a mail")


async def test_a_mail_that_is_being_released_is_not_deleted(store: Store) -> None:
    """Deleting waits for the end of a release."""
    name = await store.add(held.mail(), held.decision())
    await store.mark_releasing(name, who=ME)
    with pytest.raises(QuarantineError, match="is being released since"):
        await store.delete(name, who=ME)


async def test_an_odd_reply_is_kept(store: Store) -> None:
    """A reply with octets that are no text is stored as a note."""
    name = await store.add(held.mail(), held.decision())
    odd = Reply(250, ("2.0.0 \udcff",))
    await release(store, Hop(Delivery((odd,), odd)), name, who=ME)
    assert (await store.get(name)).note == "250 2.0.0 \\udcff"
