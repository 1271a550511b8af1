"""The shipped rules, their lock and the generated pages."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from milter.ruleset import lint, reference, rule_file
from milter.ruleset.fields import CATALOGUE
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import KEY_ORDER, Kind

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "rules"
LURE_WORDS = """
confirm confirmez droits suspension suspendus de des carte vitale remboursement mettre a jour dossier compte contrat en attente
vos votre le la rib iban coordonnees bancaires sous heures expire immediatement informations donnees faute quoi
"""


@pytest.fixture(scope="module")
def shipped() -> RuleSet:
    """Every rule in `rules/`."""
    return rule_file.load((str(path.relative_to(ROOT)), path.read_bytes()) for path in sorted(RULES.rglob("*.yml")))


def test_first_rules(shipped: RuleSet) -> None:
    """The three gestures are there: asks for data through a link, a misspelt address, an urgent or tempting tone."""
    kinds = {rule.kind for rule in shipped.rules}
    assert kinds == set(Kind)
    assert len(shipped.rules) >= 12


def test_every_rule_speaks_german(shipped: RuleSet) -> None:
    """Shipped rules say their sentence in French, English and German."""
    assert {tuple(rule.text.says) for rule in shipped.rules} == {("fr", "en", "de")}


def test_french_elides_nothing_before_a_name(shipped: RuleSet) -> None:
    """French sentences put no word before the insurer's name that a vowel would shorten (`de AXA`, `que AXA`)."""
    wrong = [rule.id for rule in shipped.rules for word in ("de", "que", "le", "la", "si") if f" {word} {{insurer}}" in rule.text.says["fr"]]
    assert wrong == []


def test_lock(shipped: RuleSet) -> None:
    """`ids.lock` holds every id that was ever given, in order."""
    lock = RULES / "ids.lock"
    assert lint.check_lock(shipped, lock.read_text("utf-8"), "rules/ids.lock") == []


def test_generated_pages(shipped: RuleSet) -> None:
    """The committed index, schema and reference are what the code generates (`make generate` writes them anew)."""
    for name, text in reference.generated(shipped).items():
        assert (ROOT / name).read_text("utf-8") == text, name


def test_schema_knows_every_key_and_field() -> None:
    """SCHEMA.json is JSON and names every key of a rule and every field of the catalogue."""
    schema = json.loads(reference.schema_json())
    assert tuple(schema["properties"]) == KEY_ORDER
    keys = {key.partition("|")[0] for key in schema["properties"]["detection"]["additionalProperties"]["properties"]}
    assert keys == set(CATALOGUE)


def test_every_field_is_used(shipped: RuleSet) -> None:
    """The catalogue promises nothing that no rule or example has proven."""
    used = {field for rule in shipped.rules for selection in rule.detection.selections.values() for field in selection.fields}
    assert set(CATALOGUE) - used <= {"auth.spf.result", "content.link.shows_other_domain", "text.own", "text.subject"}


def test_hostile_words(shipped: RuleSet) -> None:
    """200,000 characters made of the words of all lures, in random order, are scanned in a fraction of a second."""
    chosen, words = random.Random(7), LURE_WORDS.split()
    text = " ".join(chosen.choice(words) for _ in range(32_000))
    started = time.process_time()
    shipped.patterns.found(text)
    assert time.process_time() - started < 0.4
