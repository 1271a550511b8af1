"""The mails of the bench: 2,000 of median 15 kB, DKIM-signed by 500 author domains, the same in every run.

French newsletters, receipts and letters of invented senders on `.example` and `.test`; plain, HTML and both, in the transfer
encodings that real ones have, one in ten with an attachment. Beside them the DNS zone that proves them. Kept in `.cache/bench`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import quopri
import random
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.keys import make_keys, public_text
from bench.words import FIRST_NAMES, LAST_NAMES, SENTENCES, SUBJECTS, TRADES

MAILS = 2_000
DOMAINS = 500
SEED = 20_260_115
SENT = 1_768_435_200  # the Date of the first mail, seconds since 1970
_VERSION = 8
_KEYS = 24
_CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bench"
_SIGNED = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "reply-to", "list-unsubscribe")
Zone = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class BenchMail:
    """One mail with its envelope. `raw` has CRLF line ends."""

    client_ip: str
    helo: str
    mail_from: str
    rcpt_to: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Corpus:
    """`zone`: "name KIND" → values."""

    mails: tuple[BenchMail, ...]
    zone: Zone


def load() -> Corpus:
    """Read the corpus, making it first when it is not there (about a minute)."""
    path = _CACHE / f"mails-{_VERSION}.json"
    if not path.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        made = make()
        rows = [[one.client_ip, one.helo, one.mail_from, one.rcpt_to, one.raw.decode("latin-1")] for one in made.mails]
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"mails": rows, "zone": made.zone}))
        partial.replace(path)
    stored = json.loads(path.read_text())
    return Corpus(tuple(BenchMail(ip, helo, sender, rcpt, raw.encode("latin-1")) for ip, helo, sender, rcpt, raw in stored["mails"]), stored["zone"])


def make() -> Corpus:
    """Make the corpus anew."""
    chance = random.Random(SEED)
    keys = make_keys(_KEYS, 2_048, SEED)
    senders = [_Sender(number, chance, keys) for number in range(DOMAINS)]
    zone: Zone = {}
    for sender in senders:
        sender.publish(zone)
    order = [senders[number % DOMAINS] for number in range(MAILS)]
    chance.shuffle(order)
    return Corpus(tuple(sender.mail(number, chance) for number, sender in enumerate(order)), zone)


class _Sender:
    """One author domain: its names, its keys (two selectors), its way of writing."""

    def __init__(self, number: int, chance: random.Random, keys: Sequence[rsa.RSAPrivateKey]) -> None:
        self.trade = chance.choice(TRADES)
        self.domain = f"{self.trade.replace(' ', '-')}-{number}.{chance.choice(('example', 'test'))}"
        self.client_ip = f"198.51.100.{number % 250 + 1}"
        self.service = number % 20 if number % 3 == 0 else None
        self.keys = {f"s{chance.randint(1, 9)}{letter}": chance.choice(keys) for letter in "ab"}
        self.policy = chance.choice(("none", "quarantine", "reject"))
        self.kind = chance.choices(("both", "html", "plain"), (60, 25, 15))[0]
        self.encoding = chance.choices(("quoted-printable", "8bit", "base64"), (60, 25, 15))[0]

    def publish(self, zone: Zone) -> None:
        spf = f"include:spf.service-{self.service}.test" if self.service is not None else f"ip4:{self.client_ip}"
        zone[f"bounces.{self.domain} TXT"] = [f"v=spf1 {spf} -all"]
        zone[f"{self.domain} TXT"] = [f"site-verification={hashlib.sha256(self.domain.encode()).hexdigest()}", "v=spf1 mx -all"]
        zone[f"{self.domain} MX"] = [f"10 mx.{self.domain}"]
        zone[f"{self.domain} A"] = [self.client_ip]
        zone[f"mx.{self.domain} A"] = [self.client_ip]
        zone[f"out.{self.domain} A"] = [self.client_ip]
        if self.service is not None:
            zone[f"spf.service-{self.service}.test TXT"] = ["v=spf1 ip4:198.51.100.0/25 ip4:198.51.100.128/25 -all"]
        for selector, key in self.keys.items():
            zone[f"{selector}._domainkey.{self.domain} TXT"] = [f"v=DKIM1; k=rsa; p={public_text(key)}"]
        zone[f"_dmarc.{self.domain} TXT"] = [f"v=DMARC1; p={self.policy}; rua=mailto:dmarc@{self.domain}"]

    def mail(self, number: int, chance: random.Random) -> BenchMail:
        person = f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}"
        rcpt = f"{person.lower().replace(' ', '.').encode('ascii', 'ignore').decode()}{number}@recipient.example"
        size = int(min(180_000, max(2_500, chance.lognormvariate(9.22, 0.75))))
        fields, body = self._content(size, chance)
        name = f"{self.trade.title()} {chance.choice(('Services', 'France', 'Info', 'Contact'))}"
        head = [
            ("Received", f"from app{number % 7}.{self.domain} (app [10.0.0.{number % 250 + 1}]) by out.{self.domain} with ESMTPS id {number:x}"),
            ("From", f"{_word(name)} <contact@{self.domain}>"),
            ("To", f"{_word(person)} <{rcpt}>"),
            ("Reply-To", f"reponse+{number:06d}@{self.domain}"),
            ("Subject", _word(chance.choice(SUBJECTS).format(number=number, trade=self.trade))),
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(SENT + number * 37))),
            ("Message-ID", f"<{number:08x}.{chance.getrandbits(64):016x}@{self.domain}>"),
            ("List-Unsubscribe", f"<https://www.{self.domain}/desabonnement?id={number}>"),
            ("MIME-Version", "1.0"),
            *fields,
        ]
        selector = chance.choice(sorted(self.keys))
        header = _signature(self.domain, selector, self.keys[selector], head, body) + "".join(f"{name}: {value}\r\n" for name, value in head)
        return BenchMail(self.client_ip, f"out.{self.domain}", f"retour+{number:06d}@bounces.{self.domain}", rcpt, header.encode() + b"\r\n" + body)

    def _content(self, size: int, chance: random.Random) -> tuple[list[tuple[str, str]], bytes]:
        attached = chance.random() < 0.1
        parts: list[tuple[list[tuple[str, str]], bytes]] = []
        if self.kind == "plain":
            parts.append(self._text("plain", _plain(size, self.domain, chance)))
        else:
            page, said = _html(int(size * (0.6 if attached else 0.85)), self.domain, chance)
            if self.kind != "html":  # RFC 2046 §5.1.4: the alternatives say the same
                parts.append(self._text("plain", said))
            parts.append(self._text("html", page))
        fields, body = parts[0] if len(parts) == 1 else _multipart("alternative", parts, chance)
        if attached:
            document = base64.encodebytes(b"%PDF-1.4\n" + chance.randbytes(max(400, size // 3))).replace(b"\n", b"\r\n")
            head = [
                ("Content-Type", 'application/pdf; name="facture.pdf"'),
                ("Content-Transfer-Encoding", "base64"),
                ("Content-Disposition", 'attachment; filename="facture.pdf"'),
            ]
            fields, body = _multipart("mixed", [(fields, body), (head, document)], chance)
        return fields, body

    def _text(self, kind: str, text: str) -> tuple[list[tuple[str, str]], bytes]:
        octets = text.encode()
        if self.encoding == "quoted-printable":
            octets = quopri.encodestring(octets)
        elif self.encoding == "base64":
            octets = base64.encodebytes(octets)
        fields = [("Content-Type", f"text/{kind}; charset=utf-8"), ("Content-Transfer-Encoding", self.encoding)]
        return fields, octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _multipart(kind: str, parts: Sequence[tuple[list[tuple[str, str]], bytes]], chance: random.Random) -> tuple[list[tuple[str, str]], bytes]:
    boundary = f"=_{chance.getrandbits(96):024x}"
    body = b""
    for fields, content in parts:
        body += f"--{boundary}\r\n".encode() + "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n" + content + b"\r\n"
    return [("Content-Type", f'multipart/{kind}; boundary="{boundary}"')], body + f"--{boundary}--\r\n".encode()


def _plain(size: int, domain: str, chance: random.Random) -> str:
    lines: list[str] = []
    length = 0
    while length < size:
        line = " ".join(chance.choice(SENTENCES) for _ in range(3))
        if chance.random() < 0.15:
            line += f" https://www.{domain}/page/{chance.randint(1, 999)}"
        lines += [*textwrap.wrap(line, 76), ""]
        length += len(line) + 4
    return "\n".join(lines) + "\n"


def _html(size: int, domain: str, chance: random.Random) -> tuple[str, str]:
    """A page, and what it says as plain text."""
    style = "font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:20px;color:#333333"
    rows: list[str] = []
    lines: list[str] = []
    length = 0
    while length < size:
        text = " ".join(chance.choice(SENTENCES) for _ in range(chance.randint(1, 4)))
        address = f"https://click.{domain}/c/{chance.getrandbits(80):020x}?u={chance.randint(1, 9999)}"
        link = f'<a href="{address}" style="color:#0a58ca">En savoir plus</a>' if chance.random() < 0.4 else ""
        lines += [*textwrap.wrap(text, 76), *([f"En savoir plus : {address}"] if link else []), ""]
        picture = f'<img src="https://img.{domain}/{chance.getrandbits(48):012x}.png" width="600" height="120" alt="" style="display:block">'
        row = f'<tr><td style="padding:12px 24px;{style}"><p style="margin:0 0 12px">{text}</p>'
        row += link + (picture if chance.random() < 0.2 else "") + "</td></tr>"
        rows.append(row)
        length += len(row)
    head = f'<!DOCTYPE html>\n<html lang="fr"><head><meta charset="utf-8"><title>{domain}</title><style>a{{text-decoration:none}}</style></head>'
    foot = f'<p><a href="https://www.{domain}/desabonnement">Se désabonner</a> · <a href="mailto:contact@{domain}">Nous écrire</a></p>'
    page = (
        f'{head}\n<body style="margin:0"><table width="600" cellpadding="0" cellspacing="0">\n'
        + "\n".join(rows)
        + f"\n</table>{foot}</body></html>\n"
    )
    return page, "\n".join(lines) + "\n"


def _word(text: str) -> str:
    if text.isascii():
        return text
    return "=?utf-8?q?" + quopri.encodestring(text.encode(), quotetabs=True, header=True).decode().replace("=\n", "").replace("?", "=3F") + "?="


def _signature(domain: str, selector: str, key: rsa.RSAPrivateKey, head: Sequence[tuple[str, str]], body: bytes) -> str:
    """The DKIM-Signature field (RFC 6376, relaxed/relaxed). The header values here have single blanks already; the body is made relaxed."""
    relaxed = b"\r\n".join(_one_blank(line.replace(b"\t", b" ")) for line in body.split(b"\r\n")).rstrip(b"\r\n") + b"\r\n"
    digest = base64.b64encode(hashlib.sha256(relaxed).digest()).decode()
    values = {name.lower(): value for name, value in head}
    names = [name for name in _SIGNED if name in values]
    start = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector}; h={':'.join(names)}; bh={digest}; b="
    signed = "".join(f"{name}:{values[name]}\r\n" for name in names) + f"dkim-signature:{start}"
    mark = base64.b64encode(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    folded = "\r\n ".join(mark[index : index + 72] for index in range(0, len(mark), 72))
    return f"DKIM-Signature: {start}{folded}\r\n"


def _one_blank(line: bytes) -> bytes:
    """RFC 6376 §3.4.4: runs of blanks become one, those at the end go."""
    while b"  " in line:
        line = line.replace(b"  ", b" ")
    return line.rstrip(b" ")
