"""What tests of authentication need: keys, signed mails, and a Message without the whole of MIME."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Literal

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
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


def sealed(raw: bytes = PLAIN, *, times: int = 1, domain: str = "list.example", selector: str = "s1") -> bytes:
    """The mail with that many ARC sets in front, made after the letter of RFC 8617 §5.1."""
    older: list[bytes] = []
    for number in range(1, times + 1):
        results = f"ARC-Authentication-Results: i={number}; {domain}; dkim=pass header.d=insurer.example\r\n".encode()
        fields = {field.key: raw[field.start : field.end] for field in read(raw).fields}
        body_hash = hashlib.sha256(_relaxed_body(raw.partition(b"\r\n\r\n")[2])).digest()
        tags = f"i={number}; a=rsa-sha256; d={domain}; s={selector}"
        unsigned = f"ARC-Message-Signature: {tags}; c=relaxed/relaxed; h=from:to:subject:date;\r\n bh={_base64(body_hash)}; b=".encode()
        named = b"".join(_relaxed(fields[name]) for name in ("from", "to", "subject", "date") if name in fields)
        signature = unsigned + _signed(named + _relaxed(unsigned).removesuffix(b"\r\n")) + b"\r\n"
        unsealed = f"ARC-Seal: {tags}; t=1700000000; cv={'pass' if older else 'none'}; b=".encode()
        older += [_relaxed(results), _relaxed(signature)]
        seal = unsealed + _signed(b"".join(older) + _relaxed(unsealed).removesuffix(b"\r\n")) + b"\r\n"
        older.append(_relaxed(seal))
        raw = seal + signature + results + raw
    return raw


def _signed(octets: bytes) -> bytes:
    return _base64(rsa_key().sign(octets, PKCS1v15(), SHA256())).encode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip() + b"\r\n"


def _relaxed_body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip() for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
