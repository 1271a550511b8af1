"""Claims: what each place of a mail says about who wrote it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.identity import claims
from milter.identity.collect import collect
from milter.identity.registry import Registry
from milter.model.address import Address, Author, AuthorKind
from milter.model.evidence import Claim, Match, Place, Strength
from milter.model.limits import Limits
from milter.model.mail import Envelope
from milter.model.message import Message, Words
from milter.text.domains import parse_domain

LAVANDE = "mutuelle-lavande"


def address(name: str, written: str) -> Address:
    """A mailbox as the parser gives it."""
    local, _, domain = written.rpartition("@")
    return Address(local, parse_domain(domain), name, written)


def message(
    name: str = "Claire Petit",
    written: str = "claire@courriel.test",
    *more: Address,
    subject: str = "",
    own: str = "",
    signature: str = "",
    quoted: str = "",
    reply_to: tuple[Address, ...] = (),
    sender: Address | None = None,
) -> Message:
    """A parsed mail of one author (and more candidates)."""
    author = Author(AuthorKind.SEVERAL if more else AuthorKind.ONE, (address(name, written), *more))
    return Message(b"", (), 0, author, subject, sender, reply_to, words=Words(own, quoted, signature))


def found(registry: Registry, mail: Message, envelope: Envelope | None = None) -> dict[Place, tuple[str, str]]:
    """Insurer and strength by place."""
    return {claim.place: (claim.insurer, claim.strength.value) for claim in collect(mail, envelope or Envelope(), registry, Limits())}


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("Mutuelle Lavande", "strong"),
        ("MUTUELLE LAVANDE - Service Adhérents", "strong"),
        ("Votre Mutuelle Lavande", "strong"),
        ("Mutuelle Lavande SA", "strong"),
        ("Lavande Santé", "strong"),
        ("M u t u e l l e  L a v a n d e", "strong"),
        ("Mutuеlle Lаvande", "strong"),
        ("Jean Dupont (Mutuelle Lavande)", "strong"),
        ("Mutuelle Lavande via Docusign", "strong"),
        ("Parapheur en ligne de la part de Mutuelle Lavande", "strong"),
        ("contact@mutuelle-lavande.example", "strong"),
        ("www.mutuelle-lavande.example", "strong"),
        ("remboursement-mutuelle-lavande.test", "strong"),
        ("Anne-Charlotte de Montgolfier, Mutuelle Lavande", "medium"),
        ("Lavande", "weak"),
    ],
)
def test_a_display_name_that_is_the_insurer_claims(invented: Registry, name: str, strength: str) -> None:
    """The brand as most of the name, after `via`, spaced out, in other letters or as an address: a claim; a lone plant: a weak one."""
    assert found(invented, message(name))[Place.DISPLAY_NAME] == (LAVANDE, strength)


@pytest.mark.parametrize(
    "name",
    [
        "Claire Petit",
        "Alizée Martin",
        "Marie Lavande",
        "Ville d'Opale",
        "Journal Santé",
        "Fleurs de lavande",
        "Docteur Boréal",
        "La mutuelle de demain",
        "info",
        "",
    ],
)
def test_people_and_neighbours_claim_nothing(invented: Registry, name: str) -> None:
    """First names, towns, newspapers and plants in a display name are no claim."""
    assert found(invented, message(name)) == {}


FIRST_NAMES = (
    *("Alan", "April", "Gan", "Mage", "Just", "Garance", "Juste", "Amélie", "Amélia", "Avril", "Magnolia", "Fidélia", "Alain"),
    *("Axel", "Maxance", "Marsh", "Aline", "Camille", "Max", "Génération"),
)
TOWNS = (
    *("Agen", "Axat", "Lyon", "Paris", "Poitiers", "Le Mans", "Niort", "Chartres", "Corse", "la Réunion", "Maisons-Alfort"),
    *("Carmaux", "Saint-Martin", "Amélie-les-Bains"),
)


@pytest.mark.parametrize("name", [f"{first} Durand" for first in FIRST_NAMES] + [f"Mairie de {town}" for town in TOWNS])
def test_french_people_and_towns_claim_nothing(french: Registry, name: str) -> None:
    """No first name and no town hall presents itself as an insurer."""
    assert found(french, message(name)) == {}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("contact@mutuelle-lavande.example", ("strong", Match.OFFICIAL)),
        ("contact@news.mutuelle-lavande.example", ("strong", Match.OFFICIAL)),
        ("contact@lavande-et-moi.example", ("strong", Match.OFFICIAL)),
        ("contact@mutuelle-lavende.example", ("strong", Match.LOOKALIKE)),
        ("contact@lavande.test", ("weak", Match.WEAK)),
        ("contact@prevoyance-lavande.example", ("weak", Match.NONE)),
    ],
)
def test_the_author_domain_claims(invented: Registry, written: str, expected: tuple[str, Match]) -> None:
    """An official or a lookalike domain claims strongly, a doubtful or a legacy one weakly; match and domain are told."""
    claim = next(claim for claim in collect(message("Claire Petit", written), Envelope(), invented, Limits()) if claim.place is Place.FROM_DOMAIN)
    assert (claim.strength.value, claim.match) == expected
    assert claim.insurer == LAVANDE
    assert claim.domain == parse_domain(written.rpartition("@")[2])
    assert claim.quote == written


def test_a_shared_portal_claims_nothing(invented: Registry) -> None:
    """A host that serves several mutuelles says nothing about which one writes."""
    assert found(invented, message("Espace adhérent", "ne-pas-repondre@portail-adherents.example")) == {}


@pytest.mark.parametrize(
    ("written", "strength"),
    [
        ("mutuelle.lavande@courriel.test", "medium"),
        ("mutuelle-lavande-service@courriel.test", "medium"),
        ("mutualizee.durand-lefebvre@courriel.test", "weak"),
    ],
)
def test_a_local_part_claims(invented: Registry, written: str, strength: str) -> None:
    """The brand before the @ of a stranger's domain claims; beside a person's name it is weak."""
    assert found(invented, message(written=written))[Place.LOCAL_PART][1] == strength


def test_an_insurers_own_address_says_it_once(invented: Registry) -> None:
    """mutuelle-lavande@mutuelle-lavande.example makes no second claim, and a first name before the @ makes none."""
    assert Place.LOCAL_PART not in found(invented, message(written="mutuelle-lavande@mutuelle-lavande.example"))
    assert found(invented, message(written="alizee@courriel.test")) == {}


@pytest.mark.parametrize(
    ("subject", "strength"),
    [
        ("Mutuelle Lavande : votre remboursement est prêt", "medium"),
        ("Votre carte de tiers payant Mutuelle Lavande", "medium"),
        ("Information importante Mutuelle Lavande", "medium"),
        ("Que penses-tu de la Mutuelle Lavande ?", "weak"),
        ("RE: Mutuelle Lavande : votre dossier", "weak"),
        ("TR : Mutuelle Lavande", "weak"),
    ],
)
def test_a_subject_presents_or_mentions(invented: Registry, subject: str, strength: str) -> None:
    """A subject that opens with the brand or speaks to `you` presents; an answer, or a sentence about it, mentions."""
    assert found(invented, message(subject=subject))[Place.SUBJECT] == (LAVANDE, strength)


def test_letterhead_signature_and_mention(invented: Registry) -> None:
    """The brand alone on a first or closing line presents; within a sentence it is mentioned; quoted words claim nothing."""
    lines = ["Mutuelle Lavande", "Bonjour,", *["Du texte."] * 8, "Cordialement,", "Service adhérents Mutuelle Lavande"]
    assert found(invented, message(own="\n".join(lines))) == {Place.BODY: (LAVANDE, "medium"), Place.SIGNATURE: (LAVANDE, "medium")}
    assert found(invented, message(own="Bonjour,\n\nje suis à la Mutuelle Lavande depuis dix ans, et toi ?"))[Place.BODY] == (LAVANDE, "weak")
    assert found(invented, message(own="Bonjour", signature="Jeanne Moreau\nMutuelle Lavande")) == {Place.SIGNATURE: (LAVANDE, "medium")}
    assert found(invented, message(own="Voir plus bas.", quoted="Mutuelle Lavande\nVotre remboursement")) == {}


def test_a_colleague_merely_mentions(invented: Registry) -> None:
    """A person's mail about an insurer holds only weak claims."""
    mail = message(
        "Claire Petit", "claire.petit@courriel.test", subject="ta question", own="Je suis à la Mutuelle Lavande, ils remboursent bien.\nClaire"
    )
    assert {strength for _, strength in found(invented, mail).values()} == {"weak"}


def test_reply_to_and_sender_claim_less(invented: Registry) -> None:
    """The brand in Reply-To or Sender is at most medium, but a lookalike domain there stays strong."""
    mail = message(reply_to=(address("Mutuelle Lavande", "x@courriel.test"),), sender=address("", "a@mutuelle-lavande.example"))
    assert found(invented, mail) == {Place.REPLY_TO: (LAVANDE, "medium"), Place.SENDER: (LAVANDE, "medium")}
    mail = message(reply_to=(address("", "x@mutuelle-lavende.example"),))
    assert found(invented, mail) == {Place.REPLY_TO: (LAVANDE, "strong")}


def test_an_envelope_of_a_lookalike_claims(invented: Registry) -> None:
    """MAIL FROM at a lookalike is a claim; at an official domain it is not, for bounces and forwarders carry it."""
    assert found(invented, message(), Envelope("retour@mutuelle-lavende.example")) == {Place.SENDER: (LAVANDE, "medium")}
    assert found(invented, message(), Envelope("retour@mutuelle-lavande.example")) == {}
    assert found(invented, message(), Envelope("")) == {}


def test_every_candidate_author_is_looked_at(invented: Registry) -> None:
    """When mail programs may show different authors, each of them claims."""
    mail = message("Claire Petit", "claire@courriel.test", address("Boréal Assurances", "x@courriel.test"))
    assert found(invented, mail)[Place.DISPLAY_NAME] == ("boreal-assurances", "strong")


def test_one_claim_for_each_insurer_and_place_strongest_first(invented: Registry) -> None:
    """Several hints of one place count once, by the strongest; two insurers are two claims; the limit holds."""
    mail = message("Mutuelle Lavande, Boréal Assurances", "contact@mutuelle-lavende.example", subject="Avis sur la Mutuelle Lavande")
    made = collect(mail, Envelope(), invented, Limits())
    keys = [(claim.insurer, claim.place) for claim in made]
    assert len(keys) == len(set(keys))
    assert [claim.strength.rank for claim in made] == sorted((claim.strength.rank for claim in made), reverse=True)
    assert len(collect(mail, Envelope(), invented, Limits(claims=1))) == 1


def test_a_quote_is_one_short_line() -> None:
    """At most 120 characters, without line ends or runs of blanks."""
    assert claims.quote("a\r\n  b\t" + "c" * 500) == "a b " + "c" * 116


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=120), local=st.text(max_size=30), subject=st.text(max_size=120), own=st.text(max_size=200))
def test_any_mail_can_be_read(french: Registry, name: str, local: str, subject: str, own: str) -> None:
    """Invariant: nothing raises and every quote is short, whatever stands in the mail."""
    mail = message(name, f"{local}@courriel.test", subject=subject, own=own, signature=own)
    for claim in collect(mail, Envelope(local), french, Limits()):
        assert isinstance(claim, Claim)
        assert len(claim.quote) <= claims.QUOTE
        assert claim.strength in Strength


@pytest.mark.parametrize(
    "name", ["Mutuelle Lavande " * 600, "a@b." * 2_500, "\u202e" * 10_000, "via " * 2_500, "M u " * 2_500, "x." * 5_000, "é́" * 5_000]
)
def test_fifty_hostile_names_are_quick(invented: Registry, name: str) -> None:
    """Fifty display names of 10,000 characters cost less than two seconds."""
    mail = message(name, "x@courriel.test", *(address(name, "x@courriel.test") for _ in range(49)), subject=name, own=name * 10)
    started = time.process_time()
    collect(mail, Envelope(), invented, Limits())
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("name", "subject", "strength"),
    [
        ("Service Remboursements", "Mutuelle Lavande : votre dossier", "strong"),
        ("Espace adhérent", "Votre dossier Mutuelle Lavande", "strong"),
        ("Service RH", "Mutuelle Lavande : votre affiliation", "medium"),
        ("Newsletter", "Mutuelle Lavande : les résultats", "medium"),
        ("Claire Petit", "Mutuelle Lavande : les résultats", "medium"),
        ("", "Mutuelle Lavande : les résultats", "medium"),
        ("Service clients", "Re: Mutuelle Lavande", "weak"),
    ],
)
def test_a_desk_of_nobody_leaves_it_to_the_subject(invented: Registry, name: str, subject: str, strength: str) -> None:
    """An author who gives no name but that of a desk is named by his subject; personnel and press speak for themselves."""
    assert found(invented, message(name, subject=subject))[Place.SUBJECT] == (LAVANDE, strength)


@pytest.mark.parametrize(
    ("name", "written", "subject", "own", "strength"),
    [
        ("Lavande", "info@courriel.test", "Votre remboursement de mutuelle", "", "medium"),
        ("LAVANDE", "info@courriel.test", "Bonjour", "Votre mutuelle et vos cotisations", "medium"),
        ("L'équipe Lavande", "info@courriel.test", "Votre remboursement de mutuelle", "", "medium"),
        ("Lavande", "lavande@courriel.test", "Votre mutuelle", "", "weak"),
        ("Lavande", "info@lavande-bio.test", "Votre assurance", "", "weak"),
        ("Lavande", "info@courriel.test", "Soldes", "Ne manquez pas nos soldes, livraison sous assurance", "weak"),
        ("Mutuelle Lavnade", "info@courriel.test", "Bonjour", "", "medium"),
        ("Stade Mutuelle Lavande", "info@courriel.test", "Vos places", "", "weak"),
        ("CSE Mutuelle Lavande", "info@courriel.test", "Voyages", "", "weak"),
    ],
)
def test_doubtful_display_names(invented: Registry, name: str, written: str, subject: str, own: str, strength: str) -> None:
    """A lone doubtful name claims in a mail about insurance unless it is the sender's own; a slip claims; a stadium mentions."""
    assert found(invented, message(name, written, subject=subject, own=own))[Place.DISPLAY_NAME] == (LAVANDE, strength)


@pytest.mark.parametrize(
    ("own", "strength"),
    [
        ("Bonjour,\nvoici votre dossier.\nMutuelle Lavande", "medium"),
        ("Bonjour,\nvoici votre dossier.\nConseillère Mutuelle Lavande", "medium"),
        ("Bonjour,\nvoici votre dossier.\nCordialement, Mutuelle Lavande", "medium"),
        ("Bonjour,\nMutuelle Lavande relève ses tarifs.\nLire l'article", "weak"),
    ],
)
def test_short_letters_are_signed(invented: Registry, own: str, strength: str) -> None:
    """The last lines of a short letter sign it too; a sentence does not."""
    assert found(invented, message(own=own))[Place.SIGNATURE] == (LAVANDE, strength)


def test_who_lists_insurers_is_none(invented: Registry) -> None:
    """Three insurers below a letter are partners or a comparison, not its signature."""
    seen = collect(message(own="Partenaires :\nMutuelle Lavande\nBoréal Assurances\nMut'Alizée"), Envelope(), invented, Limits())
    assert {claim.strength for claim in seen if claim.place is Place.SIGNATURE} == {Strength.WEAK}


def test_a_desk_of_nobody_leaves_it_to_the_domain(invented: Registry) -> None:
    """A domain that resembles an insurer's faintly is a strong claim only where the author gives no name."""
    assert found(invented, message("Claire Petit", "c@lavande.test"))[Place.FROM_DOMAIN] == (LAVANDE, "weak")
    assert found(invented, message("Service clients", "c@lavande.test"))[Place.FROM_DOMAIN] == (LAVANDE, "strong")


def test_an_address_may_be_a_desk_too(invented: Registry) -> None:
    """Without a display name the local part says whether the author has a name."""
    assert found(invented, message("", "ne-pas-repondre@courriel.test", subject="Mutuelle Lavande : remboursement"))[Place.SUBJECT][1] == "strong"


def test_a_bare_forward_is_signed_by_somebody_else(invented: Registry) -> None:
    """What is forwarded without a word of one's own is another's letter, whoever signed it; a letter is no forward by its subject alone."""
    letter = "Bonjour,\nvotre relevé est prêt.\nMutuelle Lavande"
    forward = "---------- Forwarded message ---------\nDe : Mutuelle Lavande <a@mutuelle-lavande.example>\n\n" + letter
    assert Place.SIGNATURE not in found(invented, message(subject="Fwd: Votre relevé", own=forward))
    assert Place.SIGNATURE in found(invented, message(subject="Fwd: Votre relevé", own=letter))
