"""Web addresses that stand in running text, as mail programs make them clickable.

Knows where such an address starts and ends in a sentence; must not know what it points at.
"""

from __future__ import annotations

import re

_END = re.compile(r"[^\s<>\"\x00-\x1f\x7f«»“”]{1,2048}")
_SCHEME = re.compile(r"(?:https?|ftp)\Z", re.IGNORECASE)
_MARK = re.compile(r"://")  # a search for a literal: much faster than `in` in a long text that is not Latin-1
_WWW = re.compile(r"www\.")
_CAPITALS = (re.compile(r"W\."), re.compile(r"Ww"))  # in every other way to write it
_ANY_WWW = re.compile(r"[wW]{3}\.")
_TRAILING = ".,;:!?'’*_~|"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_MOST_TRIMMED = 5


def in_text(text: str, most: int) -> list[str]:
    """The addresses in order, without repeats, at most `most`. Linear."""
    found: dict[str, None] = {}
    pos = 0
    while len(found) < most and (colon := _MARK.search(text, pos)):
        mark = colon.start()
        scheme = _SCHEME.search(text, max(0, mark - 5), mark)
        pos = mark + 3
        if scheme and (match := _END.match(text, scheme.start())):
            found[_trim(match[0])] = None
            pos = match.end()
    www = _ANY_WWW if any(sign.search(text) for sign in _CAPITALS) else _WWW
    pos = 0
    while len(found) < most and (begin := www.search(text, pos)):
        mark = begin.start()
        match = _END.match(text, mark)
        pos = match.end() if match else mark + 4
        if match and (not mark or not (text[mark - 1].isalnum() or text[mark - 1] in "/.-@_=%")):
            found[_trim(match[0])] = None
    return list(found)


def _trim(url: str) -> str:
    """Without the punctuation of the sentence around it."""
    url = url.rstrip(_TRAILING)
    for _ in range(_MOST_TRIMMED):
        last = url[-1:]
        if last not in _PAIRS or url.count(last) <= url.count(_PAIRS[last]):
            break
        url = url[:-1].rstrip(_TRAILING)
    return url
