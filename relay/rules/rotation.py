"""Decides how the secrets of a cluster change, one step at a time, without anybody being turned away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relay.errors import Conflict


def add(secrets: Sequence[str], new: str) -> tuple[str, ...]:
    """The first step: the new one comes last, so that all nodes can verify what nobody signs yet. Raises `Conflict`
    while another rotation is under way."""
    if len(secrets) != 1:
        raise Conflict(
            "RELAY_SECRET holds several secrets: finish the rotation that is under way first (--sign, --drop)"
        )
    return (*secrets, new)


def sign(secrets: Sequence[str]) -> tuple[str, ...]:
    """The second step: the new one comes first, and signs. Raises `Conflict` if there is none."""
    if len(secrets) < 2:
        raise Conflict("RELAY_SECRET holds one secret: add the new one first (relay admin rotate-secret)")
    return (secrets[-1], *secrets[:-1])


def drop(secrets: Sequence[str]) -> tuple[str, ...]:
    """The last step: those that do not sign go. Raises `Conflict` if there is none."""
    if len(secrets) < 2:
        raise Conflict("RELAY_SECRET holds one secret: there is no other to take away")
    return (secrets[0],)


def ignorant(nodes: Mapping[str, Sequence[str]], secret: str) -> list[str]:
    """The nodes that could not verify what this secret signs."""
    return [node for node, known in nodes.items() if known and secret not in known]


def signing_otherwise(nodes: Mapping[str, Sequence[str]], secret: str) -> list[str]:
    """The nodes that sign with another secret than this."""
    return [node for node, known in nodes.items() if known and known[0] != secret]
