"""What systemd wants to hear and hands over: sd_notify(3), sd_listen_fds(3). Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_FIRST = 3


def tell(state: str) -> None:
    """Tell the service manager (`READY=1`, `STOPPING=1`, `WATCHDOG=1`)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def handed_sockets() -> list[socket.socket]:
    """The listening sockets that the service manager opened for us (socket activation)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    sockets = []
    for number in range(_FIRST, _FIRST + int(os.environ.get("LISTEN_FDS", "0") or 0)):
        os.set_inheritable(number, False)
        one = socket.socket(fileno=number)
        one.setblocking(False)
        sockets.append(one)
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return sockets
