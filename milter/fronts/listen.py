"""Listen on TCP addresses and stop listening. Knows sockets alone: which protocol is spoken is the caller's business."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

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
    """Sockets whose connections are taken in this event loop. Made by `serve`; `addresses` are where they listen in fact."""

    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers
        self.addresses = tuple(address(one) for server in servers for one in server.sockets)

    def close(self) -> None:
        """Take no new connection. Those that stand go on."""
        for server in self._servers:
            server.close()


def address(listening: socket.socket) -> HostPort:
    """Where a socket listens, also when port 0 was asked for."""
    name = listening.getsockname()
    return HostPort(str(name[0]), int(name[1]))


def bind(addresses: Iterable[HostPort], workers: int = 1) -> list[list[socket.socket]]:
    """Listen on each address, on all or none; a list of sockets for each worker. Raises ListenError that names the address and says what to do.

    Several workers have a socket each for the same address (SO_REUSEPORT), among which the kernel spreads the connections.
    """
    made: list[list[socket.socket]] = [[] for _ in range(workers)]
    try:
        for wanted in addresses:
            for number, sockets in enumerate(made):
                # Only the first one finds out that the address is another program's: afterwards it is shared.
                port = address(made[0][-1]).port if number else wanted.port
                sockets.append(_listening(HostPort(wanted.host, port), is_first=number == 0, is_shared=workers > 1))
    except ListenError:
        for sockets in made:
            for one in sockets:
                one.close()
        raise
    return made


def _listening(wanted: HostPort, *, is_first: bool, is_shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        one = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {wanted}: {_reason(error)}") from error
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared and is_first:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(name)
                probe.listen(1)
        if is_shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(name)
        one.listen(_BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        raise ListenError(f"cannot listen on {wanted}: {_reason(error)}") from error
    return one


async def serve(sockets: Sequence[socket.socket], factory: Callable[[], asyncio.Protocol]) -> Listener:
    """Take the connections of listening sockets. The sockets stay the caller's: closing the listener leaves them open."""
    loop = asyncio.get_running_loop()
    return Listener([await loop.create_server(factory, sock=one.dup(), backlog=_BACKLOG) for one in sockets])


async def open_all(addresses: Iterable[HostPort], factory: Callable[[], asyncio.Protocol]) -> Listener:
    """Listen on each address in this process. Raises ListenError."""
    (sockets,) = bind(addresses)
    try:
        return await serve(sockets, factory)
    finally:
        for one in sockets:
            with suppress(OSError):
                one.close()


def _reason(error: OSError) -> str:
    code = error.errno or 0
    if code in _ADVICE:
        return _ADVICE[code]
    return os.strerror(code) if code > 0 else f"the host name is not known ({error.strerror or type(error).__name__})"
