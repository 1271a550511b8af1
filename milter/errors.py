"""Every exception of insurer-milter.

    MilterError
    ├── FileError            a file of ours cannot be used; carries every Problem found in it
    │   ├── SettingsError
    │   ├── RegistryError
    │   ├── RuleError
    │   └── PolicyError
    ├── UsageError           the command line asks for something that makes no sense
    ├── NextHopError         the next hop cannot be reached or broke the protocol; carries the reply for the peer
    ├── ListenError          an address cannot be listened on; the text says what to do
    ├── ServiceError         the service cannot start, or cannot be spoken to; the text says why
    ├── SandboxError         work in a child process gave no result; the child was killed, died or broke
    └── QuarantineError      the quarantine cannot store, find or release; nothing was changed

Network and mail trouble is data (evidence, replies), never one of these: exceptions are for our own mistakes
and for bad files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where it is, what it is, and what to do about it.

    `line` and `column` count from 1; 0 means that the problem has no place inside the file.
    `key` is the dotted path of the setting (`smtp.listen[0]`), empty where there is none.
    """

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class MilterError(Exception):
    """Base of everything we raise on purpose."""


class FileError(MilterError):
    """A file cannot be used. `problems` holds all of them, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingsError(FileError):
    """The settings file is wrong."""


class RegistryError(FileError):
    """A registry file is wrong."""


class RuleError(FileError):
    """A rule file is wrong."""


class PolicyError(FileError):
    """A policy file is wrong."""


class UsageError(MilterError):
    """The command line asks for something that makes no sense; the text says what to do."""


class NextHopError(MilterError):
    """The next hop cannot take the mail now. `cause` is for the log and the peer and holds no personal data.

    `enhanced` is the status code for the peer: 4.4.1 no answer when connecting, 4.4.2 a conversation that broke (RFC 3463 §3.5).
    """

    def __init__(self, cause: str, *, after_final_dot: bool = False, enhanced: str = "4.4.2") -> None:
        super().__init__(cause)
        self.cause = cause
        self.after_final_dot = after_final_dot
        self.enhanced = enhanced


class ListenError(MilterError):
    """An address cannot be listened on; the text names it and says what to do."""


class ServiceError(MilterError):
    """The service cannot start, or cannot be spoken to; the text says why and what to do."""


class SandboxError(MilterError):
    """Work in a child process gave no result. `reason` is one of a few fixed words (`killed-deadline`, `crashed` …), fit for a header.

    The text names the reason and a place or number, and quotes nothing that the child worked on.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class QuarantineError(MilterError):
    """The quarantine cannot do what was asked; the text says why and what to do."""
