"""What each stage of the judgement costs: the mails of the bench, one after the other, in one process, DNS from a dictionary.

python -m bench.stages [--profile STAGE]     prints milliseconds of CPU a mail for each stage; STAGE: a name of the list, or `all`
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bench import mails
from bench.questions import Counting
from milter import app
from milter.actions import edits, headers
from milter.auth import collect as auth
from milter.content import collect as content
from milter.engine import decide, evaluate
from milter.identity import collect as identity
from milter.mime import message
from milter.model.evidence import Evidence
from milter.model.limits import Limits
from milter.model.mail import Connection, Envelope, Mail
from milter.settings.model import Settings

T = TypeVar("T")


@dataclass(slots=True)
class Clock:
    """Adds up the CPU time of each stage; one of them may be profiled."""

    wanted: str = ""
    spent: dict[str, float] = field(default_factory=dict)
    profile: cProfile.Profile = field(default_factory=cProfile.Profile)

    def run(self, stage: str, work: Callable[[], T]) -> T:
        profiled = self.wanted in (stage, "all")
        started = time.process_time()
        if profiled:
            self.profile.enable()
        result = work()
        if profiled:
            self.profile.disable()
        self.spent[stage] = self.spent.get(stage, 0.0) + time.process_time() - started
        return result


def judge(mail: Mail, parts: app.Parts, resolver: Counting, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
    """The steps of `pipeline.judge`, each timed."""
    limits = Limits()
    read = clock.run("mime", lambda: message.parse(mail.raw, limits))
    facts = clock.run("auth", lambda: loop.run_until_complete(auth.collect(mail, read, resolver, limits, seconds=20, now=mails.SENT)))
    claims = clock.run("identity", lambda: identity.collect(read, mail.envelope, parts.registry, limits))
    wants = clock.run("content", lambda: content.collect(read, parts.registry, limits, claimed=bool(claims)))
    evidence = Evidence(facts, claims, wants, read.author.kind, read.author.domain, "", read.is_list, read.is_auto, read.defects, read.incomplete)
    verdict = clock.run("engine", lambda: evaluate.evaluate(evidence, parts.ruleset, parts.registry, parts.policy))
    decision = decide.decide(verdict, evidence, parts.policy, mail.envelope.rcpt_to)
    decision = clock.run("headers", lambda: headers.with_edits(mail, read, decision, parts.registry, parts.policy, "gate.recipient.example"))
    clock.run("splice", lambda: edits.apply(mail.raw, read.fields, decision.edits))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--profile", default="", metavar="STAGE")
    clock = Clock(words.parse_args().profile)
    corpus = mails.load()
    resolver = Counting(corpus.zone)
    parts = app.load_parts(replace(Settings(), policy="quarantine"))
    with asyncio.Runner() as runner:
        for one in corpus.mails:
            mail = Mail(one.raw, Connection(one.client_ip, one.helo, one.helo), Envelope(one.mail_from, (one.rcpt_to,)))
            judge(mail, parts, resolver, clock, runner.get_loop())
    for stage, seconds in clock.spent.items():
        print(f"{stage:9} {1_000 * seconds / len(corpus.mails):6.3f} ms a mail")
    print(f"{'together':9} {1_000 * sum(clock.spent.values()) / len(corpus.mails):6.3f} ms a mail")
    if clock.wanted:
        pstats.Stats(clock.profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
