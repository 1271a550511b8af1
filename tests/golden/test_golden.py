"""One folder a mail: `mail.eml` as received, the DNS of its world, the session, and the judgement it must get.

`session.json` holds `client_ip`, `helo`, `mail_from`, `rcpt_to`; `expected.json` the judgement without what differs from run to run;
`dns.zone` is read by tests/helpers/dns.py. The insurers are those of config/registry/example.yml.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from milter import app
from milter.fronts.cli import lines
from milter.model.mail import Connection, Envelope, Mail
from milter.pipeline import judge
from milter.settings.model import Settings
from tests.helpers.dns import load_zone

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/mail.eml"))
SETTINGS = Settings(hostname="mx.recipient.test", policy="quarantine", registry=("example",))


@pytest.fixture(scope="module")
def parts() -> app.Parts:
    """The shipped rules, the example registry, the quarantine policy."""
    app.use_suffix_list(SETTINGS)
    return app.load_parts(SETTINGS)


def our_own_bug(mail: Mail, bug: BaseException) -> None:
    """Nothing of ours may break on a golden mail."""
    raise AssertionError(f"judging broke: {bug!r}") from bug


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_golden(folder: Path, parts: app.Parts) -> None:
    """The mail gets exactly the judgement that stands beside it."""
    session = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    mail = Mail(
        (folder / "mail.eml").read_bytes(),
        Connection(client_ip=session["client_ip"], helo=session["helo"]),
        Envelope(session["mail_from"], tuple(session["rcpt_to"])),
    )
    kit = dataclasses.replace(app.build_kit(SETTINGS, parts, load_zone(folder / "dns.zone"), our_own_bug), clock=lambda: 1_772_438_400.0)
    judged = lines.judged(folder.name, await judge(mail, kit), 0.0).fields
    for key in ("id", "elapsed_ms"):
        del judged[key]
    assert judged == json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_there_are_golden_mails() -> None:
    """The folders are found: an empty list would prove nothing. Each has a README that says what it is."""
    assert len(FOLDERS) >= 12
    assert [folder.name for folder in FOLDERS if not (folder / "README").is_file()] == []
