"""Fraud that comes through a real Postfix: held and released, or tagged; the sender hears 250 and the octets survive."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.daemons import trace
from tests.daemons.gateway import FlatDns, Gateway, serving
from tests.daemons.stand import CLIENT, Postfix, free_ports
from tests.helpers.smtp_client import SmtpClient

pytestmark = [pytest.mark.daemons]

SUBJECT = "Remboursement en attente : 87,95 EUR"
# Awkward on purpose: a long line, blanks at line ends, 8-bit text, a dot alone would end it.
FRAUD = (
    "From: Mutuelle Lavande <service@clients-info.test>\r\n"
    "To: jeanne@insured.example\r\n"
    f"Subject: {SUBJECT}\r\n"
    "Message-ID: <fraud-1@clients-info.test>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    "Cher adhérent,  \r\n"
    "\r\n"
    "Un remboursement est en attente. Confirmez vos coordonnées bancaires sous 48 heures :\r\n"
    "https://clients-info.test/confirmation\r\n"
    ".\r\n"
    f"{'long ' * 300}\r\n"
    "Sans réponse, votre dossier sera clôturé.\t\r\n"
    "Mutuelle Lavande\r\n"
).encode()


async def send(postfix: Postfix, local: str) -> int:
    """Send the fraud through the front to `local`; the code of the final reply."""
    async with await SmtpClient.connect(postfix.front, source=CLIENT, helo="mail.clients-info.test") as client:
        outcome = await client.send("service@clients-info.test", [f"{local}@insured.example"], FRAUD, parameters=" BODY=8BITMIME")
    return outcome.code


class TestQuarantine:
    """With the policy `quarantine`."""

    @pytest.fixture
    def gate(self, postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
        """A gateway that holds fraud back, knowing the invented insurers."""
        folder = tmp_path_factory.mktemp("quarantine")
        with serving(folder, postfix.gateway, next_hop=postfix.back, dns=calm_dns.port, policy="quarantine", registry=["example"]) as gateway:
            yield gateway

    async def test_fraud_is_held_and_released_as_it_came(self, postfix: Postfix, gate: Gateway) -> None:
        """Postfix gets 250 and delivers nothing; the list shows the mail; a release delivers its octets with the verdict in front."""
        assert await send(postfix, "held") == 250
        postfix.quiet()
        assert postfix.delivered("held") == {}

        (entry,) = [json.loads(line) for line in gate.command("quarantine", "list", "--json").splitlines()]
        assert (entry["state"], entry["verdict"], entry["insurer"]) == ("held", "impersonation", "mutuelle-lavande")
        assert "held@" not in json.dumps(entry)

        gate.command("quarantine", "release", entry["id"])
        (octets,) = postfix.settle("held", 1)["held"]
        arrived = trace.split(octets)
        assert arrived.mail == FRAUD.replace(b"\r\n", b"\n")
        assert arrived.action == "quarantine"
        assert arrived.values("X-Insurer-Milter-Reason")
        (after,) = [json.loads(line) for line in gate.command("quarantine", "list", "--json").splitlines()]
        assert after["state"] == "released"

    async def test_a_held_mail_survives_the_gateway(self, postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> None:
        """What was answered with 250 is still there after the gateway was killed without warning."""
        folder = tmp_path_factory.mktemp("killed")
        with serving(folder, free_ports(1)[0], next_hop=postfix.back, dns=calm_dns.port, policy="quarantine", registry=["example"]) as gateway:
            async with await SmtpClient.connect(gateway.port) as client:
                outcome = await client.send("service@clients-info.test", ["killed@insured.example"], FRAUD)
                assert outcome.code == 250
                gateway.process.kill()
            gateway.process.wait(10)
            (entry,) = [json.loads(line) for line in gateway.command("quarantine", "list", "--json").splitlines()]
            assert entry["state"] == "held"
            assert entry["octets"] == len(FRAUD)


class TestTag:
    """With the policy `tag`."""

    @pytest.fixture
    def gate(self, postfix: Postfix, calm_dns: FlatDns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
        """A gateway that tags fraud."""
        with serving(
            tmp_path_factory.mktemp("tag"), postfix.gateway, next_hop=postfix.back, dns=calm_dns.port, policy="tag", registry=["example"]
        ) as gateway:
            yield gateway

    async def test_a_tagged_mail_changes_its_subject_alone(self, postfix: Postfix, gate: Gateway) -> None:
        """The delivered mail bears the tag in front of its old subject; every other octet is the sender's."""
        assert await send(postfix, "tagged") == 250
        (octets,) = postfix.settle("tagged", 1)["tagged"]
        arrived = trace.split(octets)
        assert arrived.action == "tag"
        want = FRAUD.replace(b"\r\n", b"\n")
        old = f"Subject: {SUBJECT}\n".encode()
        before, _, after = want.partition(old)
        assert arrived.mail.startswith(before)
        assert arrived.mail.endswith(after)
        subject = arrived.mail[len(before) : len(arrived.mail) - len(after)].decode()
        assert subject == f"Subject: [Usurpation ? Mutuelle Lavande] {SUBJECT}\n"
