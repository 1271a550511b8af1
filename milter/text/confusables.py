"""Characters that look alike: the skeleton of UTS #39, and what passes for a letter of the Latin alphabet.

Knows UTS #39 §4 and its table (`confusables_table`, generated). Must not know domains or brands: two different strings with
one skeleton look alike, which says nothing about who means harm.
"""

from __future__ import annotations

import unicodedata

from milter.text import confusables_table

# Default_Ignorable_Code_Point (Unicode 17, DerivedCoreProperties): no ink, so no look.
_IGNORABLE = (
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
)


def _table() -> dict[int, str]:
    found: dict[int, str] = {}
    prototype, last = "", 0
    for word in confusables_table.WORDS.split():
        if word[0] == "=":
            prototype, last = "".join(chr(int(code, 16)) for code in word[1:].split("+")), -4096
            continue
        first = last + 1 if word[0] == "~" else last + int(word[1:], 16) if word[0] == "-" else int(word, 16)
        last = last + int(word[1:], 16) if word[0] == "~" else first
        found.update(dict.fromkeys(range(first, last + 1), prototype))
    return found


_TABLE = _table()
_PROTOTYPES: dict[int, str | None] = {**_TABLE, **dict.fromkeys(_IGNORABLE)}


def skeleton(text: str) -> str:
    """The look of `text` (UTS #39 §4, without bidi): equal skeletons look alike. Idempotent, linear, case matters.

    Compare only with another skeleton: `m` becomes `rn` and `1` becomes `l` here. Never show it to anybody.
    """
    if text.isascii():
        return text.translate(_ASCII)
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).translate(_PROTOTYPES))


_ASCII = {code: look for code, look in _PROTOTYPES.items() if code < 128}

# Letters that the table keeps apart from ASCII (small capitals, Greek and Cyrillic shapes, strokes), but that readers take for it.
_BY_EYE = (
    *zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True),
    *zip("вгкмнптуцшщьэ", "brkmnntyuwwbe", strict=True),
    *zip("ВКМНТУԚԜ", "bkmhtyqw", strict=True),
    *zip("αβγεζηικμνορστυχωΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abyeznikuvopotuxwbezhikmnoptyx", strict=True),
    *zip("ıȷłŁøØđĐħŧɑɡɩɼɾ", "ijllooddhtagirr", strict=True),
    *zip("æÆœŒþðßﬁﬂ", ("ae", "ae", "oe", "oe", "p", "d", "ss", "fi", "fl"), strict=True),
)


def _ascii_lookalikes() -> dict[int, str]:
    found: dict[int, str] = {}
    for code, look in _TABLE.items():
        char = chr(code)
        if code > 127 and unicodedata.category(char)[0] in "LN" and len(look) == 1 and look.isascii() and look.isalnum():
            # The table has one prototype for I, l and 1; a capital is read as I.
            found[code] = "i" if look == "l" and char.isupper() else look.lower()
    return {**found, **{ord(char): letter for char, letter in _BY_EYE}}


ASCII_LOOKALIKES: dict[int, str] = _ascii_lookalikes()
"""Code point of a letter or digit outside ASCII → the lower-case ASCII that it is read as (`œ` → `oe`).

For `str.translate`, before casefold: the capital `Ν` is read as n, the small `ν` as v.
"""
