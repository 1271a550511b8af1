"""The command line: its commands, and what becomes of errors.

Exit codes: 0 done, 1 found (only with --exit-code), 2 usage or settings error, 3 input or output error. Every error is
words on stderr; a traceback is a bug of ours.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from milter.errors import FileError, MilterError, UsageError
from milter.fronts.cli.lazy import LazyGroup

DONE, FOUND, WRONG, IO_ERROR, INTERRUPTED = 0, 1, 2, 3, 130

COMMANDS = {
    "demo": ("demo", "demo", "Show what it does with a dozen invented mails, on this machine alone."),
    "serve": ("serve", "serve", "Run the SMTP proxy in front of a mail server."),
    "status": ("control", "status", "Say how the running service is."),
    "reload": ("control", "reload", "Let the running service read settings, registry, rules and policy anew."),
    "pause": ("control", "pause", "Let all mail pass unjudged for a time."),
    "resume": ("control", "resume", "End a pause."),
    "drain": ("control", "drain", "Finish the mails under way and end the service."),
    "scan": ("scan", "scan", "Judge mails from files."),
    "check-domain": ("domains", "check_domain", "Say how a domain relates to the insurers of the registry."),
    "registry": ("registry", "registry", "List, find and check insurers."),
    "rules": ("rules", "rules", "List, check, test and explain rules."),
    "quarantine": ("quarantine", "quarantine", "List, show, release and delete quarantined mails."),
    "settings": ("settings", "settings", "Check and show the settings."),
}


def _version(ctx: click.Context, option: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click's callback
    if value:
        from importlib.metadata import version

        click.echo(f"insurer-milter {version('insurer-milter')}")
        ctx.exit()


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and stop.")
def cli() -> None:
    """Does this mail claim to come from an insurer, and is that claim proven?"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    _prepare_streams()
    try:
        result = cli.main(args=arguments, prog_name="insurer-milter", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        _say("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        _give_stdout_up()  # whoever read our output has gone
        return IO_ERROR
    except SystemExit:  # click's own way when whoever read our output has gone
        return IO_ERROR
    except (click.ClickException, MilterError, OSError) as wrong:
        code = report(wrong)
        try:
            sys.stdout.flush()
        except OSError:
            _give_stdout_up()
        return code
    return result if isinstance(result, int) else DONE


def _prepare_streams() -> None:
    """Answers are UTF-8 whatever the locale; a stream that the caller closed fails when it is used, as a full disk does."""
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_WRONLY), encoding="utf-8")  # noqa: SIM115  # as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115  # as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _give_stdout_up() -> None:
    """The interpreter must not complain while it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(wrong: Exception) -> int:
    """Say on stderr what is wrong, in words, and return the exit code."""
    if isinstance(wrong, click.FileError):
        _say(f"Error: {wrong.format_message()}")
        return IO_ERROR
    if isinstance(wrong, click.ClickException):
        wrong.show()
        return WRONG
    if isinstance(wrong, FileError):
        for problem in wrong.problems:
            _say(str(problem))
        if len(wrong.problems) > 1:
            _say(f"{len(wrong.problems)} problems.")
        return WRONG
    if isinstance(wrong, OSError):
        _say(f"Error: {os_error(wrong)}")
        return IO_ERROR
    _say(f"Error: {wrong}")
    return WRONG if isinstance(wrong, UsageError) else IO_ERROR


def os_error(wrong: OSError) -> str:
    """An error of the system in one line, without errno."""
    reason = wrong.strerror or str(wrong)
    return f"{wrong.filename}: {reason}" if wrong.filename is not None else reason


def _say(text: str) -> None:
    click.echo(text, err=True)
