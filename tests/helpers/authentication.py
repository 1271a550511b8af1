"""What tests of authentication need: keys, signed mails, and a Message without the whole of MIME."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Literal

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from milter.mime.addresses import read_author
from milter.mime.fields import scan
from milter.model.limits import Limits
from milter.model.mail import Connection, Envelope, Mail
from milter.model.message import Message

LIMITS = Limits()
NOW = 1_800_000_000.0
PLAIN = (
    b"From: Camille Martin <camille@insurer.example>\r\n"
    b"To: lou@home.example\r\n"
    b"Subject: Votre  contrat\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"\r\n"
    b"Bonjour Lou,\r\n\r\nvotre  contrat est pr\xc3\xaat. \r\n\r\n"
)
Canonical = Literal["simple", "relaxed"]


def read(raw: bytes) -> Message:
    """Fields, body and author of a mail."""
    header = scan(raw, LIMITS)
    return Message(raw, header.fields, header.body_start, read_author(header.fields, LIMITS))


def mail_from(raw: bytes, *, ip: str | None = "192.0.2.1", helo: str = "mx.insurer.example", sender: str = "camille@insurer.example") -> Mail:
    """The mail as a front would hand it over."""
    return Mail(raw, Connection(ip, "", helo), Envelope(sender, ("lou@home.example",)))


@lru_cache(maxsize=8)
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """An RSA key, made once a run."""
    return rsa.generate_private_key(exponent, bits)


@lru_cache(maxsize=1)
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key, made once a run."""
    return ed25519.Ed25519PrivateKey.generate()


def key_record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, *, more: str = "") -> str:
    """The key record that belongs to a private key."""
    if isinstance(key, rsa.RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; {more}p={base64.b64encode(octets).decode()}"
    octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; {more}p={base64.b64encode(octets).decode()}"


def private_octets(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """The private key as dkimpy takes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def signed(
    raw: bytes = PLAIN,
    *,
    domain: str = "insurer.example",
    selector: str = "s1",
    header: Canonical = "relaxed",
    body: Canonical = "relaxed",
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
    names: tuple[str, ...] = ("from", "to", "subject", "date"),
    length: bool = False,
) -> bytes:
    """The mail with a DKIM signature made by dkimpy in front."""
    key = key or rsa_key()
    field: bytes = dkim.sign(
        raw,
        selector.encode(),
        domain.encode(),
        private_octets(key),
        canonicalize=(header.encode(), body.encode()),
        include_headers=[name.encode() for name in names],
        signature_algorithm=b"rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else b"ed25519-sha256",
        length=length,
    )
    return field + raw
