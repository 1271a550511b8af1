"""Takes the public suffix list of the installed package `publicsuffixlist` into config/ (`make suffix-list`).

Kept are the licence, the version, the section marks and the rules; left out are the comments, which name the people who
submitted each rule.
"""

from __future__ import annotations

from pathlib import Path

import publicsuffixlist

TARGET = Path(__file__).resolve().parents[1] / "config" / "public_suffix_list.dat"
KEPT = ("// VERSION:", "// COMMIT:", "// ===")
NOTICE = (
    "// The public suffix list of publicsuffix.org, without its comments.",
    "// This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the MPL was not",
    "// distributed with this file, You can obtain one at https://mozilla.org/MPL/2.0/.",
)


def reduced(text: str) -> str:
    """The list without comments and empty lines; every rule stays, in its order."""
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join([*NOTICE, *(line for line in lines if line and (line.startswith(KEPT) or not line.startswith("//")))]) + "\n"


def main() -> None:
    """Write the list."""
    source = Path(publicsuffixlist.__file__).with_name("public_suffix_list.dat")
    TARGET.write_text(reduced(source.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {TARGET.name}: {TARGET.read_text(encoding='utf-8').partition('VERSION: ')[2][:19]}")


if __name__ == "__main__":
    main()
