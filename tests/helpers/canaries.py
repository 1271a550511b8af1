"""Marked personal data: put it into mails, then look for it in what must not hold any (log, metrics, status, journal, tracebacks).

`ALL` are the marks. `spellings(text)` gives every way in which one is written into a mail (plain, spaced, split, base64, quoted-printable …),
`mails()` hostile mails full of them. `find(octets)` names each mark that octets hold, in whatever spelling: octets are decoded in the same ways and
compared without case, accents and anything but letters and digits. A mark that is cut is found as long as one of its `pieces` is whole.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import quopri
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canary:
    """One mark: what kind of personal data it stands for, its usual spelling, and the smallest pieces that must not be found."""

    kind: str
    text: str
    pieces: tuple[str, ...]


NIR = Canary("nir", "2 85 05 78 006 084 36", ("285057800608436", "2850578006084", "5057800608"))
IBAN = Canary("iban", "FR76 3000 6000 0112 3456 7890 189", ("FR7630006000011234567890189", "30006000011234", "1234567890189"))
NAME = Canary("name", "Zéphyrine Quatrepommes", ("Zéphyrine", "Quatrepommes"))
SENDER = Canary("sender", "zephyrine.quatrepommes@canari-un.example", ("zephyrine.quatrepommes",))
RECIPIENT = Canary("recipient", "ildefonse.trucmuche@canari-deux.example", ("ildefonse", "trucmuche"))
PHONE = Canary("phone", "06 39 98 12 47", ("0639981247", "639981247"))
BIRTH = Canary("birth", "né le 17 mars 1948", ("17 mars 1948",))
SUBJECT = Canary("subject", "Remboursement tarentule violette", ("tarentule violette",))
BODY = Canary("body", "la girafe mange du fenouil", ("girafe mange du fenouil",))
ALL: tuple[Canary, ...] = (NIR, IBAN, NAME, SENDER, RECIPIENT, PHONE, BIRTH, SUBJECT, BODY)


def spellings(text: str) -> dict[str, str]:
    """Every way to write a text, by the name of the way. Each is found by `find`."""
    bare = re.sub(r"[^\w@.]", "", text)
    octets = text.encode()
    return {
        "plain": text,
        "bare": bare,
        "upper": text.upper(),
        "swapped case": text.swapcase(),
        "without accents": _without_accents(text),
        "spaced": " ".join(bare),
        "no-break spaced": "\u00a0".join(bare),
        "dotted": ".".join(re.findall(r"\w{1,3}", text)),
        "dashed": "-".join(re.findall(r"\w{1,2}", text)),
        "zero-width": "\u200b".join(bare),
        "full width": "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
        "split over lines": f"{text[: len(text) // 2]}\r\n {text[len(text) // 2 :]}",
        "split in quotes": '" "'.join((text[: len(text) // 2], text[len(text) // 2 :])),
        "quoted local part": '"{}"@{}'.format(*text.split("@", 1)) if "@" in text else f'"{text}"',
        "in brackets": f"<{text}>",
        "base64": base64.b64encode(octets).decode(),
        "base64 with neighbours": base64.b64encode(b"x" + octets + b"yz").decode(),
        "base64 url": base64.urlsafe_b64encode(octets).decode().rstrip("="),
        "base64 of capitals": base64.b64encode(text.upper().encode()).decode(),
        "base64 utf-16": base64.b64encode(text.encode("utf-16-le")).decode(),
        "base64 in lines": base64.encodebytes(octets * 3).decode(),
        "encoded word": f"=?utf-8?B?{base64.b64encode(octets).decode()}?=",
        "encoded word q": "=?utf-8?Q?" + quopri.encodestring(octets, header=True).decode() + "?=",
        "quoted-printable": quopri.encodestring(octets).decode(),
        "quoted-printable whole": "".join(f"={octet:02X}" for octet in octets),
        "url": urllib.parse.quote(text),
        "url whole": "".join(f"%{octet:02x}" for octet in octets),
        "url twice": urllib.parse.quote(urllib.parse.quote(text)),
        "html": "".join(f"&#{ord(char)};" for char in text),
        "html hexadecimal": "".join(f"&#x{ord(char):x};" for char in text),
        "json": json.dumps(text)[1:-1],
        "json whole": "".join(f"\\u{ord(char):04x}" for char in text),
        "python bytes": repr(octets)[2:-1],
        "xtext": "".join(chr(octet) if chr(octet).isalnum() and octet < 128 else f"+{octet:02X}" for octet in octets),
        "hexadecimal": octets.hex(),
        "backwards": text[::-1],
        "punycode": text.encode("punycode").decode() if not text.isascii() else text,
    }


def find(octets: bytes) -> list[str]:
    """`kind: piece, as decoded` for every mark in these octets; [] when there is none. Takes a few seconds a megabyte."""
    found: dict[str, None] = {}
    for way, text in _readings(octets):
        folded = _fold(text)
        for canary, piece, needle in _NEEDLES:
            if needle in folded:
                found[f"{canary.kind}: {piece!r}, {way}"] = None
    return list(found)


def mails() -> Iterator[tuple[str, tuple[str, ...], bytes]]:
    """(sender, recipients, octets) of mails that hold every mark in every spelling, in header, body, file names and broken places."""
    forms = {canary.kind: spellings(canary.text) for canary in ALL}
    for way in spellings("x@y"):
        here = {kind: ways[way].replace("\r\n ", " ").replace("\n", " ") for kind, ways in forms.items()}
        if way == "backwards":  # its domain would be the name, and domains are no secret
            here["sender"], here["recipient"] = SENDER.text, RECIPIENT.text
        for broken in (False, True):
            yield SENDER.text, (RECIPIENT.text,), _mail(here, broken=broken)
    yield f'"{SENDER.text}"@canari-un.example', (f'"{NAME.text.split()[1]} {PHONE.text}"@canari-deux.example',), _mail({c.kind: c.text for c in ALL})


def _mail(forms: dict[str, str], *, broken: bool = False) -> bytes:
    odd = "Content-Type: multipart/mixed; boundary=" if broken else "Content-Type: text/html; charset=utf-8"
    return (
        f'From: "Mutuelle Lavande {forms["name"]}" <{forms["sender"]}>\r\n'
        f"To: {forms['name']} <{forms['recipient']}>{', <' * 60 if broken else ''}\r\n"
        f"Subject: Mutuelle Lavande {forms['subject']} {forms['nir']}\r\n"
        f"Reply-To: {forms['iban']}@{forms['nir']}.example\r\n"
        f"Message-ID: <{forms['nir']}.{forms['sender']}>\r\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; d={forms['name']}; s={forms['nir']}; h=from; bh={forms['iban']}; b={forms['sender']}\r\n"
        f"Authentication-Results: {forms['sender']}; spf=pass smtp.mailfrom={forms['recipient']}\r\n"
        f"{odd}{forms['nir'] if broken else ''}\r\n\r\n"
        f"<p>{forms['body']} {forms['name']} {forms['birth']} {forms['phone']} {forms['nir']} {forms['iban']}</p>\r\n"
        f'<a href="https://{forms["nir"]}.example/?m={forms["recipient"]}">Mutuelle Lavande</a>\r\n'
    ).encode("utf-8", "surrogateescape")


def _readings(octets: bytes) -> Iterator[tuple[str, str]]:
    """The octets as text, decoded in each way that `spellings` writes; some of them twice, because a log quotes what was encoded already."""
    text = octets.decode("utf-8", "replace")
    layers = {"plain": text, "latin-1": octets.decode("latin-1")}
    for name, decode in _DECODERS.items():
        once = decode(text)
        if once != text:
            layers[name] = once
            for second, again in _DECODERS.items():
                twice = again(once)
                if twice != once:
                    layers[f"{name}, {second}"] = twice
    seen: set[str] = set()
    for name, layer in layers.items():
        yield name, layer
        yield f"{name}, backwards", layer[::-1]
        if blobs := "\n".join(_base64(layer, seen)):
            yield f"{name}, base64", blobs
    for run in re.findall(r"(?:[0-9a-fA-F]{2}){6,}", text):
        yield "hexadecimal", bytes.fromhex(run).decode("utf-8", "replace")


def _escapes(text: str) -> str:
    def octet(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "replace")

    text = re.sub(r"\\[rnt]", "", text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"(?:\\x[0-9a-fA-F]{2})+", octet, text)


def _hex_runs(mark: str) -> Callable[[str], str]:
    pattern = re.compile(rf"(?:{re.escape(mark)}[0-9A-Fa-f]{{2}})+")
    return lambda text: pattern.sub(lambda match: bytes.fromhex(match[0].replace(mark, "")).decode("utf-8", "replace"), text)


_DECODERS: dict[str, Callable[[str], str]] = {
    "url": urllib.parse.unquote,
    "quoted-printable": lambda text: _hex_runs("=")(re.sub(r"=[ \t]*\r?\n", "", text)),
    "xtext": _hex_runs("+"),
    "html": html.unescape,
    "escapes": _escapes,
}
_RUN = re.compile(r"[A-Za-z0-9+/_-]{6,}")


def _base64(text: str, seen: set[str]) -> Iterator[str]:
    """Every run that may be base64 and was not `seen` before, at each of its four alignments, as UTF-8 and as UTF-16."""
    for joined in (text, re.sub(r"(?:\\r)?(?:\\n|\r?\n)\s*", "", text)):
        for run in _RUN.findall(joined):
            if run in seen:
                continue
            seen.add(run)
            clean = run.replace("-", "+").replace("_", "/")
            for start in range(4):
                piece = clean[start:]
                try:
                    raw = base64.b64decode(
                        piece[: len(piece) - len(piece) % 4] + {0: "", 1: "", 2: piece[-2:] + "==", 3: piece[-3:] + "="}[len(piece) % 4]
                    )
                except binascii.Error:
                    continue
                yield raw.decode("utf-8", "ignore")
                if b"\0" in raw:
                    yield raw.replace(b"\0", b"").decode("latin-1")


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def _fold(text: str) -> str:
    """Letters and digits alone, in one case, without accents."""
    return re.sub(r"[\W_]+", "", _without_accents(text).casefold())


_NEEDLES = tuple((canary, piece, _fold(piece)) for canary in ALL for piece in canary.pieces)
