"""Awkward subjects, as octets after the colon and as the text that a reader shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """`value` is all after `Subject:` without the last line end, `text` what is shown."""

    name: str
    value: bytes
    text: str


_WORD = "remboursement "
AWKWARD = (
    Subject("plain", b" Votre remboursement", "Votre remboursement"),
    Subject("no blank after the colon", b"Votre remboursement", "Votre remboursement"),
    Subject("empty", b"", ""),
    Subject("one blank", b" ", ""),
    Subject("many blanks", b"          ", ""),
    Subject("first line folded away", b"\r\n Votre remboursement", "Votre remboursement"),
    Subject("folded with a tab", b" Votre\r\n\tremboursement", "Votre remboursement"),
    Subject("leading tab", b"\tVotre remboursement", "Votre remboursement"),
    Subject("blanks at both ends", b"   Votre remboursement   ", "Votre remboursement"),
    Subject("tabs inside", b" Votre\tremboursement", "Votre remboursement"),
    Subject("Q word", b" =?utf-8?Q?Rembours=C3=A9?=", "Remboursé"),
    Subject("Q word without a blank before", b"=?utf-8?Q?Rembours=C3=A9?=", "Remboursé"),
    Subject("B word", b" =?UTF-8?B?UmVtYm91cnPDqQ==?=", "Remboursé"),
    Subject("two words, the blank between them not shown", b" =?utf-8?Q?Rembours?= =?utf-8?Q?=C3=A9?=", "Remboursé"),
    Subject("two words, folded between", b" =?utf-8?Q?Vous_=C3=AAtes?=\r\n =?utf-8?Q?_rembours=C3=A9?=", "Vous êtes remboursé"),
    Subject("a character split over two words", b" =?utf-8?Q?Rembours=C3?= =?utf-8?Q?=A9?=", "Remboursé"),
    Subject("word, then plain", b" =?iso-8859-1?Q?R=E9ponse?= : votre dossier", "Réponse : votre dossier"),
    Subject("plain, then word", b" Votre =?utf-8?B?w6lj?= ici", "Votre éc ici"),
    Subject("Q and B of two charsets", b" =?iso-8859-15?Q?10_=A4?= =?utf-8?B?IHJlw6d1cw==?=", "10 € reçus"),
    Subject("raw UTF-8", " Remboursé à 100 %".encode(), "Remboursé à 100 %"),
    Subject("raw Latin-1", " Remboursé".encode("latin-1"), "Remboursé"),
    Subject("raw UTF-8 without a blank before", "Été".encode(), "Été"),
    Subject("emoji, raw", " 🎁 Cadeau".encode(), "🎁 Cadeau"),
    Subject("emoji, encoded", b" =?UTF-8?B?8J+OgSBDYWRlYXU=?=", "🎁 Cadeau"),
    Subject("a line of 900 octets", b" " + b"x" * 899, "x" * 899),
    Subject("a line of 900 octets without a blank before", b"x" * 900, "x" * 900),
    Subject("many words as bulk mailers write them", b" " + b"\r\n ".join([b"=?utf-8?Q?remboursement=20?="] * 12), (_WORD * 12).strip()),
    Subject("a long plain subject, folded", b" " + b"\r\n ".join([b"remboursement"] * 12), (_WORD * 12).strip()),
    Subject("lone CR inside", b" Votre\rremboursement", "Votre remboursement"),
    Subject("quotes around a word", b' "=?utf-8?Q?Rembours=C3=A9?="', '"Remboursé"'),
    Subject("looks like a word but is none", b" =?utf-8?Q? 50 % =? ok", "=?utf-8?Q? 50 % =? ok"),
    Subject("unfinished word", b" =?utf-8?Q?Rembours=C3=A9", "=?utf-8?Q?Rembours=C3=A9"),
    Subject("brackets", b" [Liste] Re: [x] Votre dossier", "[Liste] Re: [x] Votre dossier"),
    Subject("Cyrillic in KOI8-R", b" =?koi8-r?B?8NLJ18XU?=", "Привет"),
    Subject("Japanese in ISO-2022-JP", b" =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
    Subject("fold in the middle of blanks", b" Votre  \r\n   remboursement", "Votre remboursement"),
)
