"""DKIM key records."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.auth.keys import BadKey, Key, choose_key, read_key
from milter.auth.resolver import Answer, DnsStatus
from milter.model.evidence import AuthResult
from tests.helpers.authentication import ed25519_key, key_record, rsa_key

RSA = key_record(rsa_key())
ED = key_record(ed25519_key())
P = RSA.partition("p=")[2]


def _der(modulus: int, exponent: int) -> str:
    """Base64 of an RSA SubjectPublicKeyInfo with any numbers in it."""

    def item(tag: int, octets: bytes) -> bytes:
        size = len(octets)
        length = bytes((size,)) if size < 128 else bytes((0x81, size)) if size < 256 else bytes((0x82, size >> 8, size & 255))
        return bytes((tag,)) + length + octets

    def number(value: int) -> bytes:
        return item(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    key = item(0x30, number(modulus) + number(exponent))
    algorithm = item(0x30, bytes.fromhex("06092a864886f70d010101") + b"\x05\x00")
    return base64.b64encode(item(0x30, algorithm + item(3, b"\x00" + key))).decode()


@pytest.mark.parametrize(
    ("record", "kind", "hashes", "strict", "testing"),
    [
        (RSA, "rsa", None, False, False),
        (f"p={P}", "rsa", None, False, False),
        (f"v=DKIM1; h=sha1 : sha256; s=email; t=y:s; n=a note; p={P};", "rsa", ("sha1", "sha256"), True, True),
        (f"k=RSA; s=*:other; g=*; p={P[:60]} {P[60:]}", "rsa", None, False, False),
        (ED, "ed25519", None, False, False),
    ],
    ids=["rsa", "bare", "all-tags", "odd-forms", "ed25519"],
)
def test_usable_keys(record: str, kind: str, hashes: tuple[str, ...] | None, *, strict: bool, testing: bool) -> None:
    """A key record gives its key and its restrictions (RFC 6376 §3.6.1)."""
    key = read_key(record.encode())
    assert isinstance(key, Key)
    assert (key.kind, key.hashes, key.strict, key.testing) == (kind, hashes, strict, testing)


@pytest.mark.parametrize("form", [PublicFormat.PKCS1, PublicFormat.SubjectPublicKeyInfo])
def test_both_forms_of_rsa_keys(form: PublicFormat) -> None:
    """An RSA key is read as SubjectPublicKeyInfo and as bare RSAPublicKey: both are published."""
    octets = rsa_key().public_key().public_bytes(Encoding.DER, form)
    assert isinstance(read_key(b"p=" + base64.b64encode(octets)), Key)


@pytest.mark.parametrize(
    ("record", "result", "cause"),
    [
        ("v=DKIM1; p=", AuthResult.PERMERROR, "key revoked"),
        ("v=DKIM1; k=rsa", AuthResult.PERMERROR, "key record cannot be read"),
        (f"v=DKIM2; p={P}", AuthResult.PERMERROR, "key record cannot be read"),
        (f"k=rsa; v=DKIM1; p={P}", AuthResult.PERMERROR, "key record cannot be read"),
        (f"p={P}; p={P}", AuthResult.PERMERROR, "key record cannot be read"),
        ("v=spf1 -all", AuthResult.PERMERROR, "key record cannot be read"),
        ("é" * 10, AuthResult.PERMERROR, "key record cannot be read"),
        (f"s=web; p={P}", AuthResult.PERMERROR, "key is not for e-mail"),
        (f"k=dsa; p={P}", AuthResult.PERMERROR, "key type is unknown"),
        ("p=####", AuthResult.PERMERROR, "key is not base64"),
        ("p=YWJj", AuthResult.PERMERROR, "key is not an RSA key"),
        (f"k=ed25519; p={P}", AuthResult.PERMERROR, "key is not an Ed25519 key"),
        ("k=ed25519; p=YWJj", AuthResult.PERMERROR, "key is not an Ed25519 key"),
        (f"p={_der((1 << 1022) + 1, 65537)}", AuthResult.POLICY, "key has 1023 bits"),
        (f"p={_der((1 << 4096) + 1, 65537)}", AuthResult.POLICY, "key has 4097 bits"),
        ("p=" + "A" * 4000, AuthResult.POLICY, "key is too long"),
        (f"p={_der((1 << 2047) + 1, (1 << 40) + 1)}", AuthResult.POLICY, "key has an unsafe exponent"),
        (f"p={_der((1 << 2047) + 1, 1)}", AuthResult.PERMERROR, "key is not an RSA key"),
        (f"p={_der((1 << 2047) + 1, 4)}", AuthResult.PERMERROR, "key is not an RSA key"),
        ("v=DKIM1; p=" + "x" * 9000, AuthResult.PERMERROR, "key record cannot be read"),
    ],
)
def test_keys_that_prove_nothing(record: str, result: AuthResult, cause: str) -> None:
    """A broken, revoked, too short, too long or dangerous key is refused with its cause (RFC 8301 §3.2)."""
    assert read_key(record.encode()) == BadKey(result, cause)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(DnsStatus.NXDOMAIN), BadKey(AuthResult.PERMERROR, "no key in the DNS")),
        (Answer(DnsStatus.NODATA), BadKey(AuthResult.PERMERROR, "no key in the DNS")),
        (Answer(DnsStatus.SERVFAIL), BadKey(AuthResult.TEMPERROR, "key lookup: servfail")),
        (Answer(DnsStatus.TIMEOUT), BadKey(AuthResult.TEMPERROR, "key lookup: timeout")),
        (Answer(DnsStatus.OK, (b"v=spf1 -all", b"p=")), BadKey(AuthResult.PERMERROR, "key record cannot be read")),
    ],
)
def test_answers_without_a_key(answer: Answer, expected: BadKey) -> None:
    """A missing key is permanent, a failed lookup temporary; the two are never blurred."""
    assert choose_key(answer) == expected


def test_a_stray_record_beside_the_key_does_not_matter() -> None:
    """Among several records the first usable key counts."""
    assert isinstance(choose_key(Answer(DnsStatus.OK, (b"v=spf1 -all", RSA.encode(), b"p="))), Key)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80) | st.integers(0, len(RSA) - 1).map(lambda at: RSA[:at].encode() + b"\xff" + RSA[at + 1 :].encode()))
def test_any_octets_are_read(octets: bytes) -> None:
    """Invariant: no octets make reading a key record raise."""
    assert isinstance(read_key(octets), Key | BadKey)
