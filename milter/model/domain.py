"""A domain name as everything here compares it: lower case A-labels without the root dot.

Knows RFC 1035 §2.3.4 sizes. Must not know IDNA or the public suffix list: `text.domains` makes a Domain out of
what a mail shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from milter.model.quick import quick


@quick
@dataclass(frozen=True, slots=True, order=True)
class Domain:
    """`name` is ASCII, lower case, without a trailing dot, at most 253 octets, each label 1 to 63.

    Underscores and other odd ASCII are allowed: DNS carries them (`_dmarc.example.fr`). Raises ValueError otherwise.
    """

    name: str

    def __post_init__(self) -> None:
        name = self.name
        if not name or len(name) > 253 or not name.isascii() or name != name.lower() or not name.isprintable() or " " in name:
            raise ValueError(f"not a normalised domain name: {name[:80]!r}")
        for label in name.split("."):
            if not 0 < len(label) < 64:
                raise ValueError(f"domain label empty or longer than 63 octets: {name[:80]!r}")

    def __eq__(self, other: object) -> bool:  # as dataclass would write it, but without two tuples; compared very often
        return self.name == other.name if other.__class__ is Domain else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels from left to right."""
        return tuple(self.name.split("."))

    def is_within(self, other: Domain) -> bool:
        """True for `other` itself and for every name below it."""
        return self.name == other.name or self.name.endswith("." + other.name)
