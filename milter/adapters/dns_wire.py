"""DNS messages as octets (RFC 1035 §4, RFC 6891): writing a question, reading its answer.

Knows the wire and no sockets. An answer is hostile: names may loop, lengths may lie, records may be thousands. Reading
is bounded by the limits here and in the arguments, never raises, and gives MALFORMED for anything out of order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from socket import inet_ntoa

from milter.auth.resolver import Answer, DnsStatus

KINDS = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
EDNS_OCTETS = 1_232  # DNS flag day 2020: no fragments
_SOA, _OPT = 6, 41
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_TAIL = struct.Struct("!HH")
_OPT_RECORD = b"\x00" + struct.pack("!HHIH", _OPT, EDNS_OCTETS, 0, 0)
_MAX_POINTERS = 32
_MAX_ALIASES = 10
_MAX_RECORDS = 512
_QUESTION_AT = 12
_TO_QUESTION = b"\xc0\x0c"  # a pointer to the name in the question, as nearly every owner is written
_LETTERS = bytes(0x20 if 0x61 <= octet <= 0x7A else 0 for octet in range(256))
_STATUS = {0: DnsStatus.OK, 2: DnsStatus.SERVFAIL, 3: DnsStatus.NXDOMAIN, 5: DnsStatus.REFUSED}
_HOST_KINDS = (KINDS["PTR"], KINDS["CNAME"])


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record as read: octets from `start` to `end` of the message are its data. `ttl` in seconds."""

    owner: str
    kind: int
    ttl: int
    start: int
    end: int


class _MalformedError(Exception):
    """The message is out of order; never leaves this module."""


def encode_name(name: str) -> bytes | None:
    """A name as labels; None when it cannot exist in the DNS (RFC 1035 §2.3.4), so that nobody asks for it."""
    labels = name.removesuffix(".").split(".")
    try:
        parts = [label.encode("ascii") for label in labels]
    except UnicodeEncodeError:
        return None
    if not all(0 < len(part) < 64 for part in parts):
        return None
    wire = b"".join(bytes((len(part),)) + part for part in parts) + b"\x00"
    return wire if len(wire) <= 255 else None


def write_question(name: bytes, kind: str, *, case: int = 0) -> bytes:
    """A question section entry. The bits of `case` turn letters to capitals, which a forger would have to guess."""
    if case:
        mask = int.from_bytes(name.translate(_LETTERS), "big") & case
        name = (int.from_bytes(name, "big") ^ mask).to_bytes(len(name), "big")
    return name + _TAIL.pack(KINDS[kind], 1)


def write_query(number: int, question: bytes) -> bytes:
    """A whole query: recursion desired, EDNS with a payload of 1,232 octets."""
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 1) + question + _OPT_RECORD


def answers(octets: bytes, number: int, question: bytes) -> bool:
    """True when the message is a response to exactly this query: id, QR bit, one question, echoed to the letter."""
    return (
        len(octets) >= 12
        and octets[0] << 8 | octets[1] == number
        and octets[2] & 0x80 != 0
        and octets[4:6] == b"\x00\x01"
        and octets.startswith(question, 12)
    )


def is_truncated(octets: bytes) -> bool:
    """True when the rest must be fetched over TCP."""
    return octets[2] & 0x02 != 0


def read_answer(octets: bytes, question: bytes, kind: str, *, max_records: int) -> Answer:
    """The answer in a response that `answers` accepted. More than `max_records` records of the kind is MALFORMED."""
    try:
        return _read(octets, 12 + len(question), KINDS[kind], max_records)
    except (_MalformedError, struct.error, IndexError):
        return Answer(DnsStatus.MALFORMED)


def _read(octets: bytes, at: int, kind: int, max_records: int) -> Answer:
    _, flags, _, in_answer, in_authority, _ = _HEADER.unpack_from(octets)
    status = _STATUS.get(flags & 0x000F, DnsStatus.SERVFAIL)
    if status.is_temporary:
        return Answer(status)
    if in_answer + in_authority > _MAX_RECORDS:
        raise _MalformedError
    asked, _ = _name(octets, _QUESTION_AT)
    records: list[Record] = []
    for _ in range(in_answer):
        record, at = _record(octets, at, asked)
        records.append(record)
    owner, ttl = _follow(octets, records, asked)
    found = [record for record in records if record.kind == kind and record.owner == owner]
    if len(found) > max_records:
        raise _MalformedError
    if status is DnsStatus.OK and found:
        return _answer(octets, found, kind, min([ttl, *(record.ttl for record in found)]))
    # RFC 2308 §5: the SOA says how long absence may be kept
    status = DnsStatus.NODATA if status is DnsStatus.OK else status
    return Answer(status, ttl=min(ttl, _absence(octets, at, in_authority, asked)))


def _follow(octets: bytes, records: list[Record], owner: str) -> tuple[str, int]:
    """The name that the aliases of this answer lead to, and the lowest TTL on the way."""
    aliases = {record.owner: record for record in records if record.kind == KINDS["CNAME"]}
    ttl = 0x7FFF_FFFF
    for _ in range(_MAX_ALIASES):
        alias = aliases.get(owner)
        if alias is None:
            return owner, ttl
        owner, _ = _name(octets, alias.start)
        ttl = min(ttl, alias.ttl)
    raise _MalformedError


def _answer(octets: bytes, found: list[Record], kind: int, ttl: int) -> Answer:
    if kind == KINDS["TXT"]:
        return Answer(DnsStatus.OK, texts=tuple(_strings(octets, record) for record in found), ttl=ttl)
    return Answer(DnsStatus.OK, names=tuple(_text(octets, record) for record in found), ttl=ttl)


def _strings(octets: bytes, record: Record) -> bytes:
    """RFC 1035 §3.3.14: character-strings, joined without anything between (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
    at, end = record.start, record.end
    first = octets[at]
    if at + 1 + first == end:
        return octets[at + 1 : end]
    parts: list[bytes] = []
    while at < end:
        length = octets[at]
        if at + 1 + length > end:
            raise _MalformedError
        parts.append(octets[at + 1 : at + 1 + length])
        at += 1 + length
    return b"".join(parts)


def _text(octets: bytes, record: Record) -> str:
    size = record.end - record.start
    if record.kind == KINDS["A"] and size == 4:
        return inet_ntoa(octets[record.start : record.end])
    if record.kind == KINDS["AAAA"] and size == 16:
        return str(IPv6Address(octets[record.start : record.end]))
    if record.kind == KINDS["MX"] and size > 2:
        name, end = _name(octets, record.start + 2)
        text = f"{octets[record.start] << 8 | octets[record.start + 1]} {name}"
    elif record.kind in _HOST_KINDS:
        text, end = _name(octets, record.start)
    else:
        raise _MalformedError
    if end != record.end:
        raise _MalformedError
    return text


def _absence(octets: bytes, at: int, in_authority: int, asked: str) -> int:
    for _ in range(in_authority):
        record, at = _record(octets, at, asked)
        if record.kind == _SOA and record.end - record.start >= 20:
            minimum: int = struct.unpack_from("!I", octets, record.end - 4)[0]
            return min(record.ttl, minimum)
    return 0


def _record(octets: bytes, at: int, asked: str) -> tuple[Record, int]:
    owner, at = (asked, at + 2) if octets.startswith(_TO_QUESTION, at) else _name(octets, at)
    kind, _, ttl, size = _RECORD.unpack_from(octets, at)
    start = at + 10
    end = start + size
    if end > len(octets):
        raise _MalformedError
    # RFC 2181 §8: a TTL with the top bit set is 0
    return Record(owner, kind, ttl if ttl < 0x8000_0000 else 0, start, end), end


def _name(octets: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, lower case without root dot, and the offset behind it. Pointers must go backwards."""
    labels: list[bytes] = []
    after = -1
    size = 0
    for _ in range(128 + _MAX_POINTERS):
        length = octets[at]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | octets[at + 1]
            if target >= at:
                raise _MalformedError
            after = at + 2 if after < 0 else after
            at = target
        elif length == 0:
            name = b".".join(labels).decode("latin-1").lower()
            return name, at + 1 if after < 0 else after
        elif length < 64:
            size += length + 1
            label = octets[at + 1 : at + 1 + length]
            if size > 254 or len(label) != length or b"." in label:
                raise _MalformedError
            labels.append(label)
            at += 1 + length
        else:
            raise _MalformedError
    raise _MalformedError
