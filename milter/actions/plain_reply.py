"""A reply of the next hop as the log may show it: words that servers say, and nothing that they repeat from the mail.

A server quotes what it refuses: an address with any quoting, a name, a number, a header field. What is personal cannot be found in such a
text, so the other way is taken: only words of a list are kept, everything else becomes `…`. Must not know what the log is for.
"""

from __future__ import annotations

import re
from functools import lru_cache

from milter.model.reply import Reply

MOST = 200  # characters that are shown
_READ = 1_000  # characters that are looked at
_POSTFIX = "queued as "  # found faster than by the pattern
_ID_DIGITS = 12  # more are a number, no id
# Short and long ids of Postfix (the long ones have no vowels), Exim, Sendmail and OpenSMTPD, ours: each a form that no name has.
_ID = re.compile(
    r"queued as (?P<postfix>(?=[A-F]*[0-9])[0-9A-F]{5,16}|(?=[A-Za-z]*[0-9])[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,24})(?![0-9A-Za-z@.=+-])"
    r"|\bid=(?P<exim>[12][0-9A-Za-z]{5}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4})(?![0-9A-Za-z@.=+-])"
    r"|^(?:2\.\d{1,3}\.\d{1,3}:? )?(?P<sendmail>[0-9a-f]{8}|(?=[0-9]*[A-Za-z])[0-9A-Za-z]{8}[0-9]{3,8}) Message accepted for delivery"
    r"|\bheld in quarantine as (?P<ours>[0-9a-hjkmnp-tv-z]{22})(?![0-9A-Za-z@.=+-])",
    re.ASCII,
)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_WORDS = frozenset(
    """
    a able about accept accepted accepting access account accounts action active address addresses administrator after again allowed already
    also an and any anymore are as at attempt attempts auth authentication available away back backend bad banned be because been before
    begin being blocked body bounce box but by bytes cannot certificate check client closed closing command commands complete completed
    configuration configured connect connection connections contact content could create currently data database deferred delay delayed
    deliver delivered delivery denied destination did directory disabled discarded disk dkim dmarc dns do does domain done down dropped due
    duplicate during encountered end enough error errors exceed exceeded exceeds exist existing exists expired external failed failure false
    fatal few file filter filtered for format forwarding found fqdn from full fully get go goodbye greylisted greylisting group had has have
    header headers held hello helo host hostname if in inactive incoming infected input insufficient internal invalid ip is issue it its
    junk known large later length limit limited limits line lines list listed local lookup loop mail mailbox mailboxes mails maintenance
    malformed malware many match max maximum may memory message messages milter minute minutes moment more moved multiple must name need
    nested network next no non not now null number of off ok okay on one only open operation or out outgoing over own parameter parse
    password per permanent permanently permission permitted please pm policy postmaster problem processed processing protocol proxy
    qualified quarantine quarantined queue queued quota rate read reason receive received receiver recipient recipients record refused
    reject rejected rejection relay relaying reply reputation requested required requires resolve resources response restricted restrictions
    retry return reverse rule run sanity saved score second seconds security see send sender senders sending sent server service session
    setting shutting site size slow smtp socket some soon source space spam spf started status stopped storage store stored such support
    supported suspended suspicious syntax system table take taken temporarily temporary text than that the there this threshold time timed
    timeout times tls to too transaction transmission transport try trying type unable unavailable undeliverable unknown unreachable
    unrouteable unsolicited until up use used user users valid verification verify via violation virtual virus volume was we while will with
    without write wrong yet you your
    """.split()  # noqa: SIM905  # a list of words reads better so
)


def plain(reply: Reply) -> str:
    """Code, enhanced code and the words of a reply that are in our list, in one line of at most `MOST` characters."""
    return _plain(reply, queue_id(reply))


def read(reply: Reply) -> tuple[str, str]:
    """`plain` and `queue_id` at once."""
    name = queue_id(reply)
    return _plain(reply, name), name


def _plain(reply: Reply, name: str) -> str:
    text = " ".join(reply.lines) if len(reply.lines) > 1 else reply.lines[0]
    return f"{reply.code} {plain_text(text[:_READ].replace(name, '…') if name else text[:_READ])}"[:MOST].rstrip()


@lru_cache(maxsize=256)
def plain_text(text: str) -> str:
    """The words of a list, each run of anything else as one `…`."""
    shown: list[str] = []
    if enhanced := _ENHANCED.match(text):
        shown.append(enhanced[0])
        text = text[enhanced.end() :]
    hidden = False
    for word in text.split():
        bare = word.strip(".,:;!()")
        if bare.lower() in _WORDS:
            shown.append(word)
            hidden = False
        elif bare and not hidden:
            shown.append("…")
            hidden = True
    return " ".join(shown)[:MOST]


def queue_id(reply: Reply) -> str:
    """The id under which the next hop has queued the mail, as Postfix, Exim, Sendmail, OpenSMTPD and we ourselves say it, or ""."""
    if not reply.is_positive:
        return ""
    text = reply.lines[-1][:_READ]
    at = text.find(_POSTFIX)
    found = _ID.match(text, at) if at >= 0 else _ID.search(text)
    name = (found[found.lastgroup or 0] or "") if found else ""
    return name if sum(map(str.isdigit, name)) <= _ID_DIGITS else ""
