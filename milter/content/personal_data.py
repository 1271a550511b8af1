"""Text → which kinds of personal data stand in it. Kinds only: no value ever leaves this module.

Knows the French social security number (NIR; INSEE, key by modulo 97) and the IBAN (ISO 13616, modulo 97 of ISO 7064); must not
know why they are there. Linear.
"""

from __future__ import annotations

import re

_GAP = "[ .\u00a0\u202f-]?"
_NIR = re.compile(
    rf"([1-478])(?<![0-9A-Za-z][1-478]){_GAP}([0-9]{{2}}){_GAP}(0[1-9]|1[0-2]|20|3[0-9]|4[0-2]|[5-9][0-9]){_GAP}"
    rf"([0-9]{{2}}|2[ABab]){_GAP}([0-9]{{3}}){_GAP}([0-9]{{3}}){_GAP}([0-9]{{2}})(?![0-9])"
)
# Both begin with a digit, which makes the search over a long text quick; what stands before it is looked at afterwards.
_IBAN_START = re.compile(r"([0-9][0-9])(?<=[A-Za-z]{2}[0-9]{2})(?<![0-9A-Za-z][A-Za-z]{2}[0-9]{2})(?=[ \u00a0-]?[0-9A-Za-z])")
_CORSICA = {"2A": "19", "2B": "18"}  # what stands for them in the key
# ISO 13616 registry: country → length of its IBAN.
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27,
    "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MA": 28,
    "MC": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26,
    "UA": 29,
}  # fmt: skip
_MOST_GAPS = 12


def kinds(text: str) -> frozenset[str]:
    """`nir` and `iban`, where a number of that form with a right key stands in the text."""
    found = set()
    if any(_is_nir(match.groups()) for match in _NIR.finditer(text)):
        found.add("nir")
    if any(_is_iban(text, match) for match in _IBAN_START.finditer(text)):
        found.add("iban")
    return frozenset(found)


def _is_nir(groups: tuple[str, ...]) -> bool:
    """INSEE: the key is 97 minus the number modulo 97."""
    sex, year, month, department, town, order, key = groups
    number = int(sex + year + month + _CORSICA.get(department.upper(), department) + town + order)
    return int(key) == 97 - number % 97


def _is_iban(text: str, match: re.Match[str]) -> bool:
    """ISO 7064: the digits, country and key moved to the end, letters as numbers, leave 1 modulo 97."""
    country, key = text[match.start() - 2 : match.start()].upper(), match[1]
    length = _IBAN_LENGTHS.get(country)
    if length is None:
        return False
    rest = "".join(character for character in text[match.end() : match.end() + length - 4 + _MOST_GAPS] if character not in " \u00a0-")
    account = rest[: length - 4]
    if len(account) < length - 4 or not (account.isascii() and account.isalnum()):
        return False
    return int("".join(str(int(character, 36)) for character in account + country + key)) % 97 == 1
