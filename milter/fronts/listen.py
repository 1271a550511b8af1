"""Listen on TCP addresses and stop listening. Knows sockets alone: which protocol is spoken is the caller's business."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable

from milter.errors import ListenError
from milter.settings.addresses import HostPort

_BACKLOG = 1_024
_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it or choose another port (`ss -ltnp` shows who)",
    errno.EACCES: "the system does not allow it; ports below 1024 need a privilege, so choose a higher one",
    errno.EADDRNOTAVAIL: "this machine has no such address; `ip addr` shows those that it has",
    errno.EAFNOSUPPORT: "this machine has no such kind of address (is IPv6 switched off?)",
}


class Listener:
    """Open sockets. Made by `open_all`; `addresses` are where it listens in fact, also when port 0 was asked for."""

    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers
        names = [socket.getsockname() for server in servers for socket in server.sockets]
        self.addresses = tuple(HostPort(str(name[0]), int(name[1])) for name in names)

    def close(self) -> None:
        """Take no new connection. Those that stand go on."""
        for server in self._servers:
            server.close()


async def open_all(addresses: Iterable[HostPort], factory: Callable[[], asyncio.Protocol]) -> Listener:
    """Listen on each address, on all or none. Raises ListenError that names the address and says what to do."""
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    for address in addresses:
        try:
            servers.append(await loop.create_server(factory, address.host, address.port, backlog=_BACKLOG))
        except OSError as error:
            for server in servers:
                server.close()
            raise ListenError(f"cannot listen on {address}: {_reason(error)}") from error
    return Listener(servers)


def _reason(error: OSError) -> str:
    code = error.errno or 0
    if code in _ADVICE:
        return _ADVICE[code]
    return os.strerror(code) if code > 0 else f"the host name is not known ({error.strerror or type(error).__name__})"
