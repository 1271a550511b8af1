"""Where files lie: settings, policies, registries, rules, the public suffix list.

Look-up order for what has a short name: /etc/insurer-milter, then what is shipped. Shipped is `milter/_bundled` of a wheel,
or the checkout of an editable install. Raises OSError as the system gives it; interprets no content.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

SITE = Path("/etc/insurer-milter")
SYSTEM_SUFFIX_LIST = Path("/usr/share/publicsuffix/public_suffix_list.dat")
MAX_CONFIG_OCTETS = 33_554_432


class NotAFileError(OSError):
    """The path is a folder, a device or a pipe, or larger than what is read."""


def shipped(*parts: str) -> Path:
    """A shipped file or folder: `shipped("config", "policy")`."""
    package = Path(__file__).resolve().parent.parent
    bundled = package / "_bundled"
    return (bundled if bundled.is_dir() else package.parent).joinpath(*parts)


def read(path: str | Path, *, most: int = MAX_CONFIG_OCTETS) -> bytes:
    """The octets of a regular file. Never waits on a pipe or a device; raises OSError with `strerror` for the user."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise NotAFileError(21, "is a folder", str(path))
        if not stat.S_ISREG(status.st_mode):
            raise NotAFileError(22, "is not a regular file", str(path))
        if status.st_size > most:
            raise NotAFileError(27, f"{status.st_size} octets, larger than {most}", str(path))
        with os.fdopen(handle, "rb", closefd=False) as opened:
            return opened.read(most + 1)
    finally:
        os.close(handle)


def find(kind: str, name: str) -> Path | None:
    """The file of a short name: `find("policy", "tag")`, `find("registry", "fr")`; None when there is none."""
    for folder in (SITE / kind, shipped("config", kind)):
        if (folder / f"{name}.yml").is_file():
            return folder / f"{name}.yml"
    return None


def names(kind: str) -> tuple[str, ...]:
    """All short names of a kind, sorted."""
    found = {path.stem for folder in (SITE / kind, shipped("config", kind)) if folder.is_dir() for path in folder.glob("*.yml")}
    return tuple(sorted(found))


def site_settings() -> Path | None:
    """The settings file of this machine, when there is one."""
    path = SITE / "settings.yml"
    return path if path.is_file() else None


def rule_folders(own: Iterable[str]) -> tuple[Path, ...]:
    """Shipped rules, those of /etc/insurer-milter/rules, and `own` folders, in this order, each once."""
    site = SITE / "rules"
    folders = [shipped("rules"), *([site] if site.is_dir() else []), *(Path(folder) for folder in own)]
    return tuple(dict.fromkeys(folders))


def rule_sources(folders: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """(path, octets) of every rule file `*.yml` below the folders, sorted by path within each."""
    for folder in folders:
        for path in sorted(folder.rglob("*.yml")):
            yield str(path), read(path)


def system_resolvers(path: str | Path = "/etc/resolv.conf") -> tuple[str, ...]:
    """The `nameserver` addresses of resolv.conf(5), at most three; 127.0.0.1 when the file names none or is absent.

    What is no address is passed over, as the system's own resolver does.
    """
    try:
        lines = read(path).decode("ascii", "replace").splitlines()
    except OSError:
        return ("127.0.0.1",)
    words = [line.split() for line in lines]
    found = [word[1].partition("%")[0] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple(filter(_is_address, found))[:3] or ("127.0.0.1",)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
