"""SMTP smuggling: whatever ends a mail for a careless server, one mail in is never two mails out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons.gateway import FlatDns, Gateway, serving
from tests.daemons.stand import CLIENT, Postfix, free_ports
from tests.helpers.smtp_client import SmtpClient

pytestmark = [pytest.mark.daemons]

# Each of them is taken for the end of a mail by some server; RFC 5321 §4.1.1.4 knows CRLF.CRLF alone.
SEQUENCES = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CR.CR": b"\r.\r",
    "CRLF.CR": b"\r\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "LF.CR": b"\n.\r",
    "CRLF.LF": b"\r\n.\n",
    "CRLF.NUL-CRLF": b"\r\n.\0\r\n",
    "CRLF-NUL.CRLF": b"\r\n\0.\r\n",
    "NUL-LF.LF": b"\0\n.\n",
}


def smuggling(sequence: bytes, outer: str, inner: str) -> bytes:
    """Wire content of DATA: a mail, the sequence, a whole second transaction, and the true end."""
    hidden = f"MAIL FROM:<boss@insured.example>\r\nRCPT TO:<{inner}@insured.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
    return f"From: <anna@corpus.test>\r\nSubject: {outer}\r\n\r\nouter".encode() + sequence + hidden.encode()


async def attack(port: int, name: str, sequence: bytes) -> list[int]:
    """Run one attack; `name-outer` is the mail in sight, `name-inner` the hidden one. Every code that came back after DATA."""
    client = await SmtpClient.connect(port, source=CLIENT, seconds=5)
    await client.command("MAIL FROM:<anna@corpus.test>")
    await client.command(f"RCPT TO:<{name}-outer@insured.example>")
    await client.command("DATA")
    await client.write(smuggling(sequence, f"{name}-outer", f"{name}-inner"))
    codes = [(await client.reply()).code]
    # QUIT ends what is left over; until its 221 every reply counts.
    await client.write(b"QUIT\r\n")
    while codes[-1] not in (0, 221):
        codes.append((await client.reply()).code)
    await client.close(politely=False)
    return codes


@pytest.fixture(scope="module", params=["reject", "normalise"])
def gate(request: pytest.FixtureRequest, postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in each mode of `line_ends`, in front of a Postfix as Debian ships it (no lock of its own)."""
    folder = tmp_path_factory.mktemp(f"smuggling-{request.param}")
    with serving(folder, free_ports(1)[0], next_hop=postfix.naive, dns=calm_dns.port, smtp={"line_ends": request.param}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def whole(postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway between `front` and `back`."""
    with serving(tmp_path_factory.mktemp("whole"), postfix.gateway, next_hop=postfix.back, dns=calm_dns.port) as gateway:
        yield gateway


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES.keys())
async def test_never_a_second_mail(postfix: Postfix, gate: Gateway, sequence: bytes) -> None:
    """No sequence makes two mails of one: refused with 550, or delivered as one mail."""
    mode = gate.folder.name.split("-")[1].rstrip("0123456789")
    name = f"smuggle-{mode}-{sequence.hex()}"
    codes = await attack(gate.port, name, sequence)
    postfix.quiet()
    found = {local.rpartition("-")[2]: len(files) for local, files in postfix.delivered(name).items()}
    assert "inner" not in found
    assert found.get("outer", 0) <= 1
    # NUL has no other form that it could be given.
    assert codes[0] == (250 if mode == "normalise" and b"\0" not in sequence else 550)
    assert ("outer" in found) == (codes[0] == 250)


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES.keys())
async def test_through_the_whole_stand(postfix: Postfix, whole: Gateway, sequence: bytes) -> None:
    """With the lines of deploy/postfix in front of us and behind us no sequence brings a second mail either."""
    name = f"whole-{sequence.hex()}"
    await attack(postfix.front, name, sequence)
    postfix.quiet()
    assert f"{name}-inner" not in postfix.delivered(name)


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES.keys())
async def test_chunks_in_front_end_nothing(postfix: Postfix, whole: Gateway, sequence: bytes) -> None:
    """Postfix takes BDAT (RFC 3030), where no sequence ends a mail, and hands it to us as DATA, where it must not either."""
    name = f"chunk-{sequence.hex()}"
    client = await SmtpClient.connect(postfix.front, source=CLIENT, seconds=5)
    await client.command("MAIL FROM:<anna@corpus.test>")
    await client.command(f"RCPT TO:<{name}-outer@insured.example>")
    content = smuggling(sequence, f"{name}-outer", f"{name}-inner")
    await client.write(f"BDAT {len(content)} LAST\r\n".encode() + content)
    assert (await client.reply()).code in (250, 550, 521)
    await client.close()
    postfix.quiet()
    found = postfix.delivered(name)
    assert f"{name}-inner" not in found
    assert len(found.get(f"{name}-outer", [])) <= 1


async def test_the_attack_is_real(postfix: Postfix, figures: list[str]) -> None:
    """Without us the same octets do make two mails of one in Postfix as Debian 12 ships it (else these tests would prove nothing)."""
    worked = []
    for label, sequence in SEQUENCES.items():
        name = f"bare-{sequence.hex()}"
        await attack(postfix.naive, name, sequence)
        postfix.quiet()
        if f"{name}-inner" in postfix.delivered(name):
            worked.append(label)
    figures.append(f"smuggling without us, Postfix as Debian ships it: a second mail by {', '.join(worked) or 'none'}; through us: none")
    assert worked
