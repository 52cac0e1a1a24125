"""Judges what surrounds a cluster: the versions, limits and clocks on which its promises rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from relay.rules.limits import MIB

REDIS_FLOOR = (7, 0)  # sharded channels
VALKEY_FLOOR = (7, 2)
BUFFER_BYTES = 8 * MIB  # a node lets six be on their way to another; a server that cuts below that costs gaps
CLOCK_MS = 2_000  # between this host and Redis; more is seen in what people read, and in nothing else
SPARE_FILES = 200  # beside sockets: Redis, the registry, logs, the page
NODE_TIMEOUT_MS = 5_000  # how long a Redis Cluster waits before it replaces a primary; machines are kept for ten


class Finding(NamedTuple):
    """One thing that was looked at. What is wrong keeps the cluster from what it promises; a doubt may; of what is
    away nothing is known, and it may come back by itself."""

    kind: Literal["good", "doubt", "wrong", "away"]
    says: str


def redis_version(server: Mapping[str, str]) -> Finding:
    """From what INFO says of a server."""
    valkey = server.get("valkey_version")
    name, text, floor = (
        ("Valkey", valkey, VALKEY_FLOOR) if valkey else ("Redis", server.get("redis_version"), REDIS_FLOOR)
    )
    if not text:
        return Finding("doubt", "Redis does not say its version: 7.0 (Valkey 7.2) or newer is needed")
    needed = ".".join(map(str, floor))
    if _numbers(text) < floor:
        return Finding("wrong", f"{name} is {text}; {needed} or newer is needed")
    return Finding("good", f"{name} {text}")


def redis_settings(config: Mapping[str, str], *, cluster: bool) -> list[Finding]:
    """From what CONFIG GET says; a server that says nothing of a setting leaves a doubt."""
    found = [_eviction(config), _buffers(config.get("client-output-buffer-limit"))]
    if cluster:
        found.append(_node_timeout(config.get("cluster-node-timeout")))
    return found


def clock(difference_ms: int) -> Finding:
    """Between this host and Redis."""
    if abs(difference_ms) > CLOCK_MS:
        return Finding(
            "wrong",
            f"the clock of this host is {difference_ms / 1000:+.1f} s from that of Redis: times shown are wrong",
        )
    return Finding("good", f"the clock of this host is {difference_ms} ms from that of Redis")


def proxies(*, https: bool, trusted: bool) -> Finding:
    """Whether limits and logs tell clients apart: a node does no TLS itself, so with https it is behind a proxy."""
    if https and not trusted:
        return Finding(
            "doubt",
            "RELAY_PUBLIC_URL is https:// and RELAY_TRUSTED_PROXIES is not set: all who come through the proxy count "
            "as one client, in limits and logs",
        )
    return Finding("good", "limits and logs tell clients apart by their addresses")


def open_files(limit: int | None, sockets: int) -> Finding:
    """Whether a node may have as many sockets as it was told; None is no limit."""
    needed = sockets + SPARE_FILES
    if limit is not None and limit < needed:
        return Finding(
            "wrong",
            f"a process may open {limit} files here, and RELAY_SOCKETS={sockets} needs {needed}: "
            "raise it (ulimit -n, LimitNOFILE=) or lower RELAY_SOCKETS",
        )
    return Finding(
        "good", f"a process may open {'any number of' if limit is None else limit} files, {needed} are needed"
    )


def timing(here: Mapping[str, float], there: Mapping[str, float]) -> Finding:
    """Whether this code keeps the times that the running cluster agreed on."""
    for name, value in here.items():
        if name in there and there[name] != value:
            return Finding("wrong", f"{name} is {value:g} here and {there[name]:g} in the cluster that is running")
    return Finding(
        "good", "timing constants agree with the cluster's" if there else "no cluster has agreed on times yet"
    )


def registry_owner(prefix: str, here: str, there: str | None) -> Finding:
    """Whether the keys under the prefix belong to this registry."""
    if there is None or there == here:
        return Finding("good", f"the prefix {prefix!r} is {'this registry' if there else 'nobody'}'s")
    return Finding(
        "wrong", f"the prefix {prefix!r} belongs to another cluster: its registry is {there[:8]}, this is {here[:8]}"
    )


def secrets(here: tuple[str, ...], there: Mapping[str, tuple[str, ...]]) -> list[Finding]:
    """Whether this node could verify what others sign, and they what it signs; `there` is by node."""
    found = []
    for node, ids in there.items():
        if here and ids and set(here).isdisjoint(ids):
            found.append(
                Finding("wrong", f"no secret of RELAY_SECRET ({', '.join(here)}) is one of {node} ({', '.join(ids)})")
            )
        elif here and ids and here[0] not in ids:
            found.append(Finding("doubt", f"{node} does not know the secret that would sign here ({here[0]})"))
        elif here and ids and ids[0] not in here:
            found.append(Finding("doubt", f"the secret that signs at {node} ({ids[0]}) is not known here"))
    return found or [Finding("good", _compared(len(there)))]


def _compared(nodes: int) -> str:
    if not nodes:
        return "no node runs whose RELAY_SECRET could be another"
    return f"RELAY_SECRET goes with that of {'the node that runs' if nodes == 1 else f'all {nodes} nodes'}"


def _eviction(config: Mapping[str, str]) -> Finding:
    policy, memory = config.get("maxmemory-policy"), config.get("maxmemory", "0")
    if policy is None:
        return Finding("doubt", "Redis does not say its maxmemory-policy, which must be noeviction")
    if policy == "noeviction":
        return Finding("good", "maxmemory-policy is noeviction")
    kind: Literal["doubt", "wrong"] = "doubt" if memory == "0" else "wrong"
    return Finding(kind, f"maxmemory-policy is {policy}: a Redis that is full would forget machines; set noeviction")


def _buffers(limits: str | None) -> Finding:
    words = (limits or "").split()
    if "pubsub" not in words[:-3]:
        return Finding(
            "doubt", "Redis does not say its client-output-buffer-limit, of which pubsub needs 8 MiB or more"
        )
    at = words.index("pubsub")
    hard, soft = int(words[at + 1]), int(words[at + 2])
    if any(0 < limit < BUFFER_BYTES for limit in (hard, soft)):
        return Finding(
            "wrong",
            f"client-output-buffer-limit pubsub is {hard} {soft}: Redis would cut nodes that are busy; "
            "set 33554432 8388608 60 or more",
        )
    return Finding("good", f"client-output-buffer-limit pubsub is {hard} {soft}")


def _node_timeout(text: str | None) -> Finding:
    if text is None:
        return Finding("doubt", "Redis does not say its cluster-node-timeout, which must be 5000 or less")
    if int(text) > NODE_TIMEOUT_MS:
        return Finding(
            "wrong", f"cluster-node-timeout is {text}: a primary that died is missed too long; set 5000 or less"
        )
    return Finding("good", f"cluster-node-timeout is {text}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
