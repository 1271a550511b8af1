"""DNS messages as octets, with dnspython as the oracle."""

from __future__ import annotations

import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milter.adapters import dns_wire
from milter.auth.resolver import Answer, DnsStatus

NUMBER = 0x1234


def response(
    kind: str, *records: tuple[str, str, str], rcode: dns.rcode.Rcode = dns.rcode.NOERROR, soa: str = "", ttl: int = 60
) -> tuple[bytes, bytes]:
    """The octets of a response to a question for a.example, and the question section."""
    query = dns.message.make_query("a.example", kind, use_edns=0, payload=1232, id=NUMBER)
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(rcode)
    for owner, owner_kind, text in records:
        made.answer.append(dns.rrset.from_text(owner, ttl, "IN", owner_kind, text))
    if soa:
        made.authority.append(dns.rrset.from_text("example.", 900, "IN", "SOA", soa))
    name = dns_wire.encode_name("a.example")
    assert name is not None
    return made.to_wire(max_size=65535), dns_wire.write_question(name, kind)


def read(kind: str, octets: bytes, question: bytes, *, most: int = 100) -> Answer:
    """Read a response."""
    assert dns_wire.answers(octets, NUMBER, question)
    return dns_wire.read_answer(octets, question, kind, max_records=most)


@pytest.mark.parametrize("kind", ["TXT", "A", "AAAA", "MX", "PTR"])
def test_queries_are_what_dnspython_reads(kind: str) -> None:
    """A query asks one question with recursion and EDNS of 1,232 octets."""
    name = dns_wire.encode_name("S1._Domainkey.a-b.example.")
    assert name is not None
    message = dns.message.from_wire(dns_wire.write_query(NUMBER, dns_wire.write_question(name, kind)))
    assert (message.id, message.flags, message.payload, message.edns) == (NUMBER, dns.flags.RD, 1232, 0)
    assert message.question[0].to_text() == f"S1._Domainkey.a-b.example. IN {kind}"


def test_case_bits_turn_letters_alone() -> None:
    """The bits of `case` change letters to capitals and nothing else."""
    name = dns_wire.encode_name("a1_z.{~.example")
    assert name is not None
    loud = dns_wire.write_question(name, "A", case=(1 << 8 * len(name)) - 1)
    assert loud[: len(name)] == b"\x04A1_Z\x02{~\x07EXAMPLE\x00"


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "x" * 64 + ".example", ".".join(["abcdefg"] * 33), "é.example", "a b\u2003.example"])
def test_names_that_cannot_exist(name: str) -> None:
    """Names with empty, overlong or non-ASCII labels, or too long as a whole, have no wire form."""
    assert dns_wire.encode_name(name) is None


@pytest.mark.parametrize(
    ("kind", "records", "answer"),
    [
        ("TXT", [("a.example.", "TXT", '"v=spf1 " "-all"'), ("a.example.", "TXT", '"x"')], Answer(DnsStatus.OK, (b"v=spf1 -all", b"x"), (), 60)),
        ("TXT", [("a.example.", "TXT", '""')], Answer(DnsStatus.OK, (b"",), (), 60)),
        ("TXT", [("a.example.", "TXT", '"' + "x" * 255 + '" "\\255"')], Answer(DnsStatus.OK, (b"x" * 255 + b"\xff",), (), 60)),
        ("A", [("a.example.", "A", "192.0.2.1")], Answer(DnsStatus.OK, (), ("192.0.2.1",), 60)),
        ("AAAA", [("a.example.", "AAAA", "2001:db8::1")], Answer(DnsStatus.OK, (), ("2001:db8::1",), 60)),
        ("MX", [("a.example.", "MX", "10 MX.a.example."), ("a.example.", "MX", "0 .")], Answer(DnsStatus.OK, (), ("10 mx.a.example", "0 "), 60)),
        ("PTR", [("a.example.", "PTR", "Host.B.test.")], Answer(DnsStatus.OK, (), ("host.b.test",), 60)),
        ("A", [("a.example.", "CNAME", "B."), ("b.", "CNAME", "c."), ("c.", "A", "192.0.2.2")], Answer(DnsStatus.OK, (), ("192.0.2.2",), 60)),
        ("A", [("a.example.", "CNAME", "b.test."), ("x.test.", "A", "192.0.2.2")], Answer(DnsStatus.NODATA)),
        ("A", [("x.example.", "A", "192.0.2.2")], Answer(DnsStatus.NODATA)),
        ("TXT", [("a.example.", "A", "192.0.2.1")], Answer(DnsStatus.NODATA)),
        ("A", [("a.example.", "CNAME", "b.test."), ("b.test.", "CNAME", "a.example.")], Answer(DnsStatus.MALFORMED)),
    ],
)  # fmt: skip
def test_answers(kind: str, records: list[tuple[str, str, str]], answer: Answer) -> None:
    """Records come as the protocol says, aliases are followed inside the answer, strangers' records are left out."""
    octets, question = response(kind, *records)
    assert read(kind, octets, question) == answer


@pytest.mark.parametrize(
    ("rcode", "soa", "answer"),
    [
        (dns.rcode.NOERROR, "", Answer(DnsStatus.NODATA, ttl=0)),
        (dns.rcode.NOERROR, "ns.example. h.example. 1 2 3 4 300", Answer(DnsStatus.NODATA, ttl=300)),
        (dns.rcode.NXDOMAIN, "ns.example. h.example. 1 2 3 4 5000", Answer(DnsStatus.NXDOMAIN, ttl=900)),
        (dns.rcode.SERVFAIL, "", Answer(DnsStatus.SERVFAIL)),
        (dns.rcode.REFUSED, "", Answer(DnsStatus.REFUSED)),
        (dns.rcode.FORMERR, "", Answer(DnsStatus.SERVFAIL)),
        (dns.rcode.NOTIMP, "", Answer(DnsStatus.SERVFAIL)),
    ],
)
def test_answers_without_records(rcode: dns.rcode.Rcode, soa: str, answer: Answer) -> None:
    """NXDOMAIN, NODATA and each failure are apart; absence lasts as the SOA says (RFC 2308 §5)."""
    octets, question = response("TXT", rcode=rcode, soa=soa)
    assert read("TXT", octets, question) == answer


def test_nxdomain_behind_an_alias() -> None:
    """An alias to a name that does not exist is NXDOMAIN, and lasts no longer than the alias."""
    octets, question = response("A", ("a.example.", "CNAME", "b.test."), rcode=dns.rcode.NXDOMAIN, soa="ns.example. h.example. 1 2 3 4 300")
    assert read("A", octets, question) == Answer(DnsStatus.NXDOMAIN, ttl=60)


def test_too_many_records() -> None:
    """More records than the limit are no answer that anybody should use."""
    octets, question = response("TXT", *[("a.example.", "TXT", f'"{n}"') for n in range(101)])
    assert read("TXT", octets, question).status is DnsStatus.MALFORMED
    assert len(read("TXT", octets, question, most=101).texts) == 101


def test_only_the_very_question_is_answered() -> None:
    """Another id, a query instead of a response, another question or another case of it is no answer."""
    octets, question = response("TXT", ("a.example.", "TXT", '"x"'))
    assert not dns_wire.answers(octets, NUMBER + 1, question)
    assert not dns_wire.answers(octets[:2] + b"\x01" + octets[3:], NUMBER, question)
    assert not dns_wire.answers(octets.replace(b"\x01a\x07example", b"\x01A\x07example", 1), NUMBER, question)
    assert not dns_wire.answers(octets[:11], NUMBER, question)
    assert not dns_wire.answers(octets[:4] + b"\x00\x02" + octets[6:], NUMBER, question)


HEADER = b"\x124\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x07example\x00\x00\x10\x00\x01"


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\xc0",
        b"\xc0\x1b",  # points to itself
        b"\xc0\xff",  # points forward
        b"\x41a",
        b"\x3fa",
        b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x09\x03abc",  # longer than the message
        b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x04\x09abc",  # string longer than the record
        b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x00",  # no string at all
        b"\x01a" * 127 + b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x01\x00",  # name too long
    ],
)
def test_rubbish_is_malformed(rest: bytes) -> None:
    """Looping, forward, overlong and cut names and lengths give MALFORMED."""
    question = HEADER[12:]
    assert read("TXT", HEADER + rest, question) == Answer(DnsStatus.MALFORMED)


def test_ttl_with_the_top_bit_is_zero() -> None:
    """RFC 2181 §8: such a TTL counts as 0."""
    octets = HEADER + b"\xc0\x0c\x00\x10\x00\x01\x80\x00\x00\x01\x00\x02\x01x"
    assert read("TXT", octets, HEADER[12:]) == Answer(DnsStatus.OK, (b"x",), (), 0)


SAMPLES = [
    response("TXT", ("a.example.", "TXT", '"v=spf1 include:b.example -all"'), ("a.example.", "TXT", '"x" "y"')),
    response("TXT", ("a.example.", "CNAME", "b.test."), ("b.test.", "TXT", '"x"')),
    response("MX", ("a.example.", "MX", "10 mx.a.example."), soa="ns.example. h.example. 1 2 3 4 300"),
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.integers(0, 400))
def test_any_octets_are_read(sample: tuple[bytes, bytes], flips: list[tuple[int, int]], cut: int) -> None:
    """Invariant: no response makes reading raise, and its answer has records only when it is OK."""
    octets = bytearray(sample[0])
    for at, octet in flips:
        octets[at % len(octets)] = octet
    for kind in ("TXT", "MX", "A"):
        answer = dns_wire.read_answer(bytes(octets[: max(12, cut)]), sample[1], kind, max_records=100)
        assert (answer.status is DnsStatus.OK) == bool(answer.texts or answer.names)


def test_hostile_names_cost_little() -> None:
    """64 kB of records whose names are long chains of pointers are read in a few milliseconds."""
    chain = b"".join(b"\x01a" for _ in range(120)) + b"\x00"
    record = b"\x00\x10\x00\x01\x00\x00\x00\x3c"
    first = b"\x00" + record + len(chain).to_bytes(2, "big") + chain
    target = (len(HEADER) + 11).to_bytes(2, "big")
    pointer = bytes((0xC0 | target[0], target[1]))
    octets = HEADER[:6] + b"\x02\x00" + HEADER[8:] + first + (pointer + record + b"\x00\x02\x01x") * 511
    start = time.process_time()
    assert dns_wire.read_answer(octets, HEADER[12:], "TXT", max_records=1000).status is DnsStatus.NODATA
    assert time.process_time() - start < 0.25
