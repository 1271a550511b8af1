"""The pages of the documentation: links that lead somewhere, commands that exist, output that is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from milter import app
from milter.fronts.cli.main import cli, run
from milter.settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".venv", ".git", ".cache", "node_modules", "dist"}
PAGES = sorted(
    page for page in ROOT.rglob("*.md") if not SKIPPED & {part for part in page.relative_to(ROOT).parts if part in SKIPPED or part[0] == "."}
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"insurer-milter ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
GROUPS = {"registry", "rules", "quarantine", "settings"}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _headings(page: Path) -> set[str]:
    """The anchors that a page offers, as code hosts make them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_there_are_pages() -> None:
    """The pages are found: an empty list would prove nothing."""
    assert {"README.md", "docs/tutorial.md", "docs/howto/write-a-rule.md", "rules/README.md"} <= {_name(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links(page: Path) -> None:
    """Every relative link of a page leads to a file or folder of the repository, and its anchor to a heading."""
    dead = []
    for link in LINK.findall(_without_blocks(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists() or (anchor and anchor not in _headings(target)):
            dead.append(link)
    assert dead == []


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, subcommand or "") of every call that a page shows as code."""
    blocks = re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", _without_blocks(text))
    for code in (*blocks, *inline):
        for first, second in COMMAND.findall(code):
            yield first, second if first in GROUPS else ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands(page: Path) -> None:
    """Every `insurer-milter COMMAND` that a page shows exists, and so does the subcommand of a group."""
    context = click.Context(cli)
    unknown = []
    for first, second in _commands(page.read_text(encoding="utf-8")):
        command = cli.get_command(context, first)
        group = command if isinstance(command, click.Group) else None
        if command is None or (second and (group is None or second not in group.commands)):
            unknown.append(f"{first} {second}".strip())
    assert unknown == []


def test_command_names_are_found() -> None:
    """The search for commands finds those of a block and of a line, so that the test above tests something."""
    text = "see `insurer-milter rules lint`\n```sh\n/opt/x/bin/insurer-milter quarantine list\ninsurer-milter scan FILE\n```\n"
    assert set(_commands(text)) == {("rules", "lint"), ("quarantine", "list"), ("scan", "")}


def test_readme_shows_true_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README shows of `scan` is what `scan` prints (but for the line on authentication, which asks the DNS of this machine)."""
    block = re.search(r"^```console\n\$ \S*insurer-milter (.+)\n((?:.+\n)+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert block is not None
    monkeypatch.chdir(ROOT)
    assert run([*block[1].split(), "--resolver", "127.0.0.1:9"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("  SPF", "  incomplete"))]
    assert printed == [line for line in block[2].splitlines() if not line.startswith("  SPF")]


FRENCH = [
    (r" [:;?!»]|« ", "a plain blank where French has a no-break one"),
    (r"[^\s\u00a0\u202f][:;?!»](?!//)|«[^\u00a0\u202f]", "no blank where French has a no-break one"),
    (r"'|\"", "a straight apostrophe or quote"),
    (r"\.\.\.", "three points for an ellipsis"),
]


def test_french_sentences() -> None:
    """The French sentences keep French typography, begin with a capital and end with a full stop."""
    settings = Settings(registry=("example",))
    app.use_suffix_list(settings)
    wrong = []
    for rule in app.load_ruleset(settings).rules:
        sentence = rule.text.says["fr"]
        wrong += [f"{rule.id}: {what}" for pattern, what in FRENCH if re.search(pattern, sentence)]
        if not (sentence[0].isupper() and sentence.endswith(".")):
            wrong.append(f"{rule.id}: no capital or no full stop")
    assert wrong == []


FAILURES = ROOT / "docs" / "explanation" / "when-things-fail.md"


def _failure_rows() -> list[list[str]]:
    """The cells of each row of the tables on failures, without their heads."""
    lines = FAILURES.read_text(encoding="utf-8").replace("\\|", "/").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("what", "what breaks") and not row[0].startswith("---")]


@pytest.mark.parametrize("row", _failure_rows(), ids=lambda row: row[0][:40])
def test_each_failure_names_a_test_that_is_there(row: list[str]) -> None:
    """The last cell of a row names tests, file and function, and each of them exists."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_what_the_page_on_failures_quotes_is_said() -> None:
    """Each reply, metric and event that the page quotes stands in the program."""
    program = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "milter").rglob("*.py"))
    text = FAILURES.read_text(encoding="utf-8").replace("\\|", "/")
    replies = re.findall(r"`[245]\d\d ([245]\.\d\.\d) ?([^`]*)`", text)
    said = [piece.strip() for _, words in replies for piece in re.split(r"…|\(|: ", words) if piece.strip(" )")]
    metrics = re.findall(r"`(\w+)_total", text)
    assert len(said) > 15
    assert len(metrics) > 8
    lost = [words for words in said if words not in program] + [name for name in metrics if f'"{name}' not in program]
    assert lost == []
