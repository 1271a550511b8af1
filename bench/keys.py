"""RSA keys that are the same in every run: primes from a seeded generator. For measuring only, never for real mail."""

from __future__ import annotations

import base64
import random

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_EXPONENT = 65_537
_SMALL = [number for number in range(3, 2_000, 2) if all(number % other for other in range(3, int(number**0.5) + 1, 2))]


def make_keys(count: int, bits: int, seed: int) -> list[rsa.RSAPrivateKey]:
    chance = random.Random(seed)
    return [_key(bits, chance) for _ in range(count)]


def public_text(key: rsa.RSAPrivateKey) -> str:
    """The p= value of a DKIM key record (RFC 6376 §3.6.1)."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _key(bits: int, chance: random.Random) -> rsa.RSAPrivateKey:
    while True:
        p, q = _prime(bits // 2, chance), _prime(bits // 2, chance)
        if p == q:
            continue
        d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
        numbers = rsa.RSAPrivateNumbers(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public)
        return numbers.private_key()


def _prime(bits: int, chance: random.Random) -> int:
    while True:
        # The two highest bits set: the product of two has its full length.
        number = chance.getrandbits(bits) | 1 | (3 << (bits - 2))
        if number % _EXPONENT != 1 and all(number % small for small in _SMALL) and _is_prime(number, chance):
            return number


def _is_prime(number: int, chance: random.Random) -> bool:
    """Miller and Rabin, 20 rounds."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        power = pow(chance.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True
