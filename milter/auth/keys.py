"""DKIM key records (RFC 6376 §3.6.1, RFC 8463) and the two signature algorithms that prove anything today.

Knows key text and arithmetic; must not know mails. Sizes are checked before any arithmetic: a key is attacker data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from milter.auth.resolver import Answer
from milter.auth.tags import read_base64, read_tags, read_words
from milter.model.evidence import AuthResult

# RFC 8301 §3.2: verifiers must not accept less than 1024 bits and must take 4096
MIN_RSA_BITS = 1_024
MAX_RSA_BITS = 4_096
_MAX_EXPONENT = 1 << 32
_MAX_KEY_CHARS = 2_048  # base64 of a 4096-bit key has 736
_MAX_RECORD = 8_192
_CACHED = 4_096

_PADDING = PKCS1v15()
_DIGEST = Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class Key:
    """A usable public key. `hashes` is None when every hash may be used; `strict` is t=s, `testing` t=y."""

    public: RSAPublicKey | Ed25519PublicKey
    hashes: tuple[str, ...] | None = None
    strict: bool = False
    testing: bool = False

    @property
    def kind(self) -> str:
        """`rsa` or `ed25519`."""
        return "rsa" if isinstance(self.public, RSAPublicKey) else "ed25519"


@dataclass(frozen=True, slots=True)
class BadKey:
    """Why there is no usable key: `permerror` for a broken or missing one, `policy` for one that we refuse."""

    result: AuthResult
    cause: str


def choose_key(answer: Answer) -> Key | BadKey:
    """The key of a DNS answer. RFC 6376 §3.6.2.2 leaves several records open: the first usable one counts."""
    if answer.status.is_temporary:
        return BadKey(AuthResult.TEMPERROR, f"key lookup: {answer.status}")
    if not answer.texts:
        return BadKey(AuthResult.PERMERROR, "no key in the DNS")
    first: BadKey | None = None
    for text in answer.texts:
        key = read_key(text)
        if isinstance(key, Key):
            return key
        first = first or key
    return first or BadKey(AuthResult.PERMERROR, "no key in the DNS")


@lru_cache(maxsize=_CACHED)
def read_key(text: bytes) -> Key | BadKey:
    """Read one key record. Never raises."""
    tags = read_tags(text.decode("ascii", "replace")) if len(text) <= _MAX_RECORD else None
    # RFC 6376 §3.6.1: v= is optional, but must be first and right when present
    if tags is None or "p" not in tags or ("v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1")):
        return BadKey(AuthResult.PERMERROR, "key record cannot be read")
    services = read_words(tags.get("s", "*"))
    if "*" not in services and "email" not in services:
        return BadKey(AuthResult.PERMERROR, "key is not for e-mail")
    if not tags["p"]:
        return BadKey(AuthResult.PERMERROR, "key revoked")
    if len(tags["p"]) > _MAX_KEY_CHARS:
        return BadKey(AuthResult.POLICY, "key is too long")
    octets = read_base64(tags["p"])
    if octets is None:
        return BadKey(AuthResult.PERMERROR, "key is not base64")
    public = _load(tags.get("k", "rsa").lower(), octets)
    if isinstance(public, BadKey):
        return public
    flags = read_words(tags.get("t", ""))
    hashes = read_words(tags["h"]) if "h" in tags else None
    return Key(public, hashes, strict="s" in flags, testing="y" in flags)


def matches(key: Key, signature: bytes, digest: bytes) -> bool:
    """True when `signature` signs this SHA-256 digest (RSA: RFC 8017 §8.2; Ed25519: RFC 8463 §3 signs the digest)."""
    try:
        if isinstance(key.public, RSAPublicKey):
            key.public.verify(signature, digest, _PADDING, _DIGEST)
        else:
            key.public.verify(signature, digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _load(kind: str, octets: bytes) -> RSAPublicKey | Ed25519PublicKey | BadKey:
    if kind == "ed25519":
        # RFC 8463 §4.2: the bare 32 octets
        return Ed25519PublicKey.from_public_bytes(octets) if len(octets) == 32 else BadKey(AuthResult.PERMERROR, "key is not an Ed25519 key")
    if kind != "rsa":
        return BadKey(AuthResult.PERMERROR, "key type is unknown")
    try:
        public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, RSAPublicKey):
        return BadKey(AuthResult.PERMERROR, "key is not an RSA key")
    exponent = public.public_numbers().e
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        return BadKey(AuthResult.POLICY, f"key has {public.key_size} bits")
    if exponent >= _MAX_EXPONENT or exponent < 3 or exponent % 2 == 0:
        return BadKey(AuthResult.POLICY, "key has an unsafe exponent")
    return public
