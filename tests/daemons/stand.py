"""A real Postfix for the tests: own configuration, queue and log in a scratch folder, unprivileged loopback ports, no network.

Uses the very lines of `deploy/postfix/`, with the ports exchanged. Services: `front` (filters through the gateway),
`back` (the way back), `control` (no filter at all), `naive` (a next hop as Debian ships it, without the second lock) and `queued`, which takes
a mail into the queue first and sends it through the gateway again and again until it is taken.
Everything is delivered by virtual(8) to one Maildir, as an unprivileged user. Must run as root, as Postfix itself does.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy" / "postfix"
HOSTNAME = "mx.insured.example"
DOMAIN = "insured.example"
MAILBOX_USER = "nobody"
CLIENT = "127.0.0.9"  # stands for the internet: neither in mynetworks nor an address of Postfix
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")

_MAIN = f"""
compatibility_level = 3.6
myhostname = {HOSTNAME}
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
default_transport = error:no network in this stand
relay_transport = error:no network in this stand
smtp_host_lookup = native
smtpd_peername_lookup = no
alias_maps =
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = static:inbox/
virtual_transport = virtual
virtual_mailbox_limit = 0
maximal_queue_lifetime = 1h
bounce_queue_lifetime = 0
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
scan_destination_concurrency_limit = 20
scan_destination_concurrency_failed_cohort_limit = 0
"""

_INNER = """
{control} inet n - n - - smtpd
{naive} inet n - n - - smtpd
    -o mynetworks=127.0.0.0/8
    -o smtpd_authorized_xforward_hosts=127.0.0.0/8
    -o smtpd_forbid_bare_newline=no
    -o smtpd_forbid_unauth_pipelining=no
{queued} inet n - n - - smtpd
    -o mynetworks=127.0.0.0/8
    -o content_filter=scan:[127.0.0.1]:{gateway}
scan unix - - n - 20 smtp
    -o smtp_send_xforward_command=yes
    -o disable_mime_output_conversion=yes
    -o smtp_helo_timeout=20s
    -o smtp_data_done_timeout=20s
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

# master must lead a session (on SIGTERM it ends its whole group), and forgets who bore it when it changes users: a shell minds it.
_MINDER = 'setsid "$@" & child=$!; trap "kill $child" TERM; wait $child; wait $child'


class NotReadyError(Exception):
    """A daemon did not come up; the text ends with its log."""


def why_not() -> str:
    """The reason why Postfix cannot be run here, or ""."""
    if os.geteuid() != 0:
        return "real Postfix needs root (its daemons change users); run the tests as root"
    if shutil.which("postfix", path="/usr/sbin:/sbin:" + os.environ.get("PATH", "")) is None:
        return "Postfix is not installed (apt-get install postfix)"
    try:
        pwd.getpwnam("postfix")
    except KeyError:
        return "the user postfix is absent"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as open_sockets:
        found = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Wait until somebody says 220 on the port. Raises NotReadyError when the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            if link.recv(512).startswith(b"220"):
                link.sendall(b"QUIT\r\n")
                link.recv(512)
                return
        time.sleep(0.03)
    text = log.read_text("utf-8", "replace") if log.exists() else "(no log)"
    raise NotReadyError(f"nothing answers on port {port} (exit code {process.poll()}):\n{text[-4000:]}")


def bound_to_us() -> list[str]:
    """Words in front of a command that end it when we die without having stopped it."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def stop(process: subprocess.Popen[bytes], seconds: float = 20) -> int:
    """Stop one process that we started, by its pid; kill it when it does not obey. Gives its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(seconds)


@dataclass(slots=True)
class Postfix:
    """One running Postfix. Ports are numbers on 127.0.0.1; `gateway` is where `front` sends its mail to be judged."""

    root: Path
    front: int
    gateway: int
    back: int
    control: int
    naive: int
    queued: int
    process: subprocess.Popen[bytes] = field(init=False)
    _read: dict[str, bytes] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The mail log."""
        return self.root / "mail.log"

    @property
    def maildir(self) -> Path:
        """Where everything is delivered."""
        return self.root / "mail" / "inbox"

    def start(self) -> None:
        """Write the configuration and start the daemons. Raises NotReadyError."""
        self._lay_out()
        conf = self.root / "conf"
        (conf / "main.cf").write_text(self._main())
        (conf / "master.cf").write_text(self._master())
        with (self.root / "master.out").open("wb") as out:
            command = [*bound_to_us(), "sh", "-c", _MINDER, "sh", "/usr/lib/postfix/sbin/master", "-d", "-c", str(conf)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        for port in (self.control, self.back, self.naive, self.queued):
            wait_for_port(port, self.process, self.log)

    def stop(self) -> None:
        """Stop master and its children."""
        stop(self.process)

    def delivered(self, prefix: str) -> dict[str, list[bytes]]:
        """What lies in the Maildir for recipients whose local part begins with `prefix`: local part → files."""
        found: dict[str, list[bytes]] = {}
        for entry in os.scandir(self.maildir / "new"):
            if entry.name not in self._read:
                self._read[entry.name] = Path(entry.path).read_bytes()
            octets = self._read[entry.name]
            local = recipient(octets).partition("@")[0]
            if local.startswith(prefix):
                found.setdefault(local, []).append(octets)
        return found

    def settle(self, prefix: str, expected: int, seconds: float = 60) -> dict[str, list[bytes]]:
        """Wait until `expected` recipients have their mail and nothing is under way any more, then give what was delivered."""
        deadline = time.monotonic() + seconds
        while True:
            idle = not self._under_way()
            found = self.delivered(prefix)
            if (idle and len(found) >= expected) or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def quiet(self, seconds: float = 20) -> None:
        """Wait until no mail is under way any more."""
        deadline = time.monotonic() + seconds
        while self._under_way() and time.monotonic() < deadline:
            time.sleep(0.05)

    def queue(self) -> int:
        """Mails in the queue, those included that wait for their next attempt."""
        return sum(len(files) for queue in ("incoming", "active", "deferred", "maildrop") for _, _, files in os.walk(self.root / "queue" / queue))

    def _under_way(self) -> bool:
        return any(any(files) for queue in ("incoming", "active", "maildrop") for _, _, files in os.walk(self.root / "queue" / queue))

    def _lay_out(self) -> None:
        self.root.chmod(0o755)
        postfix = pwd.getpwnam("postfix")
        owner = pwd.getpwnam(MAILBOX_USER)
        for name in ("conf", "queue", "queue/pid"):
            (self.root / name).mkdir()
        for name in (*(f"queue/{queue}" for queue in _QUEUES), "queue/public", "queue/maildrop", "data"):
            (self.root / name).mkdir(mode=0o700)
            os.chown(self.root / name, postfix.pw_uid, 0 if name != "data" else postfix.pw_gid)
        (self.root / "mail").mkdir()
        for path in (self.maildir, *(self.maildir / part for part in ("new", "cur", "tmp"))):
            path.mkdir(mode=0o700)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _main(self) -> str:
        owner = pwd.getpwnam(MAILBOX_USER)
        own = {
            "queue_directory": self.root / "queue",
            "data_directory": self.root / "data",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.root,
            "virtual_mailbox_base": self.root / "mail",
            "virtual_minimum_uid": 1,
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
        }
        return _MAIN + "".join(f"{name} = {value}\n" for name, value in own.items()) + (DEPLOY / "main.cf").read_text()

    def _master(self) -> str:
        lines = (DEPLOY / "master.cf").read_text()
        exchanges = ((r"(?m)^smtp +inet", f"127.0.0.1:{self.front} inet"), ("127.0.0.1:10025", f"127.0.0.1:{self.gateway}"))
        for pattern, new in (*exchanges, ("127.0.0.1:10026", f"127.0.0.1:{self.back}")):
            lines, count = re.subn(pattern, new, lines)
            assert count == 1, f"deploy/postfix/master.cf: {pattern} occurs {count} times"
        ports = {name: f"127.0.0.1:{port}" for name, port in (("control", self.control), ("naive", self.naive), ("queued", self.queued))}
        return lines + _INNER.format(gateway=self.gateway, **ports)


def recipient(octets: bytes) -> str:
    """The recipient of a delivered file: the first Delivered-To, which virtual(8) writes."""
    for line in octets.split(b"\n", 4)[:4]:
        if line.startswith(b"Delivered-To: "):
            return line.removeprefix(b"Delivered-To: ").decode("ascii", "replace")
    return ""


@contextlib.contextmanager
def running(root: Path) -> Iterator[Postfix]:
    """A Postfix that runs as long as the block; its `gateway` port is reserved but empty."""
    front, gateway, back, control, naive, queued = free_ports(6)
    postfix = Postfix(root, front, gateway, back, control, naive, queued)
    try:
        postfix.start()
        yield postfix
    finally:
        if hasattr(postfix, "process"):
            postfix.stop()


def tail(paths: Iterable[Path], count: int = 30) -> str:
    """The last lines of logs, for a failure message."""
    return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text("utf-8", "replace").splitlines()[-count:]) for path in paths if path.exists())
