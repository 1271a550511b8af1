"""What `scan` prints of one Decision: the JSON object with its fixed keys, the block for people, the one line of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from milter.app import Parts
from milter.engine import explain
from milter.fronts.cli import output
from milter.model.evidence import AuthFacts
from milter.model.verdict import Decision


@dataclass(frozen=True, slots=True)
class Line:
    """One answer. `fields` is the JSON object, `insurer` the insurer's name for people; `error` when nothing was judged."""

    fields: dict[str, Any]  # Any: JSON values
    insurer: str = ""

    @property
    def error(self) -> str | None:
        """Why nothing was judged, or None."""
        return self.fields.get("error")

    @property
    def found(self) -> bool:
        """True when enforcing would not let the mail pass."""
        return bool(self.fields.get("would", "pass") != "pass")


def failed(case_id: Any, error: str) -> Line:  # Any: a JSON value of the caller's
    """The answer for what could not be read."""
    return Line({"id": case_id, "error": error})


def judged(case_id: Any, decision: Decision, elapsed: float, *, parts: Parts | None = None) -> Line:  # Any: a JSON value of the caller's
    """The answer for a judged mail; `elapsed` in seconds. With `parts` it says what each finding changed."""
    verdict = decision.verdict
    incomplete = [*decision.incomplete, *([f"not judged, our own error: {decision.unscanned}"] if decision.unscanned else [])]
    fields: dict[str, Any] = {
        "id": case_id,
        "action": decision.action.value,
        "would": decision.would.value,
        "verdict": verdict.kind.value,
        "insurer": verdict.insurer,
        "score": round(float(verdict.score), 2),
        "reasons": [{"rule": f.rule, "score": round(f.score, 2), "text": f.text(decision.language)} for f in verdict.findings],
        "auth": _auth(decision.auth),
        "incomplete": incomplete,
        "subject": decision.subject,
        "elapsed_ms": round(elapsed * 1000, 1),
    }
    if parts is not None:
        fields["explain"] = [_step(step) for step in explain.steps(verdict, parts.ruleset, parts.policy)]
    return Line(fields, verdict.insurer_name)


def _auth(auth: AuthFacts | None) -> dict[str, Any]:
    if auth is None:
        return {"spf": "none", "dkim": [], "dmarc": "none", "dmarc_reason": "not judged", "arc": "none"}
    return {
        "spf": auth.spf.result.value,
        "dkim": [{"domain": fact.domain.name if fact.domain else None, "result": fact.result.value} for fact in auth.dkim],
        "dmarc": auth.dmarc.result.value,
        "dmarc_reason": auth.dmarc.reason,
        "arc": auth.arc.result.value,
    }


def _step(step: explain.Step) -> dict[str, Any]:
    return {
        "rule": step.finding.rule,
        "from": round(step.before, 2),
        "to": round(step.after, 2),
        "without": step.without.value,
        "decides": step.decides,
        "quote": step.finding.quote,
    }


def block(line: Line) -> str:
    """Several lines for a person: what is done, the sentences, who sent it."""
    fields = line.fields
    head = click.style(output.clean(str(fields["id"])), bold=True) if output.for_person() else output.clean(str(fields["id"]))
    if line.error:
        return f"{head}\n  error: {output.clean(line.error)}\n"
    about = f" · {output.clean(line.insurer or fields['insurer'])}" if fields["insurer"] else ""
    lines = [head, f"  {_action(fields)} · {output.coloured(fields['verdict'])}{about} · score {fields['score']:g}"]
    lines += [f"  - {output.clean(reason['text'], most=400)} ({reason['rule']} {reason['score']:+g})" for reason in fields["reasons"]]
    for step in fields.get("explain", ()):
        quote = f" « {output.clean(step['quote'], most=120)} »" if step["quote"] else ""
        lines.append(f"    {step['rule']}: {step['from']:g} → {step['to']:g}, without it {step['without']}{quote}")
    lines.append(f"  {_auth_text(fields['auth'])}")
    if fields["subject"]:
        lines.append(f"  Subject: {output.clean(fields['subject'])}")
    lines += [f"  incomplete: {output.clean(text)}" for text in fields["incomplete"]]
    if fields["auth"]["dmarc_reason"] == "no_author_domain":
        lines.append("  no sender’s address was found in it: is it a mail?")
    return "\n".join(lines) + "\n"


def _action(fields: dict[str, Any]) -> str:
    action = output.coloured(fields["action"])
    return action if fields["would"] == fields["action"] else f"{action} (enforcing would {output.coloured(fields['would'])})"


def _auth_text(auth: dict[str, Any]) -> str:
    dkim = ", ".join(f"{item['result']} ({item['domain']})" for item in auth["dkim"]) or "none"
    reason = f" ({auth['dmarc_reason']})" if auth["dmarc_reason"] else ""
    return output.clean(f"SPF {auth['spf']} · DKIM {dkim} · DMARC {auth['dmarc']}{reason} · ARC {auth['arc']}", most=500)


def short(line: Line) -> str:
    """One line: id, action, verdict, insurer, score, separated by tabs."""
    fields = line.fields
    name = "-" if fields["id"] is None else output.clean(str(fields["id"]))
    if line.error:
        return "\t".join((name, "error", output.clean(line.error)))
    return "\t".join((name, fields["action"], fields["verdict"], fields["insurer"] or "-", f"{fields['score']:g}"))
