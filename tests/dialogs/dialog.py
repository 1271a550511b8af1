"""Reads and runs dialog files: what a client says and hears from the real proxy, and what the next hop hears.

# a comment; the first one is the behaviour in one sentence
p: name value        an option of the proxy (`Options`), or `action`: what the judge decides
n: STEP answer       what the next hop does at a step (see `FakeNextHop`); `offers` sets its EHLO keywords, `none` for none
c: line              the client sends a line (escapes \\r \\n \\0 \\xHH are octets)
C: octets            the client sends octets without a line end
s: line              the client must hear this line; `*` stands for anything
x:                   the connection must have been closed
h: entry             what the next hop must have heard, all of it in order, without EHLO and QUIT; `(mail)` is one that was sent whole
m: count             how many mails the next hop must have taken
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from milter.fronts.smtp_contract import Options
from milter.model.verdict import Action
from tests.helpers.next_hop import FakeNextHop
from tests.helpers.proxy import Client, decides, stand

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([rn0\\]))")
_NAMED = {"r": b"\r", "n": b"\n", "0": b"\0", "\\": b"\\"}


@dataclass
class Dialog:
    """One file."""

    steps: list[tuple[int, str, str]] = field(default_factory=list)
    options: Options = field(default_factory=lambda: Options("gw.example"))
    action: Action = Action.PASS
    next_hop: FakeNextHop = field(default_factory=FakeNextHop)
    heard: list[str] | None = None
    mails: int | None = None


def read(path: Path) -> Dialog:
    """Read a file; ValueError with its line for anything unknown."""
    dialog = Dialog()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        kind, _, rest = line.partition(":")
        rest = rest.removeprefix(" ")
        if kind in ("c", "C", "s", "x"):
            dialog.steps.append((number, kind, rest))
        elif kind == "p":
            _set_option(dialog, *rest.split(" ", 1))
        elif kind == "n":
            _set_script(dialog.next_hop, rest)
        elif kind == "h":
            dialog.heard = [*(dialog.heard or []), *([rest] if rest else [])]
        elif kind == "m":
            dialog.mails = int(rest)
        else:
            raise ValueError(f"{path.name}:{number}: unknown kind of line {kind!r}")
    return dialog


def _set_option(dialog: Dialog, name: str, value: str) -> None:
    if name == "action":
        dialog.action = Action(value)
        return
    usual = next(getattr(dialog.options, one.name) for one in fields(Options) if one.name == name)
    changed: dict[str, Any] = {name: tuple(value.split()) if isinstance(usual, tuple) else type(usual)(value)}  # of the type of the option
    dialog.options = replace(dialog.options, **changed)


def _set_script(next_hop: FakeNextHop, rest: str) -> None:
    if rest.startswith("offers"):
        offers = rest.removeprefix("offers").strip()
        next_hop.offers = () if offers == "none" else tuple(one.strip() for one in offers.split(","))
        return
    step, answer = (f"RCPT {rest.split(' ')[1]}", rest.split(" ", 2)[2]) if rest.startswith("RCPT <") else rest.split(" ", 1)
    next_hop.script[step] = answer.replace("\\n", "\n")


def octets(text: str) -> bytes:
    """The octets that a line of a dialog stands for."""
    parts: list[bytes] = []
    end = 0
    for found in _ESCAPE.finditer(text):
        parts += [text[end : found.start()].encode(), bytes([int(found[1], 16)]) if found[1] else _NAMED[found[2]]]
        end = found.end()
    return b"".join((*parts, text[end:].encode()))


async def run(path: Path) -> None:
    """Play the dialog; AssertionError names the line."""
    dialog = read(path)
    async with stand(dialog.next_hop, dialog.options) as built:
        built.decide = decides(dialog.action)
        reader_client = await Client.connect(built.port)
        lines: list[str] = reader_client.greeting.split("\n")
        for number, kind, rest in dialog.steps:
            if kind in ("c", "C"):
                reader_client.writer.write(octets(rest) + (b"\r\n" if kind == "c" else b""))
                continue
            if not lines:
                said = await reader_client.reply()
                lines = said.split("\n") if said else []
            if kind == "x":
                assert not lines, f"{path.name}:{number}: not closed, heard {lines}"
            else:
                heard = lines.pop(0) if lines else "(closed)"
                assert fnmatch.fnmatchcase(heard, rest.replace("[", "[[]")), f"{path.name}:{number}: heard {heard!r}, not {rest!r}"
        assert not lines, f"{path.name}: heard more: {lines}"
        await reader_client.close()
    if dialog.heard is not None:
        assert dialog.next_hop.commands == dialog.heard, path.name
    if dialog.mails is not None:
        assert len(dialog.next_hop.mails) == dialog.mails, path.name
    assert not built.bugs, built.bugs
