"""The mails of the demo: invented people, invented insurers (`config/registry/example.yml`), reserved names.

Each is what somebody could find in a mailbox: genuine, harmless, or one of the deceits that the shipped rules know.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from milter.adapters.dns_zone import Zone

INSURER = "mutuelle-lavande.example"
RECIPIENT = "jeanne.moreau@recipient.test"
SELECTOR = "demo"

_HONEST = {
    INSURER: "192.0.2.10",
    "journal-sante.example": "192.0.2.20",
    "atelier-dumont.example": "192.0.2.30",
    "sante-nationale.example": "192.0.2.40",
}
_STRANGERS = {
    "clients-info.test": "203.0.113.5",
    "mutuelle-lavende.example": "203.0.113.6",
    "remboursement-mutuelle-lavande.test": "203.0.113.7",
    "xn--mutuelle-lvande-3lm.example": "203.0.113.8",
    "courrier-rapide.test": "203.0.113.9",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One mail of the demo. `story` says what it is; `signed_by` the domain that signs it, "" for none."""

    story: str
    from_: str
    subject: str
    body: str
    mail_from: str
    client_ip: str
    signed_by: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def octets(self) -> bytes:
        """The mail as sent, signed where it is signed."""
        message = EmailMessage(policy=SMTP)
        message["Date"] = "Mon, 02 Mar 2026 09:00:00 +0100"
        message["Message-ID"] = f"<{abs(hash_text(self.story + self.subject)):x}@{self.mail_from.rpartition('@')[2]}>"
        message["To"] = RECIPIENT
        for name, value in self.extra.items():
            message[name] = value
        message["Subject"] = self.subject
        message.set_content(self.body, cte="8bit")
        # A From as written, which EmailMessage would tidy up.
        raw = b"From: " + self.from_.encode() + b"\r\n" + message.as_bytes()
        return _sign(raw, self.signed_by) if self.signed_by else raw


def hash_text(text: str) -> int:
    """A number for a Message-ID that is the same in each run."""
    return int.from_bytes(text.encode(), "big") % (1 << 61)


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _sign(raw: bytes, domain: str) -> bytes:
    import dkim

    pem = _key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    names = [b"from", b"to", b"subject", b"date", b"message-id"]
    return bytes(dkim.sign(raw, SELECTOR.encode(), domain.encode(), pem, include_headers=names)) + raw


def zone() -> Zone:
    """The made-up DNS: the honest publish SPF, DKIM and DMARC; so do the strangers for their own names, as real fraud does."""
    public = base64.b64encode(_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
    zone = Zone({})
    for domain, address in {**_HONEST, **_STRANGERS}.items():
        zone.add(domain, "A", address)
        zone.add(domain, "TXT", f"v=spf1 ip4:{address} -all")
        zone.add(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=reject" if domain in _HONEST else "v=DMARC1; p=none")
    for domain in _HONEST:
        zone.add(f"{SELECTOR}._domainkey.{domain}", "TXT", f"v=DKIM1; k=rsa; p={public}")
    return zone


def cases() -> tuple[Case, ...]:
    """The mails in the order in which they are sent."""
    return (
        Case(
            "the insurer itself, signed",
            "Mutuelle Lavande <contact@mutuelle-lavande.example>",
            "Votre relevé de prestations de février",
            "Bonjour,\n\nVotre relevé de prestations est disponible dans votre espace adhérent :\nhttps://www.mutuelle-lavande.example/espace\n\n"
            "Cordialement,\nMutuelle Lavande\n",
            "retours@mutuelle-lavande.example",
            "192.0.2.10",
            INSURER,
        ),
        Case(
            "the same, forwarded by a university's server",
            "Mutuelle Lavande <contact@mutuelle-lavande.example>",
            "Votre carte de tiers payant 2026",
            "Bonjour,\n\nVotre carte de tiers payant est disponible dans votre espace adhérent :\nhttps://www.mutuelle-lavande.example/espace\n\n"
            "Cordialement,\nMutuelle Lavande\n",
            "srs0=ab12=cd=mutuelle-lavande.example=retours@universite.example",
            "198.51.100.77",
            INSURER,
        ),
        Case(
            "a newsletter that mentions the insurer",
            "Journal Santé <lettre@journal-sante.example>",
            "Mutuelles : le comparatif du mois",
            "Cette semaine dans le Journal Santé :\n\nMutuelle Lavande relève ses remboursements en optique.\nLire l'article : "
            "https://www.journal-sante.example/comparatif\n",
            "bounce@journal-sante.example",
            "192.0.2.20",
            "journal-sante.example",
            {"List-Unsubscribe": "<https://www.journal-sante.example/stop>"},
        ),
        Case(
            "a colleague",
            "Claire Dumont <claire@atelier-dumont.example>",
            "Re: changement de mutuelle",
            "Bonjour Jeanne,\n\nPour ta question : je suis à la Mutuelle Lavande depuis dix ans et j'en suis contente.\n\nÀ demain,\nClaire\n",
            "claire@atelier-dumont.example",
            "192.0.2.30",
            "atelier-dumont.example",
        ),
        Case(
            "the insurer's name on a stranger's address",
            "Mutuelle Lavande <service@clients-info.test>",
            "Votre dossier adhérent",
            "Bonjour,\n\nVotre dossier est à jour. Merci de votre confiance.\n\nMutuelle Lavande\n",
            "service@clients-info.test",
            "203.0.113.5",
        ),
        Case(
            "the same, asking for bank details through a link",
            "Mutuelle Lavande <service@clients-info.test>",
            "Remboursement en attente : 87,95 EUR",
            "Cher adhérent,\n\nUn remboursement de 87,95 EUR est en attente. Pour le recevoir, confirmez vos coordonnées bancaires sous 48 heures :\n"
            "https://clients-info.test/confirmation\n\nSans réponse de votre part, votre dossier sera clôturé.\n\nMutuelle Lavande\n",
            "service@clients-info.test",
            "203.0.113.5",
        ),
        Case(
            "a misspelt address (lavende)",
            "Service adhérents <contact@mutuelle-lavende.example>",
            "Mise à jour de votre contrat",
            "Bonjour,\n\nMerci de mettre à jour votre RIB : https://mutuelle-lavende.example/rib\n\nVotre mutuelle\n",
            "contact@mutuelle-lavende.example",
            "203.0.113.6",
        ),
        Case(
            "the insurer's name inside a longer domain",
            "Espace adhérent <info@remboursement-mutuelle-lavande.test>",
            "Vous avez un remboursement",
            "Bonjour,\n\nVous êtes éligible à un remboursement. Connectez-vous pour le recevoir :\nhttps://remboursement-mutuelle-lavande.test/\n",
            "info@remboursement-mutuelle-lavande.test",
            "203.0.113.7",
        ),
        Case(
            "a Cyrillic letter in the domain",
            "Mutuelle Lavande <contact@xn--mutuelle-lvande-3lm.example>",
            "Votre mot de passe expire aujourd'hui",
            "Bonjour,\n\nVotre mot de passe expire aujourd'hui. Identifiez-vous : https://xn--mutuelle-lvande-3lm.example/login\n",
            "contact@xn--mutuelle-lvande-3lm.example",
            "203.0.113.8",
        ),
        Case(
            "a lure that knows the social-security number",
            "Assurance Santé Nationale <dossier@courrier-rapide.test>",
            "Fuite de données : vérifiez votre dossier",
            "Madame Jeanne Moreau, n° de sécurité sociale 2 69 05 49 588 157 80,\n\nÀ la suite de la fuite de données, vérifiez d'urgence vos "
            "informations personnelles sous 24 h, faute de quoi vos droits seront suspendus :\nhttps://courrier-rapide.test/verification\n",
            "dossier@courrier-rapide.test",
            "203.0.113.9",
        ),
        Case(
            "the insurer's exact address, without its authentication",
            "Mutuelle Lavande <contact@mutuelle-lavande.example>",
            "Action requise : votre couverture prend fin",
            "Bonjour,\n\nVotre couverture prend fin ce soir. Réactivez votre contrat : https://courrier-rapide.test/contrat\n\nMutuelle Lavande\n",
            "contact@mutuelle-lavande.example",
            "203.0.113.9",
        ),
        Case(
            "an address of the insurer shown as a name",
            '"contact@mutuelle-lavande.example" <x91@courrier-rapide.test>',
            "Document à signer",
            "Bonjour,\n\nUn document vous attend : https://courrier-rapide.test/d/91\n",
            "x91@courrier-rapide.test",
            "203.0.113.9",
        ),
    )
