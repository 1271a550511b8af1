"""`python -m milter` and the command `insurer-milter`."""

from __future__ import annotations

import sys

from milter.fronts.cli.main import run


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
