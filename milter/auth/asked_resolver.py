"""A resolver for those who may not ask the DNS themselves: each question goes, as octets, to somebody who may.

Knows the resolver's protocol and its octets. Must not know how the octets travel. Both sides are here: `AskedResolver` asks, `Answerer` answers
and believes nothing of what it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from milter.auth.resolver import Answer, DnsStatus, Question, Resolver
from milter.model import plain
from milter.model.sandbox import Ask

MAX_TOGETHER = 200  # questions of one hint
MAX_HINTED = 2_000  # questions of all hints of one task; the DNS of all other mails waits behind them
MAX_NAME = 1_024  # characters. A name in the DNS has at most 253 (RFC 1035 §2.3.4), so there is none of this length; it must not fill the cache


@dataclass(frozen=True, slots=True)
class _Query:
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Hint:
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Within:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Request:
    asked: _Query | _Hint | _Within


_KINDS = frozenset(("TXT", "A", "AAAA", "MX", "PTR"))


class AskedResolver:
    """Fulfils `Resolver` through `ask`, which waits: `query` never suspends, so what awaits it needs no event loop."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def within(self, seconds: float) -> AskedResolver:
        """The time is kept where the questions are asked."""
        self._ask(plain.dump(_Request(_Within(seconds))))
        return self

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Hand the hint on."""
        wanted = tuple(questions)[:MAX_TOGETHER]
        if wanted:
            self._ask(plain.dump(_Request(_Hint(wanted))))

    async def query(self, name: str, kind: str) -> Answer:
        """Ask and wait."""
        return plain.load(Answer, self._ask(plain.dump(_Request(_Query(name, kind)))))


class Answerer:
    """Answers one task's questions from a resolver; `most_seconds` bounds the time that the task may ask for."""

    def __init__(self, resolver: Resolver, most_seconds: float) -> None:
        self._resolver = resolver
        self._most_seconds = most_seconds
        self._hinted = 0

    async def answer(self, octets: bytes) -> bytes:
        """The answer to one question, hostile as it is. ValueError for what is none."""
        asked = plain.load(_Request, octets).asked
        if isinstance(asked, _Within):
            if not 0 <= asked.seconds <= self._most_seconds:
                raise ValueError("more time than there is")
            self._resolver = self._resolver.within(asked.seconds)
            return b""
        if isinstance(asked, _Hint):
            self._hint(asked.questions)
            return b""
        if asked.kind not in _KINDS:
            raise ValueError("no question that a resolver takes")
        if len(asked.name) > MAX_NAME:
            return plain.dump(Answer(DnsStatus.NXDOMAIN))
        return plain.dump(await self._resolver.query(asked.name, asked.kind))

    def _hint(self, questions: tuple[Question, ...]) -> None:
        if len(questions) > MAX_TOGETHER or any(kind not in _KINDS for _, kind in questions):
            raise ValueError("no hint that a resolver takes")
        wanted = [one for one in questions if len(one[0]) <= MAX_NAME][: MAX_HINTED - self._hinted]
        self._hinted += len(wanted)
        self._resolver.prefetch(wanted)


class NobodyAsks:
    """Fulfils `Resolver` where nothing may be asked: every answer is a time-out."""

    def within(self, seconds: float) -> NobodyAsks:
        """Itself."""
        return self

    def prefetch(self, questions: Iterable[Question]) -> None:
        """Nothing."""

    async def query(self, name: str, kind: str) -> Answer:
        """No answer."""
        return Answer(DnsStatus.TIMEOUT)
