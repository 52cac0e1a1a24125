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


def not_ready_to_sign(nodes: Mapping[str, Sequence[str]], new: str) -> list[str]:
    """What stands against the second step, each as a sentence; `nodes` are the secrets of each, by its name."""
    return [
        *_unknown(nodes),
        *(f"{node} does not know {new} yet" for node, known in nodes.items() if known and new not in known),
    ]


def not_ready_to_drop(
    nodes: Mapping[str, Sequence[str]], signing: str, hanging: Mapping[str, Mapping[str, int]], unconnected: int
) -> list[str]:
    """What stands against the last step: nodes, what hangs on each secret that goes by kind, and machines that were not
    asked."""
    found = _unknown(nodes)
    found += [
        f"{node} does not sign with {signing} yet" for node, known in nodes.items() if known and known[0] != signing
    ]
    found += [f"{count} {kind} hang on {old}" for old, kinds in hanging.items() for kind, count in kinds.items()]
    if unconnected:
        found.append(f"{unconnected} machines are not connected, and those whose token is old must register again")
    return found


def _unknown(nodes: Mapping[str, Sequence[str]]) -> list[str]:
    if not nodes:
        return ["no node is there to be asked"]
    return [f"{node} does not say which secrets it has" for node, known in nodes.items() if not known]
