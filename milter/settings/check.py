"""What a settings file may not say although its types are right: addresses, loops, unknown names, numbers out of range.

Works on the text of the file, so that these problems come together with the others. Reads no file: which policies and
markets there are, and whether a path exists, is handed in as `Known`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from milter.errors import Problem
from milter.model.limits import Limits
from milter.settings import addresses
from milter.settings.model import Settings, Smtp
from milter.strict_yaml import Document, Path


@dataclass(frozen=True, slots=True)
class Known:
    """What exists outside the settings file. `folder` is where the file lies: relative paths start there."""

    policies: tuple[str, ...]
    markets: tuple[str, ...]
    folder: str = ""
    is_file: Callable[[str], bool] = os.path.isfile
    is_folder: Callable[[str], bool] = os.path.isdir

    def path(self, text: str) -> str:
        """`text` as an absolute path."""
        return os.path.normpath(os.path.join(self.folder, os.path.expanduser(text)))


def problems(document: Document, known: Known) -> Iterator[Problem]:
    """Every semantic problem of a document that is meant to become `Settings`."""
    yield from _walk(document, known, Settings, document.value, ())
    yield from _loops(document)


def _walk(document: Document, known: Known, kind: type, value: object, path: Path) -> Iterator[Problem]:
    if not isinstance(value, dict):
        return
    hints = typing.get_type_hints(kind)
    for option in dataclasses.fields(kind):
        if option.name not in value:
            continue
        inner, here = value[option.name], (*path, option.name)
        if dataclasses.is_dataclass(hints[option.name]):
            yield from _walk(document, known, hints[option.name], inner, here)
            continue
        if not isinstance(inner, list if isinstance(option.default, tuple) else str):
            continue  # a wrong shape, which the types report
        texts = [(here, inner)] if isinstance(inner, str) else [((*here, i), item) for i, item in enumerate(inner) if isinstance(item, str)]
        form = FORMS.get(option.metadata.get("form", ""))
        if not inner and option.metadata.get("form") in NEVER_EMPTY:
            yield document.problem(here, "the list is empty; name at least one")
        for place, text in texts:
            message = form(text, known) if form else _number(text, option, kind)
            if message:
                yield document.problem(place, message)


def _number(text: str, option: dataclasses.Field[object], kind: type) -> str | None:
    least, most = bounds(option, kind)
    if least is None or most is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or not least <= value <= most:
        return f"must be from {least:_} to {most:_}, not {text[:60]!r}"
    return None


def bounds(option: dataclasses.Field[Any], kind: type) -> tuple[float | None, float | None]:  # Any: a field of any type
    """Smallest and largest value of a number, (None, None) for anything else. A limit is from 1 to a hundred times its default."""
    if kind is Limits:
        default: Any = option.default  # Any: dataclasses type a default as "the value or MISSING"
        return 1, default * 100
    return option.metadata.get("least"), option.metadata.get("most")


def _loops(document: Document) -> Iterator[Problem]:
    smtp = document.value.get("smtp", {}) if isinstance(document.value, dict) else {}
    if not isinstance(smtp, dict):
        return
    listens = smtp.get("listen", list(Smtp().listen))
    seen: dict[addresses.HostPort, int] = {}
    for index, text in enumerate(listens if isinstance(listens, list) else []):
        end = _address(text)
        if end is None:
            continue
        if end in seen:
            yield document.problem(("smtp", "listen", index), f"listens on {end} twice; remove one")
        seen[end] = index
    hop = _address(smtp.get("next_hop", Smtp().next_hop))
    for end in seen:
        if hop is not None and hop.reaches(end):
            place: Path = ("smtp", "next_hop") if "next_hop" in smtp else ("smtp", "listen")
            yield document.problem(place, f"{hop} is our own address in `smtp.listen`: mail would go round in a circle")
            return


def _address(text: object) -> addresses.HostPort | None:
    try:
        return addresses.host_port(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _listen(text: str, known: Known) -> str | None:
    try:
        end = addresses.host_port(text)
    except ValueError as wrong:
        return str(wrong)
    return None if addresses.is_ip(end.host) else f"listen on an IP address, not on a name: {end.host!r}"


def _peer(text: str, known: Known) -> str | None:
    try:
        end = addresses.host_port(text)
    except ValueError as wrong:
        return str(wrong)
    if end.host in ("0.0.0.0", "::"):  # noqa: S104  # refused here, never bound
        return f"{end.host} is an address to listen on; name the machine that takes the mail"
    return None


def resolver_problem(text: str) -> str | None:
    """What is wrong with `IP[:PORT]`, or None."""
    try:
        end = addresses.host_port(text, default_port=53)
    except ValueError as wrong:
        return str(wrong)
    return None if addresses.is_ip(end.host) else f"a resolver is an IP address, with or without `:PORT`, not the name {end.host!r}"


def is_path(text: str) -> bool:
    """True when a policy or a registry is named by its file and not by its short name."""
    return "/" in text or text.endswith((".yml", ".yaml"))


def _named(text: str, known: Known, names: tuple[str, ...], what: str) -> str | None:
    if is_path(text):
        return None if known.is_file(known.path(text)) else f"no such {what} file: {known.path(text)}"
    if text in names:
        return None
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names)}; or the path of a file"
    return f"unknown {what} {text[:60]!r}; {hint}"


def _folder(text: str, known: Known) -> str | None:
    return None if known.is_folder(known.path(text)) else f"no such folder: {known.path(text)}"


def _file(text: str, known: Known) -> str | None:
    return None if known.is_file(known.path(text)) else f"no such file: {known.path(text)}"


def _path(text: str, known: Known) -> str | None:
    return "the path is empty" if not text else "a path has no NUL" if "\0" in text else None


OFF = "off"  # in place of an address: do not listen
NEVER_EMPTY = ("listen", "market")  # without one nothing would be listened on, or nobody known
FORMS: dict[str, Callable[[str, Known], str | None]] = {
    "listen": _listen,
    "listen_or_off": lambda text, known: None if text == OFF else _listen(text, known),
    "peer": _peer,
    "network": lambda text, known: addresses.network_problem(text),
    "resolver": lambda text, known: resolver_problem(text),
    "hostname": lambda text, known: addresses.host_name_problem(text),
    "policy": lambda text, known: _named(text, known, known.policies, "policy"),
    "market": lambda text, known: _named(text, known, known.markets, "registry"),
    "folder": _folder,
    "file": _file,
    "path": _path,
}
