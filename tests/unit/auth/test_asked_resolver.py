"""DNS questions that go to somebody else as octets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from milter.auth.asked_resolver import MAX_HINTED, MAX_NAME, MAX_TOGETHER, Answerer, AskedResolver, NobodyAsks
from milter.auth.resolver import Answer, DnsStatus
from milter.model import plain
from tests.helpers.dns import DictResolver


def asking(answerer: Answerer) -> Callable[[bytes], bytes]:
    """Both sides in one process; the dictionary never waits."""

    def ask(question: bytes) -> bytes:
        answering = answerer.answer(question)
        try:
            answering.send(None)
        except StopIteration as done:
            return bytes(done.value)
        raise AssertionError

    return ask


async def test_answers_are_those_of_the_resolver_behind() -> None:
    """Every kind and status, and hints go through too."""
    behind = DictResolver({"a.test": {"TXT": [b"v=spf1 \xff"], "MX": ["10 mx.a.test"]}, "dead.test": "SERVFAIL"})
    resolver = AskedResolver(asking(Answerer(behind, 20.0))).within(20.0)
    resolver.prefetch([("a.test", "TXT"), ("a.test", "MX")])
    resolver.prefetch([])
    for name, kind in (("a.test", "TXT"), ("a.test", "MX"), ("a.test", "A"), ("dead.test", "TXT"), ("gone.test", "A")):
        assert await resolver.query(name, kind) == await behind.query(name, kind)
    assert behind.prefetched == [("a.test", "TXT"), ("a.test", "MX")]


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"{}",
        b'["_Request",["_Query","a.test","AXFR"]]',
        b'["_Request",["_Query",["a"],"TXT"]]',
        b'["_Request",["_Within",1e9]]',
        b'["_Request",["_Within",-1]]',
        b'["_Request",["_Hint",[["a.test","ANY"]]]]',
        b'["_Request",["_Hint",[' + b'["a.test","A"],' * MAX_TOGETHER + b'["a.test","A"]]]]',
        b'["_Request",["_Steal"]]',
    ],
)
async def test_questions_that_no_resolver_takes_are_refused(question: bytes) -> None:
    """Nothing of them reaches the resolver."""
    behind = DictResolver()
    with pytest.raises(ValueError):  # noqa: PT011  # the text is for nobody
        await Answerer(behind, 20.0).answer(question)
    assert not behind.calls
    assert not behind.prefetched


async def test_hints_of_one_task_are_only_so_many() -> None:
    """The DNS of all other mails waits behind them: more are passed over."""
    behind = DictResolver()
    answerer = Answerer(behind, 20.0)
    hint = b'["_Request",["_Hint",[' + b",".join([b'["a.test","A"]'] * MAX_TOGETHER) + b"]]]"
    for _ in range(MAX_HINTED // MAX_TOGETHER + 3):
        assert await answerer.answer(hint) == b""
    assert len(behind.prefetched) == MAX_HINTED


async def test_a_name_that_no_server_can_have_is_none() -> None:
    """As for a small mail, whose resolver cannot even write it; nobody keeps it."""
    behind = DictResolver()
    resolver = AskedResolver(asking(Answerer(behind, 20.0)))
    name = "a" * (MAX_NAME + 1)
    resolver.prefetch([(name, "TXT")])
    assert (await resolver.query(name, "TXT")).status is DnsStatus.NXDOMAIN
    assert not behind.calls
    assert not behind.prefetched


async def test_who_may_not_ask_hears_time_outs() -> None:
    """Which is evidence like any other."""
    resolver = NobodyAsks().within(1.0)
    resolver.prefetch([("a.test", "A")])
    assert await asyncio.wait_for(resolver.query("a.test", "A"), 1) == Answer(DnsStatus.TIMEOUT)
    assert plain.load(Answer, plain.dump(Answer(DnsStatus.TIMEOUT))).status is DnsStatus.TIMEOUT
