"""Rule files: shape, places of mistakes, and what lint asks beyond the shape."""

from __future__ import annotations

import datetime

import pytest

from milter.errors import RuleError
from milter.ruleset import lint, rule_file
from milter.ruleset.rule import Kind, Severity, Status
from tests.unit.ruleset.samples import FILE, RULE, spoiled

ID_FORM = ":2:5: id: an id is lower-case words joined by hyphens, such as `insurer-display-name-unauthenticated`"
NEEDS_EXAMPLE = ":29:5: examples.no_match: needs an example with `tests: filter_itself`"
FILTER_FIELD = ":17:5: detection.filter_itself: a filter looks at `auth.*` and `proof.*` only, not at `author.kind`"
NEEDS_AUTH = ":13:3: detection: a rule of kind claim needs an authentication fact (`auth.*` or `proof.*`)"
BAD_NAME = ":13:3: detection.ClaimByName: a selection's name is lower-case letters, digits and _, and no word of the condition"
NEVER = ":14:27: detection.claim_by_name.identity.claim.place: `identity.claim.place` is never 'display-nam'; did you mean `display-name`?"
NO_FIELD = ":14:5: detection.claim_by_name.identity.claim.plcae: no field `identity.claim.plcae`; did you mean `identity.claim.place`?"


def problems_of(octets: bytes, file: str = FILE) -> list[str]:
    """The problems of one file, without its name."""
    with pytest.raises(RuleError) as raised:
        rule_file.load([(file, octets)])
    return [str(problem).removeprefix(file) for problem in raised.value.problems]


def test_a_right_rule() -> None:
    """A right file becomes a compiled rule with kind, score and sentences."""
    ruleset = rule_file.load([(FILE, RULE.encode())])
    (rule,) = ruleset.rules
    assert (rule.id, rule.kind, rule.score, rule.counts) == ("name-without-proof", Kind.CLAIM, 4.0, True)
    assert (rule.text.status, rule.text.severity, rule.text.date) == (Status.STABLE, Severity.HIGH, datetime.date(2026, 1, 31))
    assert rule.detection.filters == ("filter_itself",)
    assert ruleset.of_claims == (rule,)
    assert ruleset.lures == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("title: Name without proof\n", "")], [":1:1: key `title` is missing"]),
        ([("severity: high", "severty: high")], [":1:1: key `severity` is missing", ":10:1: severty: unknown key; did you mean `severity`?"]),
        ([("severity: high", "severity: hihg")], [":10:11: severity: should be 'low', 'medium', 'high' or 'critical', not 'hihg'"]),
        ([("status: stable", "status: done")], [":3:9: status: should be 'experimental', 'test', 'stable' or 'retired', not 'done'"]),
        ([("severity: high", "severity: high\nscore: 0")], [":11:8: score: above 0 and at most 20"]),
        (
            [("author: Somebody\ndate: 2026-01-31\n", "date: 2026-01-31\nauthor: Somebody\n")],
            [":9:1: author: stands too late; `author` comes before `date`"],
        ),
        ([("title: Name without proof", "title: ''")], [":1:8: title: is empty"]),
        ([("id: name-without-proof", "id: Name")], [ID_FORM, ":2:5: id: the file must be named `Name.yml`, not `name-without-proof.yml`"]),
        ([("tags: [claim.name]", "tags: []")], [":11:7: tags: needs one tag at least, such as `claim.display-name`"]),
        ([("tags: [claim.name]", "tags: [name]")], [":11:8: tags[0]: a tag begins with the rule's kind: `claim.…`"]),
        ([("{claim_domain}", "{from}")], [":6:7: says.fr: no placeholder `{from}`; there is: insurer, sender_domain, claim_domain, link_domain"]),
        ([("{claim_domain}", "{link_domain}")], [":6:7: says.fr: `{link_domain}` needs a selection over `content.link.*`"]),
        ([("{claim_domain}", "{claim_domain")], [":6:7: says.fr: a brace is left open"]),
        ([('  en: "Uses the name {insurer}."\n', "")], [":6:3: says: the sentence in `en` is missing"]),
        ([('  en: "Uses', '  xyz: "a"\n  en: "Uses')], [":7:8: says.xyz: a language is two lower-case letters"]),
        (
            [("condition: claim_by_name and", "condition: claim_by_nam and")],
            [":18:14: detection.condition: no selection `claim_by_nam`; there is: claim_by_name, filter_itself"],
        ),
        (
            [("condition: claim_by_name and not 1 of filter_*", 'condition: "claim_by_name and not 1 from filter_*"')],
            [":18:39: detection.condition: `of` expected, not `from`"],
        ),
        ([(" and not 1 of filter_*", "")], [":16:3: detection.filter_itself: is never used in the condition"]),
        ([("  condition: claim_by_name and not 1 of filter_*\n", "")], [":13:3: detection: key `condition` is missing"]),
        ([("identity.claim.place: display-name", "identity.claim.place: display-nam")], [NEVER]),
        ([("identity.claim.place: display-name", "identity.claim.plcae: display-name")], [NO_FIELD]),
        ([("  claim_by_name:", "  ClaimByName:"), ("condition: claim_by_name and not", "condition: not")], [BAD_NAME]),
        ([("    - name: a stranger", "    - name: itself")], [":29:13: examples.no_match[0].name: each example has a name of its own"]),
        ([("      tests: filter_itself\n", "")], [NEEDS_EXAMPLE]),
        ([("tests: filter_itself", "tests: filter_other")], [NEEDS_EXAMPLE, ":34:14: examples.no_match[0].tests: no filter `filter_other`"]),
        (
            [("a@stranger.test", "a@stranger.fr")],
            [":26:9: examples.match[0].mail: only names under .example and .test are allowed, not `stranger.fr`"],
        ),
        (
            [("authenticated: [mutuelle-lavande.example]", "dmarc_policy: maybe")],
            [":33:23: examples.no_match[0].mail.dmarc_policy: should be '', 'none', 'quarantine' or 'reject', not 'maybe'"],
        ),
        ([("    proof.speaks_for_claimed_insurer: true", "    author.kind: one")], [NEEDS_AUTH, FILTER_FIELD]),
        (
            [("  claim_by_name:", "  by_name:"), ("condition: claim_by_name", "condition: by_name")],
            [":13:3: detection: a rule of kind claim needs a selection `claim_…` over `identity.claim.*`"],
        ),
        ([("severity: high", "severity: high\nseverity: low")], [":11:1: severity: duplicate key, first on line 10; remove one"]),
    ],
)
def test_mistakes(changes: list[tuple[str, str]], expected: list[str]) -> None:
    """Every mistake of a file is named with line, column, key and what to do; all of them at once, in file order."""
    assert problems_of(spoiled(*changes)) == expected


def test_a_lure_must_not_look_at_claims() -> None:
    """A rule about wording that looks at claims or authentication is refused: the engine brings the halves together."""
    octets = spoiled(("tags: [claim.name]", "tags: [want.name]"))
    assert problems_of(octets, "rules/want/name-without-proof.yml") == [
        f":{line}:5: detection.{name}: a rule of kind want must not look at `{field}`: the engine counts it only for an unproven claim"
        for line, name, field in [
            (14, "claim_by_name", "identity.claim.place"),
            (14, "claim_by_name", "identity.claim.strength"),
            (17, "filter_itself", "proof.speaks_for_claimed_insurer"),
        ]
    ]


def test_unknown_kind() -> None:
    """A rule in a folder that is no kind is refused."""
    message = ": the folder of a rule names its kind, one of: claim, domain, want, pressure, temptation, leak; not 'misc'"
    assert problems_of(RULE.encode(), "rules/misc/name-without-proof.yml") == [message]


def test_not_yaml() -> None:
    """A file that is no YAML, not UTF-8 or no map gives one problem and no exception of another kind."""
    assert problems_of(b"title: [") == [":2:1: YAML syntax: while parsing a flow node, did not find expected node content"]
    assert problems_of(b"title: \xff") == [":1:1: not UTF-8; save the file as UTF-8"]
    assert len(problems_of(b"- a\n")) == 1
    assert any("`title` is missing" in problem for problem in problems_of(b""))


def test_all_files_at_once() -> None:
    """The problems of several files come together, and an id that two files use is named."""
    with pytest.raises(RuleError) as raised:
        rule_file.load([(FILE, RULE.encode()), ("site/claim/name-without-proof.yml", RULE.encode()), ("x/claim/b.yml", spoiled(("id: ", "idd: ")))])
    texts = [str(problem) for problem in raised.value.problems]
    assert texts[-1] == f"site/claim/name-without-proof.yml: id: `name-without-proof` is the id of {FILE} already"
    assert any(text.startswith("x/claim/b.yml:2:1: idd: unknown key; did you mean `id`?") for text in texts)


def test_statuses() -> None:
    """An experimental rule is loaded and does not count; a retired one is not loaded."""
    experimental = rule_file.load([(FILE, spoiled(("status: stable", "status: experimental")))])
    assert (len(experimental.rules), experimental.of_claims) == (1, ())
    retired = rule_file.load([(FILE, spoiled(("status: stable", "status: retired")))])
    assert (retired.rules, retired.retired) == ((), ("name-without-proof",))
    assert lint.check_lock(retired, "name-without-proof\n", "ids.lock") == []


def test_score_overrides_severity() -> None:
    """`score` takes the place of the severity's default."""
    ruleset = rule_file.load([(FILE, spoiled(("severity: high", "severity: high\nscore: 2.5")))])
    assert ruleset.rules[0].score == 2.5


def test_lock() -> None:
    """An id once given stays given: the lock names new ids, lost ids, and disorder."""
    rules = rule_file.load([(FILE, RULE.encode())])
    assert lint.check_lock(rules, "# ids\nname-without-proof\n", "ids.lock") == []
    assert [str(problem) for problem in lint.check_lock(rules, "old-rule\nold-rule\n", "ids.lock")] == [
        "ids.lock:1:1: no rule has the id `old-rule` or replaces it; an id once given stays: set the rule to retired",
        "ids.lock:2:1: `old-rule` stands twice or out of order",
        "ids.lock:2:1: no rule has the id `old-rule` or replaces it; an id once given stays: set the rule to retired",
        f"ids.lock: `name-without-proof` ({FILE}) is missing; add it",
    ]
