"""Mails to judge from files: a path, stdin, or a line of a batch. What cannot be read becomes an error line, never an exception.

Knows files as mail programs write them; must not know how a mail is judged.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

from milter.adapters import files
from milter.model.mail import Connection, Envelope, Mail


class CaseError(Exception):
    """One mail or one batch line cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mail to judge. `id` is what the answer carries (text, number or null), `folder` where relative paths may lie too."""

    id: Any  # Any: a JSON value of the caller's
    path: str
    connection: Connection
    envelope: Envelope
    folder: str = ""


def from_line(line: bytes, number: int, default: Case) -> Case:
    """Read one batch line. `default` gives the SMTP facts that the line does not name. Raises CaseError."""
    try:
        value = _json(line)
    except UnicodeDecodeError:
        raise CaseError(f"line {number}: not UTF-8") from None
    except json.JSONDecodeError as wrong:
        raise CaseError(f"line {number}: not JSON: {wrong.msg} at column {wrong.colno}") from None
    except (RecursionError, ValueError):
        raise CaseError(f"line {number}: not JSON that can be read") from None
    if not isinstance(value, dict):
        raise CaseError(f"line {number}: not a JSON object")
    case = replace(default, id=id_of(line))
    try:
        if not _is_id(value.get("id")):
            raise CaseError("`id` is not a text or a number")
        path = _text(value, "path")
        if not path:
            raise CaseError("`path` is missing")
        if path == "-":
            raise CaseError("a batch reads no mail from stdin; `path` names a file")
        return replace(case, path=path, connection=_connection(value, default.connection), envelope=_envelope(value, default.envelope))
    except CaseError as wrong:
        raise CaseError(f"line {number}: {wrong}") from None


def id_of(line: bytes) -> Any:  # Any: a JSON value of the caller's
    """The `id` of a batch line as far as it can be read, else None."""
    try:
        value = _json(line)
    except (ValueError, RecursionError):
        return None
    found = value.get("id", value.get("path")) if isinstance(value, dict) else None
    return found if _is_id(found) else None


def _json(line: bytes) -> Any:  # Any: a JSON value of the caller's
    """Raises ValueError, RecursionError. A file may begin with a byte order mark."""
    return json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")  # RFC 8259 §6


def _is_id(value: object) -> bool:
    """True for what an answer can carry as its `id` (1e999 is read as infinity, which JSON cannot write)."""
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _text(value: dict[str, Any], key: str, default: str = "") -> str:
    text = value.get(key)
    if text is None:
        return default
    if not isinstance(text, str):
        raise CaseError(f"`{key}` is not a text")
    return text


def _connection(value: dict[str, Any], default: Connection) -> Connection:
    client_ip = _text(value, "client_ip", default.client_ip or "")
    return replace(default, client_ip=ip_address(client_ip) if client_ip else None, helo=_text(value, "helo", default.helo))


def _envelope(value: dict[str, Any], default: Envelope) -> Envelope:
    recipients = value.get("rcpt_to")
    if recipients is None:
        recipients = list(default.rcpt_to)
    if not isinstance(recipients, list) or not all(isinstance(item, str) for item in recipients):
        raise CaseError("`rcpt_to` is not a list of texts")
    return Envelope(mailbox(_text(value, "mail_from", default.mail_from)), tuple(mailbox(item) for item in recipients))


def ip_address(text: str) -> str:
    """A normalised IP address. Raises CaseError."""
    try:
        return str(ipaddress.ip_address(text.strip().removeprefix("IPv6:")))
    except ValueError:
        raise CaseError(f"`client_ip` is not an IP address: {text[:60]!r}") from None


def mailbox(text: str) -> str:
    """An envelope address without angle brackets; `<>` is the null sender."""
    text = text.strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def mail_of(case: Case, most: int) -> Mail:
    """Read the mail of a case, at most `most` octets. Raises CaseError."""
    return Mail(wire_form(_octets(case, most)), case.connection, case.envelope)


def _octets(case: Case, most: int) -> bytes:
    if case.path == "-":
        try:
            octets = sys.stdin.buffer.read(most + 1)
        except OSError as wrong:
            raise CaseError(f"stdin: {wrong.strerror or wrong}") from None
        if len(octets) > most:
            raise CaseError(f"larger than {most} octets (`smtp: max_octets`)")
        return octets
    path = case.path
    if case.folder and not os.path.isabs(path) and not os.path.exists(path):
        path = os.path.join(case.folder, path)
    try:
        return files.read(path, most=most)
    except (OSError, ValueError) as wrong:
        raise CaseError(f"{case.path}: {getattr(wrong, 'strerror', None) or wrong}") from None


def wire_form(octets: bytes) -> bytes:
    """A mail as SMTP carried it: files with Unix line ends get CRLF, an mbox `From ` line goes. Mixed line ends stay as they are."""
    if octets.startswith(b"From ") and not octets[5:1_000].lstrip(b" \t").startswith(b":"):  # RFC 5322 §4.5.2: blanks before a colon
        octets = octets.partition(b"\n")[2]
    return octets if b"\r" in octets else octets.replace(b"\n", b"\r\n")
