"""What every test needs before it runs: the shipped public suffix list, as the program's start hands it in."""

from __future__ import annotations

from pathlib import Path

from milter.text import domains

ROOT = Path(__file__).resolve().parent.parent

domains.use_list((ROOT / "config" / "public_suffix_list.dat").read_text("utf-8"))
