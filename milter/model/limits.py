"""Every limit on attacker-controlled loops, named once, with its default. Part of the settings (`limits:`)."""

from __future__ import annotations

from dataclasses import dataclass, field


def _limit(default: int, doc: str) -> int:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts and octets. Beyond a limit the rest is not looked at and `incomplete` says so."""

    large_octets: int = _limit(1_048_576, "A larger mail is judged in a child process, so that others need not wait for it, in octets")
    header_octets: int = _limit(262_144, "Header section that is read, in octets")
    fields: int = _limit(1_000, "Header fields that are read")
    field_octets: int = _limit(65_536, "One header field, in octets")
    from_octets: int = _limit(4_096, "From value that is parsed, in octets")
    authors: int = _limit(50, "Candidate authors that are kept")
    mime_depth: int = _limit(20, "Nesting of MIME parts")
    mime_parts: int = _limit(500, "MIME parts of one mail")
    part_octets: int = _limit(4_194_304, "One attachment that is decoded, in octets")
    text_chars: int = _limit(200_000, "Text of one mail that wording rules see, in characters")
    html_octets: int = _limit(524_288, "One HTML part, in octets")
    html_depth: int = _limit(500, "Nesting of HTML elements")
    html_attributes: int = _limit(50_000, "Attributes of one HTML part")
    links: int = _limit(500, "Links that are looked at")
    dkim_signatures: int = _limit(10, "DKIM signatures that are verified")
    dkim_signed_fields: int = _limit(100, "Names in the h= tag of a signature")
    arc_sets: int = _limit(50, "ARC sets")
    spf_lookups: int = _limit(10, "SPF terms that cost a DNS lookup (RFC 7208 §4.6.4)")
    spf_void_lookups: int = _limit(2, "SPF lookups without an answer (RFC 7208 §4.6.4)")
    dns_answers: int = _limit(100, "Records of one DNS answer that are read")
    claims: int = _limit(100, "Claims that are kept")
