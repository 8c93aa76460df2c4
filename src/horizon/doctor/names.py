"""What the DNS says of the From address's domain, as those who receive our mails ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.utils import parseaddr
from typing import Final

import dns.exception
import dns.nameserver
import dns.resolver

from horizon.delivery.channels.smtp.mime import wire_domain
from horizon.delivery.channels.smtp.resolver import is_null_mx, parse_servers
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.errors import SettingsError
from horizon.settings import Settings

PART: Final = "DNS"
ANSWER_S: Final = 4.0
# Providers whose servers send in our name: what their users' SPF has to include.
INCLUDES: Final = {
    "mailgun.org": "mailgun.org", "amazonaws.com": "amazonses.com", "sendgrid.net": "sendgrid.net",
    "gmail.com": "_spf.google.com", "office365.com": "spf.protection.outlook.com",
}  # fmt: skip


def check_names(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if not settings.dns_lookups:
        yield ok(PART, "not asked: mails stay on this machine, or DNS_LOOKUPS is off")
        return
    domain = wire_domain(parseaddr(settings.MAIL_FROM)[1].rpartition("@")[2])
    try:
        asked = Names(settings)
        mx = asked.records(domain, "MX")
        texts = asked.texts(domain)
        rules = asked.texts(f"_dmarc.{domain}") or asked.texts(f"_dmarc.{parent(domain)}")
    except SettingsError as exc:
        found, _, todo = str(exc).partition(": ")
        yield problem(PART, found, f"{todo[:1].upper()}{todo[1:]}")
    except dns.exception.DNSException as exc:
        yield warning(
            PART, f"{domain} cannot be asked about ({type(exc).__name__})",
            "Look at this machine's name server, or set DNS_SERVERS.",
        )  # fmt: skip
    else:
        yield from judge_mx(domain, mx)
        yield from judge_spf(domain, texts, include_of(settings))
        yield from judge_dmarc(domain, rules)
        yield ok(
            PART, f"DKIM of {domain} stands under a selector that only a sent mail tells: look for "
            "dkim=pass in one that you sent yourself",
        )  # fmt: skip


class Names:
    """Raises SettingsError, DNSException; a name that does not exist has no records."""

    def __init__(self, settings: Settings) -> None:
        servers = parse_servers(settings.DNS_SERVERS)
        self._resolver = dns.resolver.Resolver(configure=not servers)
        self._resolver.lifetime = ANSWER_S
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in servers
            ]

    def records(self, name: str, kind: str) -> list[str]:
        try:
            answer = self._resolver.resolve(name, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return []
        return [record.to_text() for record in answer.rrset or ()]

    def texts(self, name: str) -> list[str]:
        """TXT records; one may be of several strings, which are one text (RFC 7208, 3.3)."""
        return ["".join(_strings(one)) for one in self.records(name, "TXT")]


def _strings(record: str) -> list[str]:
    return [part.replace('\\"', '"') for part in record.strip('"').split('" "')]


def parent(domain: str) -> str:
    """Where DMARC is looked for next; without a list of public suffixes, the last two labels."""
    return ".".join(domain.split(".")[-2:])


def include_of(settings: Settings) -> str | None:
    host = settings.SMTP_HOST or ""
    return next((spf for ending, spf in INCLUDES.items() if host.endswith(ending)), None)


def judge_mx(domain: str, records: Sequence[str]) -> Iterator[Finding]:
    if is_null_mx(records):
        yield problem(
            PART, f"{domain} says that it takes no mail (null MX), and so it may write none",
            "Set MAIL_FROM to an address of a domain that takes mail, or give this one an MX.",
        )  # fmt: skip
    elif not records:
        yield problem(
            PART, f"{domain} has no MX: bounces and answers go nowhere, and many refuse its mails",
            "Publish an MX, or set MAIL_FROM to an address of a domain that has one.",
        )  # fmt: skip


def judge_spf(domain: str, texts: Sequence[str], include: str | None) -> Iterator[Finding]:
    found = [text for text in texts if text.lower().startswith("v=spf1")]
    wanted = f"v=spf1 {f'include:{include} ' if include else ''}~all"
    if not found:
        yield problem(
            PART, f"{domain} has no SPF record, so anybody may send in its name",
            f'Publish TXT "{wanted}" with what your provider names in it.',
        )  # fmt: skip
        return
    words = found[0].lower().split()
    if len(found) > 1:
        yield problem(PART, f"{domain} has {len(found)} SPF records, which counts as none",
                      "Make one of them.")  # fmt: skip
    elif "+all" in words or "all" in words:
        yield problem(
            PART, f"{domain}'s SPF ends with +all: it lets everybody send in its name",
            "Publish it with ~all or -all at its end.",
        )  # fmt: skip
    elif include and f"include:{include}" not in words:
        yield problem(
            PART, f"{domain}'s SPF does not name your provider",
            f"Add include:{include} before its end.",
        )  # fmt: skip
    else:
        yield ok(PART, f"{domain} has an MX and an SPF record")


def judge_dmarc(domain: str, texts: Sequence[str]) -> Iterator[Finding]:
    found = [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]
    if len(found) != 1:
        yield problem(
            PART, f"{domain} has {'no' if not found else 'several'} DMARC record"
            f"{'s' if found else ''}: Gmail and Yahoo refuse bulk mail without one",
            f'Publish one TXT "v=DMARC1; p=none; rua=mailto:dmarc@{domain}" at _dmarc.{domain}.',
        )  # fmt: skip
        return
    words = dict(part.strip().split("=", 1) for part in found[0].split(";") if "=" in part)
    if words.get("p", "").strip().lower() == "none":
        yield warning(
            PART, f"{domain}'s DMARC only watches (p=none)",
            "Once its reports show your mails alone, publish p=quarantine.",
        )  # fmt: skip
    else:
        yield ok(PART, f"{domain} has a DMARC record with p={words.get('p', '').strip()}")
