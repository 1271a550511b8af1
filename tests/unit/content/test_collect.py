"""What a mail wants: its links seen from the author and the registry, personal data, attachments, forms."""

from __future__ import annotations

from typing import ClassVar

import pytest

from milter.content.collect import collect
from milter.mime.message import parse
from milter.model.domain import Domain
from milter.model.evidence import ContentFacts, DomainMatch, LinkFact, Match
from milter.model.limits import Limits

LIMITS = Limits()


class Matcher:
    """A registry of one insurer and the names that imitate it."""

    KNOWN: ClassVar = {
        "lune.example": (Match.OFFICIAL, "lune"),
        "lune-sante.test": (Match.LOOKALIKE, "lune"),
        "clair.test": (Match.WEAK, "lune"),
    }

    def match(self, domain: Domain) -> DomainMatch:
        """The relation of the name, or of the name above it."""
        for name, (match, insurer) in self.KNOWN.items():
            if domain.is_within(Domain(name)):
                return DomainMatch(domain, match, insurer)
        return DomainMatch(domain)


def facts(body: str, *, author: str = "jean@courtier.example", limits: Limits = LIMITS) -> ContentFacts:
    """What an HTML mail of this author wants."""
    raw = f"From: <{author}>\r\nSubject: Dossier\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()
    return collect(parse(raw, limits), Matcher(), limits, claimed=True)


def one(body: str, *, author: str = "jean@courtier.example") -> LinkFact:
    """The only link."""
    links = facts(body, author=author).links
    assert len(links) == 1
    return links[0]


@pytest.mark.parametrize(
    ("host", "author", "relation", "insurer"),
    [
        ("www.courtier.example", "jean@courtier.example", "sender", None),
        ("www.lune.example", "jean@courtier.example", "official", "lune"),
        ("www.lune.example", "contact@lune.example", "official", "lune"),
        ("www.lune-sante.test", "jean@courtier.example", "lookalike", "lune"),
        ("www.lune-sante.test", "x@lune-sante.test", "lookalike", "lune"),
        ("clair.test", "jean@courtier.example", "weak", "lune"),
        ("clair.test", "jean@clair.test", "sender", "lune"),
        ("autre.test", "jean@courtier.example", "other", None),
        ("a.github.io", "jean@b.github.io", "other", None),
        ("192.0.2.1", "jean@courtier.example", "none", None),
    ],
)
def test_relates_a_link_to_author_and_registry(host: str, author: str, relation: str, insurer: str | None) -> None:
    """The author's own organization is `sender`, but a lookalike stays one whoever writes; an IP address relates to nothing."""
    link = one(f"<a href=https://{host}/x>ici</a>", author=author)
    assert (link.relation, link.insurer) == (relation, insurer)
    assert (link.host is None) == (relation == "none")


def test_without_a_single_author_nothing_is_the_senders() -> None:
    """Two authors have no domain, so no link is theirs."""
    assert one("<a href=https://courtier.example>x</a>", author="a@courtier.example>, <b@autre.test").relation == "other"


@pytest.mark.parametrize(
    ("body", "deceives"),
    [
        ("<a href=https://fraude.test>www.lune.example</a>", True),
        ("<a href=https://fraude.test>https://lune.example/espace</a>", True),
        ("<a href=https://fraude.test>Connexion : lune.example</a>", True),
        ("<a href=https://lune.example@fraude.test>ici</a>", True),
        ("<a href=https://192.0.2.1>lune.example</a>", True),
        ("<a href=https://espace.lune.example>www.lune.example</a>", False),
        ("<a href=https://fraude.test>ici</a>", False),
        ("<a href=https://fraude.test>releve.pdf</a>", False),
        ("<a href=https://fraude.test>jean@lune.example</a>", False),
        ("<a href=https://fraude.test>fin. Le reste</a>", False),
        ("https://fraude.test", False),
    ],
)
def test_sees_a_link_that_shows_another_domain(body: str, deceives: bool) -> None:  # noqa: FBT001  # a table of expected values
    """Visible text or a user name that names another organization than the target deceives."""
    assert one(body).shows_other_domain is deceives


def test_leaves_out_what_no_browser_loads() -> None:
    """Mail addresses, telephone numbers and places in the mail are no links; scripts and data are, without a host."""
    body = "<a href=mailto:a@lune.example>a</a><a href=tel:1>b</a><a href=#x>c</a><a href=data:text/html,x>d</a>"
    links = facts(body).links
    assert [(link.url, link.relation, link.host) for link in links] == [("data:text/html,x", "none", None)]


def test_collects_the_rest() -> None:
    """Own words with the signature, kinds of personal data from quotes too, lower-case file names, forms."""
    raw = (
        "From: <jean@courtier.example>\r\nSubject: =?utf-8?Q?Re=C3=A7u?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Bonjour</p><p style='display:none'>caché</p>"
        "<form action=https://fraude.test></form>"
        "<p>Cordialement</p><p>Jean</p><blockquote>2 69 05 49 588 157 80</blockquote>\r\n"
        "--b\r\nContent-Type: application/pdf; name=RECU.PDF\r\n\r\n%PDF\r\n"
        "--b\r\nContent-Type: application/pdf; name=recu.pdf\r\n\r\n%PDF\r\n--b--\r\n"
    )
    found = collect(parse(raw.encode(), LIMITS), Matcher(), LIMITS, claimed=True)
    assert (found.subject, found.text) == ("Reçu", "Bonjour\nCordialement\nJean")
    assert found.personal_data == {"nir"}
    assert found.attachments == ("recu.pdf",)
    assert found.has_form
    assert [(link.place, str(link.host)) for link in found.links] == [("form", "fraude.test")]


def test_links_are_bounded() -> None:
    """At most `limits.links` facts."""
    assert len(facts("<a href=https://x.test>x</a>" * 9, limits=Limits(links=3)).links) == 3


def test_a_mail_without_a_claim_is_not_read() -> None:
    """Without a claim only the subject is kept; a link to a lookalike is a claim of its own."""
    start = "From: a@writer.test\r\nSubject: s\r\n\r\n2 69 05 49 588 157 80\r\n"
    plain = parse((start + "https://shop.test/\r\n").encode(), LIMITS)
    lookalike = parse((start + "https://lune-sante.test/\r\n").encode(), LIMITS)
    assert collect(plain, Matcher(), LIMITS, claimed=False) == ContentFacts(subject="s")
    assert collect(plain, Matcher(), LIMITS, claimed=True).personal_data == {"nir"}
    found = collect(lookalike, Matcher(), LIMITS, claimed=False)
    assert (found.personal_data, [link.relation for link in found.links]) == (frozenset({"nir"}), ["lookalike"])
