"""Raw octets → Message: the one reading of a mail that everything after it shares.

Knows in which order the readers of this package are asked and what a mail program would show; must not know insurers,
authentication or rules. Any octets give a Message: what is broken or was not looked at is named in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from milter.mime import addresses, body, encoded_words, fields, parts
from milter.model.address import Address
from milter.model.limits import Limits
from milter.model.message import Field, Message


def parse(raw: bytes, limits: Limits) -> Message:
    """Read a mail whole. Never raises; cost is linear in `raw`."""
    header = fields.scan(raw, limits)
    first: dict[str, Field] = {}
    for field in header.fields:
        first.setdefault(field.key, field)
    author = addresses.read_author(
        header.fields,
        limits,
        beyond=header.beyond,
        headless="empty first line" in header.defects,
        mixed_line_ends=header.mixed_line_ends,
        truncated=bool(header.incomplete),
    )
    tree = parts.read(raw, header.fields, header.body_start, limits)
    content = body.read(tree.leaves, limits)
    return Message(
        raw=raw,
        fields=header.fields,
        body_start=header.body_start,
        author=author,
        subject=encoded_words.decode(first["subject"].value) if "subject" in first else "",
        sender=_sender(first, limits),
        reply_to=_reply_to(header.fields, limits),
        parts=tuple(leaf.part for leaf in tree.leaves),
        words=content.words,
        links=content.links,
        is_list=_is_list(first),
        is_auto=_is_auto(first),
        defects=_distinct(header.defects, tree.defects),
        incomplete=_distinct(header.incomplete, tree.incomplete, content.incomplete),
    )


def _distinct(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))


def _sender(first: dict[str, Field], limits: Limits) -> Address | None:
    found = addresses.read_addresses(first["sender"].value, limits) if "sender" in first else ()
    return found[0] if found else None


def _reply_to(all_fields: Iterable[Field], limits: Limits) -> tuple[Address, ...]:
    """The mailboxes of every Reply-To field: programs differ in which one they use."""
    found: list[Address] = []
    for field in all_fields:
        if field.key == "reply-to" and len(found) < limits.authors:
            found.extend(addresses.read_addresses(field.value, limits))
    return tuple(found[: limits.authors])


def _word(first: dict[str, Field], key: str) -> str:
    """The first word of a field in lower case, without comment or parameters; "" when it is absent."""
    if key not in first:
        return ""
    words = first[key].value[:200].decode("latin-1").split(";")[0].split("(")[0].split()
    return words[0].lower() if words else ""


def _is_list(first: dict[str, Field]) -> bool:
    """RFC 2919, RFC 2369 §3.4. List-Unsubscribe alone is every newsletter."""
    post = _word(first, "list-post")
    return bool(_word(first, "list-id")) or (post != "" and post != "no") or _word(first, "precedence") == "list"


def _is_auto(first: dict[str, Field]) -> bool:
    """RFC 3834 §5, and the older fields that mean the same."""
    if "auto-submitted" in first:
        return _word(first, "auto-submitted") not in ("no", "")
    return _word(first, "precedence") == "auto_reply" or "x-autoreply" in first or "x-autorespond" in first
