"""Octets and a charset label → text, for bodies and encoded words alike.

Knows which labels mean which codec; must not know where the octets come from. Only codecs of the list are ever used:
some of Python's are quadratic (punycode) or no charset at all (zlib, rot13). Never raises; never gives surrogates.
"""

from __future__ import annotations

import codecs

# WHATWG Encoding §4.2: browsers and mail programs read the Latin-1 labels as windows-1252.
_WESTERN = "cp1252"
_CODECS = {
    "utf-8": "utf-8", "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "us-ascii": "", "ascii": "", "ansi_x3.4-1968": "", "": "",
    "unknown-8bit": "", "default": "", "iso-8859-1": _WESTERN, "iso8859-1": _WESTERN, "latin1": _WESTERN, "latin-1": _WESTERN,
    "l1": _WESTERN, "windows-1252": _WESTERN, "cp1252": _WESTERN, "x-ansi": _WESTERN, "iso-8859-9": "cp1254",
    "utf-7": "utf-7", "unicode-1-1-utf-7": "utf-7", "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "utf-32", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030",
    "big5": "big5hkscs", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "iso-2022-jp": "iso2022_jp_2", "euc-jp": "euc_jp",
    "iso-2022-kr": "iso2022_kr", "koi8-r": "koi8_r", "koi8-u": "koi8_u", "macintosh": "mac_roman", "x-mac-roman": "mac_roman",
    "mac": "mac_roman", "ibm850": "cp850", "cp850": "cp850", "ibm437": "cp437", "cp437": "cp437", "ibm852": "cp852", "cp866": "cp866",
    "tis-620": "cp874", "windows-874": "cp874", "iso-8859-11": "cp874", "x-mac-cyrillic": "mac_cyrillic", "hz-gb-2312": "hz",
}  # fmt: skip
_CODECS |= {f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
_CODECS |= {f"{prefix}125{n}": f"cp125{n}" for n in (0, 1, 3, 4, 5, 6, 7, 8) for prefix in ("windows-", "cp")}
_CODECS |= {f"iso-8859-8-{form}": "iso8859_8" for form in ("i", "e")}
_MULTIBYTE = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32"})


def decode(octets: bytes, label: str = "") -> str:
    """The text of `octets`. An absent, unknown or wrong label means UTF-8 where that fits, else windows-1252."""
    codec = _CODECS.get(label, None) if label in _CODECS else _CODECS.get(label.strip().strip("'\"").lower(), "")
    if codec in ("", "utf-8", _WESTERN):
        return _common(octets, western=codec == _WESTERN)
    if octets.isascii() and codec not in _MULTIBYTE and codec not in ("utf-7", "hz") and b"\x1b" not in octets:
        return octets.decode("ascii")
    try:
        text = octets.decode(codec or "utf-8")
    except (UnicodeError, ValueError):
        text = _guess_or_replace(octets, codec or "utf-8")
    if codec in ("utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):  # these can carry lone surrogates
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def _common(octets: bytes, *, western: bool) -> str:
    if octets.isascii():
        return octets.decode("ascii")
    if not western:
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            # A few bad octets, or a cut end, do not make an otherwise valid text Latin-1.
            if _mostly_utf8(octets):
                return octets.decode("utf-8", "replace")
    return codecs.charmap_decode(octets, "strict", _WESTERN_TABLE)[0]


def _mostly_utf8(octets: bytes) -> bool:
    text = octets[:65_536].decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(1 for character in text if character > "\x7f") - broken
    return whole > 2 * broken


def _guess_or_replace(octets: bytes, codec: str) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode(codec, "replace")


# windows-1252 with its five holes filled as Latin-1, as the Encoding standard does
_WESTERN_TABLE = "".join(bytes((code,)).decode(_WESTERN, "ignore") or chr(code) for code in range(256))
