"""Takes secrets out of text that is to be shown to somebody else: those that are known, and all that look like one."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
KNOWN_CHARACTERS = 6  # shorter values are words that a text may well have without meaning the secret

_HEADERS = r"(?:authorization|(?:set-)?cookie|sec-websocket-protocol)"  # of which a ticket may be a part
_NAMES = r"\b[a-z_-]*(?:password|passwd|secret|token|ticket|api[_-]?key)"
_IS = r"\\*[\"']?\s*[:=]\s*"  # in JSON, in JSON inside of JSON, in Python's own writing, in YAML and in variables
_SHAPES = (
    re.compile(r"(rly_[a-z]+_)[0-9A-Za-z]+"),  # any token of ours
    re.compile(r"(?i)(\bbearer\s+)[^\s\"',;]+"),
    re.compile(rf"(?i)(\b{_HEADERS}(?:{_IS}|\\*[\"']\s*,\s*)b?\\*[\"']?)[^\"'\n]+"),  # the comma: a pair in Python
    re.compile(r"([a-z][a-z0-9+.-]*://[^\s\"'@:/]*:)[^\s\"']+(?=@)"),  # a password with a slash in it
    re.compile(r"([a-z][a-z0-9+.-]*://)[^\s\"'/]*(?=@)"),  # user and password of a URL, to the last @
    re.compile(r"(\bRELAY_[A-Z_]*SECRET\s*[:=]\s*)[^\"'\n]+"),  # several secrets, and people put spaces between
    re.compile(rf"(?i)({_NAMES}{_IS}b?\\*\")[^\"\n]+"),
    re.compile(rf"(?i)({_NAMES}{_IS}b?\\*')[^'\n]+"),
    re.compile(rf"(?i)({_NAMES}{_IS})(?!b?\\*[\"'])[^\s\"',;&]+"),
)


def scrub(text: str, known: Iterable[str] = ()) -> str:
    """The text without these values and without anything that has the shape of a secret."""
    for value in sorted(known, key=len, reverse=True):
        if len(value) >= KNOWN_CHARACTERS:
            text = text.replace(value, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<1>{HIDDEN}", text)
    return text
