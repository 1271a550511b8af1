"""The author's own words, what he quotes, and the signature below."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.mime.words import split


@pytest.mark.parametrize(
    "introduction",
    [
        "Le lun. 2 mars 2026 à 09:00, Jean Dupont <jean@recipient.test> a écrit :",
        "Le 2 mars 2026 à 09:00, Jean Dupont <jean@recipient.test> a\nécrit :",
        "On Mon, Mar 2, 2026 at 9:00 AM Jean Dupont <jean@recipient.test> wrote:",
        "On Mon, Mar 2, 2026 at 9:00 AM Jean Dupont\n<jean@recipient.test> wrote:",
        "Am 02.03.2026 um 09:00 schrieb Jean Dupont:",
        "-----Message d'origine-----",
        "-----Message d’origine-----",
        "-----Original Message-----",
        "-------- Message transféré --------",
        "---------- Forwarded message ---------",
        "-----Ursprüngliche Nachricht-----",
        "Début du message transféré :",
        "Begin forwarded message:",
        "________________________________\nDe : Jean\nEnvoyé : lundi\nÀ : Marie",
        "De : Jean Dupont\nEnvoyé : lundi 2 mars 2026 09:00\nÀ : Marie\nObjet : carte",
        "From: Jean Dupont\nSent: Monday\nTo: Marie\nSubject: card",
        "Von: Jean Dupont\nGesendet: Montag\nAn: Marie\nBetreff: Karte",
        "*De :* Jean Dupont\n*Date :* lundi\n*À :* Marie",
    ],
)
def test_what_follows_an_introduction_is_quoted(introduction: str) -> None:
    """French, English and German mail programs mark an answer or a forward; from there on nothing is the author's own."""
    words = split(f"Merci de regarder.\n\n{introduction}\n\nVotre carte expire.\n")
    assert words.own.splitlines()[0] == "Merci de regarder."
    assert "Votre carte expire." not in words.own
    assert "Votre carte expire." in words.quoted


def test_marked_lines_are_quoted_and_the_rest_is_not() -> None:
    """Answers between marked lines stay the author's own."""
    words = split("Le 2 mars 2026, Jean a écrit :\n> Une question ?\n> Deux ?\n\nUne réponse.\n> Trois ?\nEncore.")
    assert words.own == "Une réponse.\nEncore."
    assert words.quoted.splitlines()[1:] == ["> Une question ?", "> Deux ?", "> Trois ?"]


@pytest.mark.parametrize(
    "text",
    [
        "Il a écrit : bonjour.",
        "Voici ce que le médecin a écrit :\nrien de grave",
        "De : quoi parle-t-on ?\nDe rien.",
        "Liste -- de choses\n- un\n- deux",
        "a > b",
        "Horaires :\n9 h",
        "Titre\n________________________________\nSuite",
        "Titre\n--------------------------------\nSuite",
    ],
)
def test_ordinary_sentences_open_no_quote(text: str) -> None:
    """Words that also introduce quotes are ordinary words elsewhere."""
    assert split(text).quoted == ""


def test_a_mail_that_quotes_only_is_read_as_own() -> None:
    """A fraud cannot hide behind a quote mark: without own words, the quote is the message."""
    words = split("-----Message d'origine-----\nVotre carte expire.\n")
    assert (words.own, words.quoted) == ("-----Message d'origine-----\nVotre carte expire.", "")


@pytest.mark.parametrize(
    "closing",
    [
        "Cordialement,",
        "Bien cordialement",
        "Cordialement, votre conseiller",
        "Sincères salutations.",
        "Bien à vous,",
        "Kind regards,",
        "Best regards",
        "Yours sincerely,",
        "Mit freundlichen Grüßen",
        "Viele Grüße",
        "-- ",
        "--",
        "Nous vous prions d'agréer, Madame, l'expression de nos salutations distinguées.",
    ],
)
def test_what_stands_below_a_closing_is_the_signature(closing: str) -> None:
    """The sign of RFC 3676 or a closing formula of the three languages starts the signature."""
    words = split(f"Bonjour,\n\nVotre dossier est complet.\n\n{closing}\n\nService Prestations\nMutuelle Lune")
    assert words.signature == "Service Prestations\nMutuelle Lune"
    assert words.own.startswith("Bonjour,")
    assert words.own.endswith(closing.strip())


def test_a_closing_at_the_top_hides_nothing() -> None:
    """Only some lines below a closing are signature; more is the author's own text."""
    words = split("Cordialement,\nLune\n" + "\n".join(f"ligne {number}" for number in range(40)))
    assert "ligne 39" in words.own
    assert "Lune" in words.signature


def test_line_ends_of_all_kinds() -> None:
    """CRLF, LF and CR end lines."""
    assert split("a\r\n> b\r> c\nd").own == "a\nd"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["> x", "a écrit :", "Le 2 mars", "-- ", "Cordialement", "De : x", "À : y", "Objet : z", "----", "", "mot", "İ"]), max_size=15
    )
)
def test_no_word_gets_lost(lines: list[str]) -> None:
    """For any lines: each line with text is in exactly one of the three."""
    words = split("\n".join(lines))
    found = [line.strip() for text in (words.own, words.quoted, words.signature) for line in text.splitlines() if line.strip()]
    assert sorted(found) == sorted(line.strip() for line in lines if line.strip())
