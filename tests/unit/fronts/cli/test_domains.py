"""`check-domain`."""

from __future__ import annotations

import io
import json
import sys

import pytest

from milter.fronts.cli.main import run

Capture = pytest.CaptureFixture[str]


def test_json_keys_of_the_contract(capsys: Capture) -> None:
    """One object a domain, in order, with the name as it was given."""
    assert run(["check-domain", "--json", "Mail.Colleague.Example", "colleague.example."]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == ["domain", "registrable", "match", "insurer", "technique", "score"]
    assert (first["domain"], first["registrable"], first["match"], first["insurer"]) == ("Mail.Colleague.Example", "colleague.example", "none", None)
    assert second["registrable"] == "colleague.example"


def test_what_is_no_domain_is_said(capsys: Capture) -> None:
    """The others are still answered; the exit code is that of a usage error."""
    assert run(["check-domain", "not a domain", "colleague.example"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "colleague.example\tnone\t-\t-\t0\n"
    assert printed.err == "not a domain: not a domain name\n"


def test_a_stream_of_names(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads a name a line, skips empty lines and goes on after rubbish, however long or wrongly encoded."""
    lines = [b"a.example", b"", b"\xff\xfe", b"x" * 10_000, b"192.0.2.1", b"b.example"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(lines))))
    assert run(["check-domain", "--json", "-"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["domain"] for line in found if "match" in line] == ["a.example", "b.example"]
    assert all(line["error"] == "not a domain name" for line in found if "match" not in line)


def test_a_name_that_is_not_utf8_is_no_domain(capsys: Capture) -> None:
    """On the command line such a name arrives with lone surrogates."""
    assert run(["check-domain", "--json", "\udcff.example"]) == 2
    assert json.loads(capsys.readouterr().out) == {"domain": "\udcff.example", "error": "not a domain name"}
