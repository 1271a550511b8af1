"""The compiled rule set: rules by how they are evaluated, and the automata for the wording of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from milter.ruleset.rule import Kind, Rule, Status
from milter.ruleset.wording import PatternSet, TextScan


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules that are loaded, ordered by kind and id. Built by `build`; never changed, swapped as a whole.

    `rules` holds experimental ones too; `of_claims` and `lures` only those that count; `retired` are ids alone.
    """

    rules: tuple[Rule, ...] = ()
    of_claims: tuple[Rule, ...] = ()
    lures: tuple[Rule, ...] = ()
    retired: tuple[str, ...] = ()
    patterns: PatternSet = field(default_factory=lambda: PatternSet(frozenset()), compare=False)

    @classmethod
    def build(cls, rules: Iterable[Rule]) -> RuleSet:
        """Order and compile. Raises PatternError when the patterns are too much together."""
        given = list(rules)
        live = [rule for rule in given if rule.text.status is not Status.RETIRED]
        ordered = tuple(sorted(live, key=lambda rule: (list(Kind).index(rule.kind), rule.id)))
        counting = [rule for rule in ordered if rule.counts]
        return cls(
            rules=ordered,
            of_claims=tuple(rule for rule in counting if not rule.kind.is_lure),
            lures=tuple(rule for rule in counting if rule.kind.is_lure),
            retired=tuple(rule.id for rule in given if rule.text.status is Status.RETIRED),
            patterns=PatternSet(frozenset().union(*(rule.patterns for rule in ordered))),
        )

    def scan(self, subject: str, own: str) -> TextScan:
        """The wording of one mail, scanned when a rule first asks."""
        return TextScan(self.patterns, subject, own)
