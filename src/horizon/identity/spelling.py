"""Other spellings of an identifier: what a library knows of it becomes a node and an edge."""

from __future__ import annotations

import unicodedata

import idna
import phonenumbers


def spelled(kind: str, value: str, region: str | None = None) -> str | None:
    """The one spelling that all others of this value share; None where it has no other."""
    found = _email(value) if kind == "email" else _phone(value, region) if kind == "phone" else None
    return None if found == value else found


def _email(address: str) -> str | None:
    """RFC 6532 and RFC 5891: the local part in NFC and lower case, the domain in A-labels."""
    local, _, domain = address.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode().lower()
    except idna.IDNAError:
        return None
    return f"{unicodedata.normalize('NFC', local).lower()}@{ascii_domain}"


def _phone(number: str, region: str | None) -> str | None:
    """E.164. Without a region only what begins with + says which country it is of."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
