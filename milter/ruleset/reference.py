"""Generated pages: SCHEMA.json for editors, the reference of fields, the index of rules. Committed files equal these texts."""

from __future__ import annotations

import json
from typing import Any

from milter.ruleset.fields import CATALOGUE, MODIFIER_DOCS, MODIFIERS, FieldSpec, FieldType
from milter.ruleset.index import RuleSet
from milter.ruleset.rule import KEY_ORDER, MAX_SCORE, PLACEHOLDERS, SCORES, Kind, Rule, Severity, Status

Json = dict[str, Any]  # Any: JSON is what it is
OPTIONAL = ("references", "replaces", "score", "known_miss", "known_noise")
KEY_DOCS = {
    "title": "One line that says what the rule detects.",
    "id": "Lower-case words joined by hyphens; the file is named after it. An id once given is never used for anything else.",
    "status": "experimental: tried on its examples, never counts · test, stable: counts · retired: not loaded.",
    "description": "What it detects and what it misses.",
    "says": "The sentence for the recipient, by language; `fr` and `en` are required.",
    "references": "Where the pattern was seen, or the fact is stated.",
    "replaces": "Ids of rules that this one replaces.",
    "author": "Who wrote it.",
    "date": "Day of the last change, such as 2026-01-31.",
    "severity": "Default score of a finding.",
    "score": "Score of a finding, in place of the severity's.",
    "tags": "Words that group rules; each begins with the kind, such as `claim.display-name`.",
    "detection": "Named selections, and the condition over them.",
    "false_positives": "When the rule is wrong, and what to do then.",
    "examples": "Mails on which it fires and mails on which it does not: these are tests.",
    "known_miss": "Mails that it should fire on and does not yet.",
    "known_noise": "Mails that it fires on and should not.",
}


def generated(ruleset: RuleSet) -> dict[str, str]:
    """Every generated page of the shipped rules, by its path in the repository."""
    return {
        "rules/INDEX.md": index_markdown(ruleset),
        "rules/SCHEMA.json": schema_json(),
        "docs/reference/rules.md": reference_markdown(),
    }


def schema_json() -> str:
    """JSON Schema (draft 2020-12) of a rule file."""
    special: Json = {
        "id": {"pattern": "^[a-z0-9]+(-[a-z0-9]+)+$"},
        "status": {"enum": [str(status) for status in Status]},
        "severity": {"enum": [str(severity) for severity in Severity]},
        "date": {"format": "date"},
        "score": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SCORE},
        "says": {"type": "object", "required": ["fr", "en"], "propertyNames": {"pattern": "^[a-z]{2}$"}, "additionalProperties": {"type": "string"}},
        "detection": _detection(),
        "false_positives": _list(_object({"when": _text(), "then": _text()}, ["when", "then"])),
        "examples": _object({"match": _list(_example()), "no_match": _list(_example())}, ["match", "no_match"]),
        "known_miss": {"type": "array", "items": _example()},
        "known_noise": {"type": "array", "items": _example()},
        "tags": _list(_text()),
        "references": {"type": "array", "items": _text()},
        "replaces": {"type": "array", "items": _text()},
    }
    properties = {key: {"type": "string", **special.get(key, {}), "description": KEY_DOCS[key]} for key in KEY_ORDER}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule of insurer-milter",
        "description": "Generated from milter/ruleset; do not edit.",
        **_object(properties, [key for key in KEY_ORDER if key not in OPTIONAL]),
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _text() -> Json:
    return {"type": "string"}


def _list(items: Json) -> Json:
    return {"type": "array", "minItems": 1, "items": items}


def _object(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _example() -> Json:
    names = {"type": "array", "items": _text()}
    mail = {
        "headers": _text(),
        "text": _text(),
        "html": _text(),
        "authenticated": names,
        "dmarc_policy": {"enum": ["none", "quarantine", "reject"]},
        "dns_trouble": names,
    }
    return _object({"name": _text(), "tests": _text(), "mail": _object(mail, ["headers"])}, ["name", "mail"])


def _detection() -> Json:
    selection = _object({}, [])
    del selection["required"]
    for spec in CATALOGUE.values():
        for modifier in MODIFIERS[spec.type]:
            value: Json = {"type": ["string", "boolean"], "enum": [True, False]} if spec.type is FieldType.FLAG else _text()
            if spec.values and spec.type is not FieldType.FLAG:
                value = {"enum": list(spec.values)}
            key = f"{spec.name}|{modifier}" if modifier else spec.name
            selection["properties"][key] = {"description": spec.doc, "anyOf": [value, _list(value)]}
    return {
        "type": "object",
        "required": ["condition"],
        "properties": {"condition": _text()},
        "additionalProperties": {**selection, "minProperties": 1},
    }


def reference_markdown() -> str:
    """The reference page of the rule language: keys, fields, modifiers, kinds, severities."""
    lines = ["# Rule files: keys and fields", "", "Generated from `milter/ruleset`; do not edit.", "", "## Keys, in this order", ""]
    lines += ["| key | | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{key}` | {'optional' if key in OPTIONAL else ''} | {KEY_DOCS[key]} |" for key in KEY_ORDER]
    lines += ["", "## Kinds", "", "The folder of a rule is its kind.", ""]
    needs = {True: "counts only beside an unproven claim", False: "needs a claim and an authentication fact"}
    lines += [f"- `{kind}`: {needs[kind.is_lure]}" for kind in Kind]
    lines += ["", "## Severities", ""]
    lines += [f"- `{severity}`: {SCORES[severity]:g}" for severity in Severity]
    lines += ["", "## Fields", "", "| field | type | values | meaning |", "| --- | --- | --- | --- |"]
    lines += [_field_row(spec) for spec in CATALOGUE.values()]
    lines += ["", "Keys of one selection that begin with `identity.claim.` must hold for one and the same claim, those with"]
    lines += ["`content.link.` for one and the same link. Rules of the kinds claim and domain see the claims of one insurer at a time.", ""]
    lines += ["## Modifiers", "", "| written | for | meaning |", "| --- | --- | --- |"]
    for modifier, doc in MODIFIER_DOCS.items():
        types = ", ".join(kind for kind in FieldType if modifier in MODIFIERS[kind])
        lines.append(f"| `field{'|' + modifier if modifier else ''}` | {types} | {doc} |".replace("field|", "field\\|"))
    lines += ["", "## Placeholders of sentences", "", ", ".join(f"`{{{name}}}`" for name in PLACEHOLDERS)]
    return "\n".join(lines) + "\n"


def _field_row(spec: FieldSpec) -> str:
    return f"| `{spec.name}` | {spec.type} | {', '.join(f'`{value}`' for value in spec.values)} | {spec.doc} |"


def index_markdown(ruleset: RuleSet) -> str:
    """The index of the shipped rules, by kind."""
    lines = ["# Rules", "", "Generated from the rule files; do not edit."]
    for kind in Kind:
        rules = [rule for rule in ruleset.rules if rule.kind is kind]
        if rules:
            lines += ["", f"## {kind}", "", "| rule | status | score | detects |", "| --- | --- | --- | --- |"]
            lines += [_rule_row(rule) for rule in rules]
    return "\n".join(lines) + "\n"


def _rule_row(rule: Rule) -> str:
    return f"| [{rule.id}]({rule.kind}/{rule.id}.yml) | {rule.text.status} | {rule.score:g} | {rule.text.title} |"
