"""The text of a mail → the author's own words, what he quotes, and the signature below.

Knows how French, English and German mail programs mark an answer or a forward; must not know HTML or MIME. Works by lines, each
seen a fixed number of times. A mail that would consist of quotes alone is read as own words: then the quote is the message.
"""

from __future__ import annotations

import re

from milter.mime.signs import Signs
from milter.model.message import Words

_CLOSING_SIGNS = (
    "\n--", "cordialement", "salutations", "bien à vous", "à bientôt", "sentiments", "regards", "sincerely", "faithfully", "wishes",
    "grüße", "gruß", "hochachtung", "mfg",
)  # fmt: skip
ADDRESS = "address"  # the sign of a web address
# What is in every text that quotes, that has header lines of a quoted mail, that closes: without it the lines need not be looked at.
_SIGNS = Signs(
    {
        "quote": ">|--|wrote|écrit|schrieb|escribió|ha scritto|forwarded message|début du message|weitergeleiteten nachricht",
        "header": r"(?:de|from|von|expéditeur)\*?[ \x{a0}]?:",
        "closing": "|".join(_CLOSING_SIGNS),
        ADDRESS: r"://|www\.",
    },
    utf8=True,
)
_INTRODUCTION = re.compile(
    r"(?:a écrit|ai écrit|\Aécrit|\Aa écrit|wrote|schrieb(?: .{0,120})?|escribió|ha scritto)[ \xa0]{0,2}:[ \t]{0,9}$", re.IGNORECASE
)
_INTRODUCTION_START = re.compile(r"[ \t>]{0,20}(?:le|on|am|el|il)\b", re.IGNORECASE)
_INTRODUCTION_END = re.compile(r".{0,200}[@<\d]|écrit")
_DIVIDER = re.compile(
    r"[ \t]{0,20}(?:-{2,20}[ \xa0]?(?:message d.origine|message transféré|message original|original message|original appointment|forwarded message|"
    r"mail original|courriel original|ursprüngliche nachricht|weitergeleitete nachricht|réacheminé|forwarded by|transféré par)|"
    r"(?:begin forwarded message|début du message (?:transféré|réexpédié)|anfang der weitergeleiteten nachricht)[ \xa0]?:)",
    re.IGNORECASE,
)
_HEADER_FROM = re.compile(r"[ \t>*]{0,9}(?:de|from|von|expéditeur)\*?[ \xa0]?:\*?[ \xa0]", re.IGNORECASE)
_HEADER_DATE = re.compile(r"[ \t>*]{0,9}(?:envoyé|date|sent|gesendet|datum|à|to|an|objet|subject|betreff)\*?[ \xa0]?(?:le)?:", re.IGNORECASE)
_CLOSING = re.compile(
    r"[ \t]{0,20}(?:(?:bien |très |sincèrement |respectueusement )?cordialement(?: vôtre)?|bien à vous|sincères salutations|salutations|"
    r"(?:avec )?(?:nos|mes) (?:sincères |meilleures |respectueuses |cordiales )?salutations|meilleures salutations|à bientôt|"
    r"(?:best |kind |warm |kindest )?regards|(?:yours )?(?:sincerely|faithfully)(?: yours)?|best wishes|"
    r"mit (?:freundlichen|besten|herzlichen) grüßen|mit freundlichem gruß|(?:freundliche|beste|viele|liebe|herzliche) grüße|hochachtungsvoll|mfg)"
    r"(?: ?,.{0,60}| ?[.!]?)[ \t]{0,9}$|.{0,160}\bsalutations (?:distinguées|les meilleures|respectueuses)|"
    r".{0,120}\bsentiments (?:distingués|les meilleurs)",
    re.IGNORECASE,
)
_LONGEST_SIGNATURE = 15  # lines; what follows is the author's again (legal notices)


def look(text: str) -> frozenset[str]:
    """What stands in a text with one kind of line end, for `split`; ADDRESS is among it when the text may hold a web address."""
    return _SIGNS.look(text.encode("utf-8", "replace"))


def with_one_line_end(text: str) -> str:
    """The text with LF for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split(text: str, signs: frozenset[str] | None = None) -> Words:
    """Split plain text into own, quoted and signature. Linear, never raises.

    `signs` is what `look` says of it, for a caller who asked; the text has one kind of line end then.
    """
    quoted = ""
    if signs is None:
        text = with_one_line_end(text)
        signs = look(text)
    if "quote" in signs or "header" in signs:
        own_lines, quoted_lines = _quotes(text.split("\n"), headers="header" in signs)
        if quoted_lines and any(_has_letters(line) for line in own_lines):
            text, quoted = "\n".join(own_lines), _join(quoted_lines)
    cut = _closing_line(text, text.lower()) if "closing" in signs else None
    if cut is None:
        return Words(text.strip(), quoted)
    lines = text.split("\n")
    end = cut + 1 + _LONGEST_SIGNATURE
    return Words(_join(lines[: cut + 1] + lines[end:]), quoted, _join(lines[cut + 1 : end]))


def _closing_line(text: str, lower: str) -> int | None:
    """Number of the line that is the sign of RFC 3676 §4.3 ("-- ") or the last closing formula."""
    places = sorted((place for sign in _CLOSING_SIGNS if (place := lower.rfind(sign)) >= 0), reverse=True)
    for place in places:
        number = lower.count("\n", 0, place + 1)
        start = text.rfind("\n", 0, place + 1) + 1 if len(text) == len(lower) else 0
        line = text[start : start + 400].split("\n", 1)[0] if len(text) == len(lower) else text.split("\n")[number]
        if line.rstrip() == "--" or _CLOSING.match(line[:300]):
            return number
    return None


def _join(lines: list[str]) -> str:
    return "\n".join(lines).strip()


def _has_letters(line: str) -> bool:
    return any(character.isalpha() for character in line[:2_000])


def _quotes(lines: list[str], *, headers: bool) -> tuple[list[str], list[str]]:
    """Separate the lines of the author from those he quotes. `headers`: header lines of a quoted mail may stand in the text."""
    own: list[str] = []
    quoted: list[str] = []
    for index, line in enumerate(lines):
        stripped = line.strip(" \t\xa0")
        if stripped[:1] == ">":
            quoted.append(line)
        elif _opens_quote(lines, index, stripped, headers=headers):
            quoted.extend(lines[index:])
            break
        elif stripped[-1:] == ":" and _INTRODUCTION.search(stripped[-200:]) and (begun := _introduces(lines, index)):
            if begun == 2 and own:
                quoted.append(own.pop())
            quoted.append(line)
            if not _next_is_marked(lines, index):
                quoted.extend(lines[index + 1 :])
                break
        else:
            own.append(line)
    return own, quoted


def _opens_quote(lines: list[str], index: int, stripped: str, *, headers: bool) -> bool:
    """True for a line from which everything is quoted."""
    if stripped[:2] == "--" or stripped[-1:] == ":":
        return _DIVIDER.match(stripped[:300]) is not None and _anything(lines, index)
    return headers and ":" in stripped and _is_header_block(lines, index)


def _anything(lines: list[str], index: int) -> bool:
    """True when text follows, so that the divider divides."""
    return any(line.strip() for line in lines[index + 1 : index + 6])


def _introduces(lines: list[str], index: int) -> int:
    """Lines of an introduction (`Le …, X a écrit :`) that ends here: 1, or 2 when it began on the line before; 0 when it is none."""
    line = lines[index][:400]
    before = lines[index - 1][:400] if index else ""
    if _INTRODUCTION_START.match(line) and _INTRODUCTION_END.match(line):
        return 1
    if _INTRODUCTION_START.match(before) and _INTRODUCTION_END.match(line):
        return 2
    return 1 if "@" in line or "<" in line or _next_is_marked(lines, index) else 0


def _next_is_marked(lines: list[str], index: int) -> bool:
    for line in lines[index + 1 : index + 6]:
        if line.strip():
            return line.lstrip(" \t\xa0").startswith(">")
    return False


def _is_header_block(lines: list[str], index: int) -> bool:
    """The header lines that Outlook writes above what it quotes: From, then Sent or To or Subject."""
    if not _HEADER_FROM.match(lines[index][:100]):
        return False
    return sum(1 for line in lines[index + 1 : index + 6] if _HEADER_DATE.match(line[:60])) >= 2
