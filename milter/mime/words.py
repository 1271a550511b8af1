"""The text of a mail → the author's own words, what he quotes, and the signature below.

Knows how French, English and German mail programs mark an answer or a forward; must not know HTML or MIME. Works by lines, each
seen a fixed number of times. A mail that would consist of quotes alone is read as own words: then the quote is the message.
"""

from __future__ import annotations

import re

from milter.model.message import Words

# Something in the text that could open a quote; without it the lines need not be looked at.
_MAY_QUOTE = re.compile(
    r"^[ \t\xa0]{0,9}>|-{4}|_{10}|wrote|écrit|schrieb|escribió|ha scritto|forwarded message|message transféré|message d.origine|"
    r"^[ \t]{0,9}\*?(?:de|from|von)[ \xa0]?:",
    re.IGNORECASE | re.MULTILINE,
)
_INTRODUCTION = re.compile(
    r"(?:a écrit|ai écrit|wrote|schrieb(?: .{0,120})?|escribió|ha scritto)[ \xa0]{0,2}:[ \t]{0,9}$", re.IGNORECASE
)
_INTRODUCTION_START = re.compile(r"[ \t>]{0,20}(?:le|on|am|el|il|de|from|von)\b|.{0,200}[@<\d]", re.IGNORECASE)
_DIVIDER = re.compile(
    r"[ \t]{0,20}(?:-{2,20}[ \xa0]?(?:message d.origine|message transféré|message original|original message|original appointment|forwarded message|"
    r"mail original|courriel original|ursprüngliche nachricht|weitergeleitete nachricht|réacheminé|forwarded by|transféré par)|"
    r"(?:begin forwarded message|début du message (?:transféré|réexpédié)|anfang der weitergeleiteten nachricht)[ \xa0]?:|_{20,200}[ \t]{0,9}$)",
    re.IGNORECASE,
)
_HEADER_FROM = re.compile(r"[ \t>*]{0,9}(?:de|from|von|expéditeur)\*?[ \xa0]?:\*?[ \xa0]", re.IGNORECASE)
_HEADER_DATE = re.compile(r"[ \t>*]{0,9}(?:envoyé|date|sent|gesendet|datum|à|to|an|objet|subject|betreff)\*?[ \xa0]?(?:le)?:", re.IGNORECASE)
_CLOSING = re.compile(
    r"[ \t]{0,20}(?:(?:bien |très |sincèrement |respectueusement )?cordialement(?: vôtre)?|bien à vous|sincères salutations|salutations|"
    r"(?:avec )?(?:nos|mes) (?:sincères |meilleures |respectueuses |cordiales )?salutations|meilleures salutations|à bientôt|"
    r"(?:best |kind |warm |kindest )?regards|(?:yours )?(?:sincerely|faithfully)(?: yours)?|best wishes|"
    r"mit (?:freundlichen|besten|herzlichen) grüßen|mit freundlichem gruß|(?:freundliche|beste|viele|liebe|herzliche) grüße|hochachtungsvoll|mfg)"
    r"(?: ?,.{0,60}| ?[.!]?)[ \t]{0,9}$|.{0,160}\bsalutations (?:distinguées|les meilleures|respectueuses)|.{0,120}\bsentiments (?:distingués|les meilleurs)",
    re.IGNORECASE,
)
_MAY_CLOSE = re.compile(r"^-- ?$|cordialement|salutations|bien à vous|à bientôt|sentiments|regards|sincerely|faithfully|wishes|grüße|gruß|hochachtung|mfg", re.I | re.M)
_LONGEST_SIGNATURE = 15  # lines; what follows is the author's again (legal notices)


def split(text: str) -> Words:
    """Split plain text into own, quoted and signature. Linear, never raises."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    own, quoted = (_quotes(text.split("\n"))) if _MAY_QUOTE.search(text) else (text.split("\n"), [])
    if quoted and not any(_has_letters(line) for line in own):
        own, quoted = quoted, []
    own, signature = _signature(own)
    return Words(_join(own), _join(quoted), _join(signature))


def _join(lines: list[str]) -> str:
    return "\n".join(lines).strip()


def _has_letters(line: str) -> bool:
    return any(character.isalpha() for character in line[:2_000])


def _quotes(lines: list[str]) -> tuple[list[str], list[str]]:
    """Separate the lines of the author from those he quotes."""
    own: list[str] = []
    quoted: list[str] = []
    for index, line in enumerate(lines):
        start = line.lstrip(" \t\xa0")[:1]
        if start == ">":
            quoted.append(line)
        elif _DIVIDER.match(line) and _anything(lines, index) or _is_header_block(lines, index):
            quoted.extend(lines[index:])
            break
        elif _INTRODUCTION.search(line[-200:]) and _introduces(lines, index):
            quoted.append(line)
            if not _next_is_marked(lines, index):
                quoted.extend(lines[index + 1 :])
                break
        else:
            own.append(line)
    return own, quoted


def _anything(lines: list[str], index: int) -> bool:
    """True when text follows, so that the divider divides."""
    return any(line.strip() for line in lines[index + 1 : index + 6])


def _introduces(lines: list[str], index: int) -> bool:
    """`Le … a écrit :` on one line, or begun on the line before."""
    before = lines[index - 1] if index else ""
    return bool(_INTRODUCTION_START.match(lines[index][:400]) or _INTRODUCTION_START.match(before[:400]))


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


def _signature(lines: list[str]) -> tuple[list[str], list[str]]:
    """Cut below the sign of RFC 3676 §4.3 ("-- "), or below the last closing formula."""
    if not any(_MAY_CLOSE.search(line[-300:]) for line in lines):
        return lines, []
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index]
        if line.rstrip() == "--" or _CLOSING.match(line[:300]):
            end = index + 1 + _LONGEST_SIGNATURE
            return lines[: index + 1] + lines[end:], lines[index + 1 : end]
    return lines, []
