"""Resolves what a person typed into exactly one machine, or an honest error; every operation asks it.

Candidates are the machines that the person may see in one workspace: what is not among them is never hinted at.
"""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import force_setattr

from relay.errors import Ambiguous, Invalid, NotFound, TooShort
from relay.rules import ids, limits
from relay.rules.machine import Registered
from relay.rules.names import bare_hostname, fold
from relay.rules.quoting import escape, quote

MatchedBy = Literal["id", "hostname", "name", "former", "fuzzy"]
FUZZY_CHARACTERS = 2  # a single letter would match half of the list
_BETWEEN = "\n"  # joins searched texts: no query has it, so nothing is found across two of them
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs"})  # control characters, and halves of surrogate pairs, which are no text


class Candidate(Struct, frozen=True):
    """One machine that a query may mean. It is folded when it is made, so keep it while its machine stays as it is.

    The fields behind `former` are derived and never passed.
    """

    id: str
    name: str
    hostname: str
    name_held: bool
    former: tuple[str, ...] = ()  # names and hostnames given up in the last 24 hours
    order: tuple[str, str] = ("", "")  # folded name and id: the order in which candidates are listed
    hostname_keys: tuple[str, ...] = ()  # literal, then bare
    former_keys: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # literal, then bare
    exact: tuple[str, ...] = ()  # a query that is none of these matches at no exact tier
    searched: str = ""  # what the fuzzy tier looks into

    def __post_init__(self) -> None:
        name, hostname = fold(self.name), fold(self.hostname)
        hostname_keys = (hostname, bare_hostname(hostname))
        former_keys = _fold_former(self.former, None if self.name_held else name)
        force_setattr(self, "order", (name, self.id))
        force_setattr(self, "hostname_keys", hostname_keys)
        force_setattr(self, "former_keys", former_keys)
        if self.name_held:
            force_setattr(self, "exact", (name, *hostname_keys, *former_keys[0], *former_keys[1]))
            force_setattr(self, "searched", f"{hostname}{_BETWEEN}{name}")
        else:
            force_setattr(self, "exact", (*hostname_keys, *former_keys[0], *former_keys[1]))
            force_setattr(self, "searched", hostname)


class Match(Struct, frozen=True):
    """The one machine that a query means, and by which tier it was found."""

    candidate: Candidate
    matched_by: MatchedBy


def candidate(registered: Registered, former: tuple[str, ...] = ()) -> Candidate:
    """What the resolver needs of a machine."""
    return Candidate(registered.id, registered.name, registered.hostname, registered.name_held, former)


def resolve(query: str, candidates: Iterable[Candidate]) -> Match:
    """The one machine that `query` means; raises `Invalid`, `TooShort`, `NotFound` or `Ambiguous`."""
    asked = _read(query)
    seen = candidates if isinstance(candidates, Collection) else list(candidates)
    found, matched_by = _find(asked, seen)
    if len(found) == 1:
        return Match(found[0], matched_by)
    if found:
        raise _ambiguous(asked, found, seen)
    if asked.is_short:
        raise TooShort(f"{quote(asked.text)} is too short: use at least two characters")
    raise NotFound(f"no machine matches {quote(asked.text)}")


def search(query: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those whom any tier of `resolve` would consider, in the given order; an empty query takes all.

    Raises `Invalid` as `resolve` does, but not `TooShort`: a picker is still being typed into.
    """
    asked = _read(query)
    if not asked.text:
        return list(candidates)
    if asked.id is not None:
        return [each for each in candidates if each.id == asked.id]
    seen = candidates if isinstance(candidates, Collection) else list(candidates)
    exact = (each for each in _exact(asked, seen) if any(is_it(asked, each) for _, is_it in _EXACT_TIERS))
    found = {each.id for each in exact} | {each.id for each in _fuzzy(asked, seen)}
    return [each for each in seen if each.id in found]


def matches(query: str, candidate: Candidate) -> bool:
    """Whether any tier of `resolve` would consider this candidate for `query`."""
    return bool(search(query, (candidate,)))


class _Query(NamedTuple):
    text: str  # as typed, trimmed and composed
    key: str
    bare: str
    id: str | None  # set: the query is a whole id
    is_prefix: bool  # of an id
    is_short: bool


def _find(asked: _Query, seen: Iterable[Candidate]) -> tuple[list[Candidate], MatchedBy]:
    """All machines of the first tier that has any; a whole id never falls through to another tier."""
    if asked.id is not None:
        return [each for each in seen if each.id == asked.id], "id"
    exact = _exact(asked, seen)
    for matched_by, is_it in _EXACT_TIERS:
        found = [each for each in exact if is_it(asked, each)]
        if found:
            return found, matched_by
    return _fuzzy(asked, seen), "fuzzy"


_EXACT_TIERS: tuple[tuple[MatchedBy, Callable[[_Query, Candidate], bool]], ...] = (
    ("hostname", lambda asked, each: asked.key == each.hostname_keys[0]),
    ("hostname", lambda asked, each: asked.bare == each.hostname_keys[1]),
    ("name", lambda asked, each: each.name_held and asked.key == each.order[0]),
    ("former", lambda asked, each: asked.key in each.former_keys[0] or asked.bare in each.former_keys[1]),
)


# One comprehension over everybody each: at 10,000 machines a function call per machine would cost more than the rest.
def _exact(asked: _Query, seen: Iterable[Candidate]) -> list[Candidate]:
    """All that an exact tier may hold, found in one pass; the tier itself decides."""
    key, bare = asked.key, asked.bare
    if key == bare:
        return [each for each in seen if key in each.exact]
    return [each for each in seen if key in each.exact or bare in each.exact]


def _fuzzy(asked: _Query, seen: Iterable[Candidate]) -> list[Candidate]:
    key = asked.key
    if asked.is_short:
        return []
    if asked.is_prefix:
        near = [each for each in seen if key in each.searched or key in each.id]
        return [each for each in near if key in each.searched or each.id.startswith(key)]
    return [each for each in seen if key in each.searched]


def _read(query: str) -> _Query:
    trimmed = query.strip()
    if len(trimmed) > limits.QUERY_CHARACTERS:
        raise Invalid(f"a machine query has at most {limits.QUERY_CHARACTERS} characters, this one has {len(trimmed)}")
    if not trimmed.isprintable() and any(unicodedata.category(each) in _REFUSED_CATEGORIES for each in trimmed):
        raise Invalid(f"a machine query has no control characters: {quote(trimmed)}")
    text = unicodedata.normalize("NFC", trimmed)
    key = fold(text)
    return _Query(text, key, bare_hostname(key), ids.canonical(key), ids.is_prefix(key), len(text) < FUZZY_CHARACTERS)


def _ambiguous(asked: _Query, found: list[Candidate], seen: Collection[Candidate]) -> Ambiguous:
    # One more than is shown, because the next in order may bear the last one's name.
    first = heapq.nsmallest(limits.CANDIDATES + 1, found, key=attrgetter("order"))
    shown = first[: limits.CANDIDATES]
    names = [each.order[0] for each in first]
    twins = [each.id for each in shown if names.count(each.order[0]) > 1]
    short = ids.shorten(twins, (each.id for each in seen)) if twins else {}
    words = [f"{escape(each.name)} ({short[each.id]})" if each.id in short else escape(each.name) for each in shown]
    if len(found) > len(shown):
        words.append(f"+{len(found) - len(shown)} more")
    return Ambiguous(
        f"ambiguous machine {quote(asked.text)} — matches: {', '.join(words)}",
        candidates=[{"id": each.id, "name": each.name, "hostname": each.hostname} for each in shown],
        total=len(found),
    )


def _fold_former(former: tuple[str, ...], lost: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Former names and hostnames, literal and bare; a name lost to another machine does not come back as one."""
    keys = tuple(key for key in map(fold, former) if key != lost)
    return keys, tuple(map(bare_hostname, keys))
