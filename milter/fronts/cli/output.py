"""How answers are printed: JSON lines for programs, tables and colour for people on a terminal, plain text in a pipe.

rich is imported only when stdout is a terminal.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import click

COLOURS = {
    "lookalike": "red",
    "weak": "yellow",
    "official": "green",
    "impersonation": "red",
    "suspect": "yellow",
    "genuine": "green",
    "quarantine": "red",
    "reject": "red",
    "tag": "yellow",
}


def json_line(value: Mapping[str, object]) -> None:
    """One object on one line, flushed with the stream. A lone surrogate (a file name that is not UTF-8) is written as JSON's `\\udcff`."""
    line = json.dumps(value, ensure_ascii=False, separators=(", ", ": ")) + "\n"
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode("utf-8"))


def for_person() -> bool:
    """True when stdout is a terminal."""
    return sys.stdout.isatty()


def clean(text: str, *, most: int = 200) -> str:
    """Hostile text for a terminal: control and format characters shown as `?`, every blank as one, cut at `most` characters."""
    shown = "".join(char if char.isprintable() else " " if unicodedata.category(char) == "Zs" else "?" for char in text[:most])
    return shown + "…" if len(text) > most else shown


def coloured(word: str) -> str:
    """A verdict or action in its colour on a terminal, plain elsewhere."""
    return click.style(word, fg=COLOURS[word]) if word in COLOURS and for_person() else word


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal; tab-separated lines without a head in a pipe."""
    if not for_person():
        for row in rows:
            sys.stdout.write("\t".join(clean(cell, most=1_000) for cell in row) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        drawn.add_column(name, no_wrap=number == 0)  # the first one is copied into the next command
    for row in rows:
        drawn.add_row(*(Text(clean(cell), style=COLOURS.get(cell, "")) for cell in row))
    Console().print(drawn)
