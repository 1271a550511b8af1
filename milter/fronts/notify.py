"""What systemd wants to hear and hands over: sd_notify(3), sd_listen_fds(3). Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from milter.errors import ListenError

_FIRST = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
_NAMES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_ADVICE = "its lines must be `ListenStream=IP:PORT`, as in deploy/systemd/insurer-milter.socket"


def tell(state: str) -> None:
    """Tell the service manager (`READY=1`, `STOPPING=1`, `WATCHDOG=1`). One that is not there does not hear it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def handed_sockets() -> list[socket.socket]:
    """The listening sockets that the service manager opened for us (socket activation), none without it.

    Call it once: it takes the variables away, so that no child thinks that they are its own. Raises ListenError for what we cannot listen on.
    """
    pid, count, *_ = (os.environ.pop(name, "") for name in _NAMES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_handed(number) for number in range(_FIRST, _FIRST + int(count))]


def _handed(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        one = socket.socket(fileno=number)
        is_ours = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(f"the service manager hands over file {number}, which is no socket ({error.strerror}); {_ADVICE}") from error
    if not is_ours:
        one.close()
        raise ListenError(f"the service manager hands over a socket (file {number}) that does not listen for TCP; {_ADVICE}")
    one.setblocking(False)
    return one
