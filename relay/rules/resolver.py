"""Resolves what a person typed into exactly one machine, or an honest error; every operation asks it.

Candidates are the machines that the person may see in one workspace: what is not among them is never hinted at.
"""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from relay.errors import Ambiguous, Invalid, NotFound, TooShort
from relay.rules import ids, limits
from relay.rules.machine import Registered
from relay.rules.names import bare_hostname, fold
from relay.rules.quoting import escape, quote

MatchedBy = Literal["id", "hostname", "name", "former", "fuzzy"]
FUZZY_CHARACTERS = 2  # a single letter would match half of the list


class Candidate(Struct, frozen=True):
    """One machine that a query may mean."""

    id: str
    name: str
    hostname: str
    name_held: bool
    former: tuple[str, ...] = ()


class Match(Struct, frozen=True):
    """The one machine that a query means, and by which tier it was found."""

    candidate: Candidate
    matched_by: MatchedBy


def candidate(registered: Registered, former: tuple[str, ...] = ()) -> Candidate:
    """What the resolver needs of a machine; keep it as long as the registry's row does not change."""
    raise NotImplementedError


def resolve(query: str, candidates: Iterable[Candidate]) -> Match:
    """The one machine that `query` means; raises `Invalid`, `TooShort`, `NotFound` or `Ambiguous`."""
    raise NotImplementedError


def matcher(query: str) -> Callable[[Candidate], bool]:
    """A test for many candidates whether `resolve` would consider them for `query`; an empty query takes all."""
    raise NotImplementedError


def matches(query: str, candidate: Candidate) -> bool:
    """Whether any tier of `resolve` would consider this candidate for `query`."""
    return matcher(query)(candidate)
