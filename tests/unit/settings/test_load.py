"""Settings files: what is read, and which problems are reported together."""

from __future__ import annotations

import pytest

from milter.errors import SettingsError
from milter.settings import load, reference
from milter.settings.check import Known
from milter.settings.model import Settings

KNOWN = Known(
    ("observe", "quarantine", "tag"),
    ("example", "fr"),
    folder="/site",
    is_file=lambda path: path == "/site/own.yml",
    is_folder=lambda path: path == "/site/rules",
)


def read(text: str) -> Settings:
    """The settings of a text."""
    return load.load(text.encode(), "s.yml", KNOWN)


def problems(text: str) -> list[str]:
    """Every problem of a text, as printed."""
    with pytest.raises(SettingsError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_file_gives_the_defaults() -> None:
    """Nothing needs to be set."""
    assert read("") == Settings()


def test_the_first_settings_by_their_names() -> None:
    """Every key of the contract is taken under its name."""
    settings = read(
        'hostname: mx.example.org\nsmtp: {listen: ["127.0.0.1:10025"], next_hop: "127.0.0.1:10026", trusted_peers: ["127.0.0.1", "::1"]}\n'
        'dns: {resolvers: ["127.0.0.1:53"]}\npolicy: tag\nregistry: [fr]\ndata_dir: /var/lib/insurer-milter\n'
    )
    assert (settings.hostname, settings.policy, settings.dns.resolvers) == ("mx.example.org", "tag", ("127.0.0.1:53",))


def test_relative_paths_start_at_the_folder_of_the_file() -> None:
    """A path in the settings means the same wherever the command is started."""
    settings = read("policy: ./own.yml\nregistry: [fr, own.yml]\nrules: [rules]\ndata_dir: data\n")
    assert settings.policy == "/site/own.yml"
    assert settings.registry == ("fr", "/site/own.yml")
    assert settings.rules == ("/site/rules",)
    assert settings.data_dir == "/site/data"


def test_problems_of_type_and_of_meaning_come_together_in_file_order() -> None:
    """One run shows everything there is to repair."""
    assert problems('hostnme: a\nsmtp: {max_octets: many, next_hop: "127.0.0.1"}\npolicy: obsrve\n') == [
        "s.yml:1:1: hostnme: unknown key; did you mean `hostname`?",
        "s.yml:2:20: smtp.max_octets: should be a whole number, not 'many'",
        "s.yml:2:36: smtp.next_hop: the port is missing: write `127.0.0.1:PORT`",
        "s.yml:3:9: policy: unknown policy 'obsrve'; did you mean `observe`?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('smtp: {listen: ["localhost:25"]}', "s.yml:1:17: smtp.listen[0]: listen on an IP address, not on a name: 'localhost'"),
        ('smtp: {listen: ["127.0.0.1:0"]}', "s.yml:1:17: smtp.listen[0]: the port must be a number from 1 to 65535, not '0'"),
        ('smtp: {listen: ["::1"]}', "s.yml:1:17: smtp.listen[0]: the port is missing: write `[::1]:PORT`"),
        ('smtp: {listen: ["::1:10025"]}', "s.yml:1:17: smtp.listen[0]: an IPv6 address with a port is written `[ADDRESS]:PORT`"),
        ('smtp: {listen: ["[::1]:10025"]}', None),
        ('smtp: {listen: ["[::1:10025"]}', "s.yml:1:17: smtp.listen[0]: an IPv6 address with a port is written `[ADDRESS]:PORT`"),
        (
            'smtp: {next_hop: "mail_hub:25"}',
            "s.yml:1:18: smtp.next_hop: not a host name: 'mail_hub' (letters, digits and hyphens, separated by dots)",
        ),
        ('smtp: {next_hop: "300.1.1.1:25"}', "s.yml:1:18: smtp.next_hop: not an IP address or host name: '300.1.1.1:25'"),
        ('smtp: {next_hop: "0.0.0.0:25"}', "s.yml:1:18: smtp.next_hop: 0.0.0.0 is an address to listen on; name the machine that takes the mail"),
        (
            'dns: {resolvers: ["resolver.example"]}',
            "s.yml:1:19: dns.resolvers[0]: a resolver is an IP address, with or without `:PORT`, not the name 'resolver.example'",
        ),
        ('dns: {resolvers: ["2001:db8::53"]}', None),
        ("dns: {timeout_seconds: inf}", "s.yml:1:24: dns.timeout_seconds: must be from 0.1 to 60, not 'inf'"),
        ("limits: {links: 0}", "s.yml:1:17: limits.links: must be from 1 to 50_000, not '0'"),
        ("hostname: mx example", "s.yml:1:11: hostname: not a host name: 'mx example' (letters, digits and hyphens, separated by dots)"),
        ("registry: [de]", "s.yml:1:12: registry[0]: unknown registry 'de'; known: example, fr; or the path of a file"),
        ("policy: ../other.yml", "s.yml:1:9: policy: no such policy file: /other.yml"),
        ("rules: [nowhere]", "s.yml:1:9: rules[0]: no such folder: /site/nowhere"),
        ('smtp: {trusted_peers: ["192.0.2.7/24"]}', "s.yml:1:24: smtp.trusted_peers[0]: the network has host bits set; did you mean `192.0.2.0/24`?"),
        ("on_failure: drop", "s.yml:1:13: on_failure: should be 'pass' or 'defer', not 'drop'"),
        ("worker: 4", "s.yml:1:1: worker: unknown key; did you mean `workers`?"),
    ],
)
def test_one_problem_one_message(text: str, message: str | None) -> None:
    """Each wrong value is named with its place and what to write instead."""
    if message is None:
        read(text)
        return
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    ("listen", "next_hop"),
    [
        ("127.0.0.1:10025", "127.0.0.1:10025"),
        ("127.0.0.1:10025", "localhost:10025"),
        ("0.0.0.0:10025", "127.0.0.1:10025"),
        ("[::]:10025", "[::1]:10025"),
        ("[::1]:10025", "localhost:10025"),
    ],
)
def test_a_next_hop_that_is_our_own_address_is_a_loop(listen: str, next_hop: str) -> None:
    """Mail that would go round in a circle is refused before the first mail."""
    found = problems(f'smtp:\n  listen: ["{listen}"]\n  next_hop: "{next_hop}"\n')
    assert found == [f"s.yml:3:13: smtp.next_hop: {next_hop} is our own address in `smtp.listen`: mail would go round in a circle"]


def test_the_default_next_hop_may_be_the_loop() -> None:
    """Defaults count for the loop too."""
    assert problems('smtp: {listen: ["127.0.0.1:10026"]}') == [
        "s.yml:1:16: smtp.listen: 127.0.0.1:10026 is our own address in `smtp.listen`: mail would go round in a circle"
    ]


def test_listening_twice_on_one_address() -> None:
    """The second copy of an address is named."""
    assert problems('smtp: {listen: ["127.0.0.1:1025", "127.0.0.1:1025"]}') == [
        "s.yml:1:35: smtp.listen[1]: listens on 127.0.0.1:1025 twice; remove one"
    ]


def test_the_settings_in_force_load_again() -> None:
    """`settings show` prints a file that means the same."""
    settings = read("hostname: mx.example.org\npolicy: tag\nlimits: {links: 7}\ndns: {timeout_seconds: 2.5}\n")
    assert read(reference.in_force(settings)) == settings
