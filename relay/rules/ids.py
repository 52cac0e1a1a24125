"""Owns identifiers: canonical UUID text everywhere, sixteen raw bytes in frame headers, short prefixes for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from relay.errors import Invalid

RAW_BYTES = 16
SHORT_CHARACTERS = 4  # the shortest id prefix that is shown or searched: three would match words such as "add"

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_TEMPLATE = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"
_HEX_DIGITS = frozenset("0123456789abcdef")


def make(random: bytes) -> str:
    """A version 4 UUID out of 16 random bytes, which the caller draws."""
    return str(UUID(bytes=random, version=4))


def canonical(text: str) -> str | None:
    """The lower-case form of a UUID written as 8-4-4-4-12 in any case, or None for anything else."""
    lower = text.lower()
    return lower if _CANONICAL.fullmatch(lower) else None


def raw(id: str) -> bytes:
    """The sixteen bytes of a canonical id; raises `Invalid` for anything else."""
    if not _CANONICAL.fullmatch(id):
        raise Invalid("an id is a lower-case UUID written as 8-4-4-4-12")
    return bytes.fromhex(id.replace("-", ""))


def text(raw: bytes) -> str:
    """The canonical id of sixteen bytes; raises `Invalid` for any other number."""
    if len(raw) != RAW_BYTES:
        raise Invalid(f"an id has {RAW_BYTES} bytes, this one has {len(raw)}")
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_prefix(text: str) -> bool:
    """Whether lower-case text could be the beginning of a canonical id and is long enough to be searched as one."""
    if not SHORT_CHARACTERS <= len(text) <= len(_TEMPLATE):
        return False
    return all(seen in _HEX_DIGITS if due == "h" else seen == due for seen, due in zip(text, _TEMPLATE, strict=False))


def shorten(wanted: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """For each wanted id its shortest prefix, of at least four characters, that no other id in `among` begins with."""
    short = {id: id[:SHORT_CHARACTERS] for id in wanted}
    prefixes = set(short.values())
    rivals = {id for id in among if id[:SHORT_CHARACTERS] in prefixes} | short.keys()
    for id in short:
        length = SHORT_CHARACTERS
        while any(rival.startswith(id[:length]) for rival in rivals if rival != id):
            length += 1
        short[id] = id[:length]
    return short
