"""Holds the Redis schema: every key and channel of the cluster is spelled here and nowhere else.

Schema. P is the prefix (RELAY_REDIS_PREFIX), N a shard: crc32(workspace id) mod 64. All keys of a shard share the hash
tag {pN}, so that one script may touch them together in a Redis Cluster; no script touches two tags.

    P:{pN}:fences       hash    machine -> FENCE while connected, or "FENCE REASON HEARD_MS DEADLINE_MS" once parted
    P:{pN}:deadlines    zset    machine -> when it is due to be offline, ms; a beat sets heard + 90 s
    P:{pN}:offline      zset    machine -> since when it is offline, ms; such rows are forgotten after two days
    P:{pN}:places       hash    machine -> "WORKSPACE BOOT": whose it is and which node has (or had) its socket
    P:{pN}:infos        hash    machine -> JSON of rules.presence.Info
    P:{pN}:untold       zset    machine -> when a sweeper may next take it, ms; what SQL has not been told yet
    P:{pN}:versions     hash    workspace -> grows with each change of its machines: the letter to the bell
    P:{pN}:rung         zset    machine -> version of its workspace when it last rang; kept for a minute, so that a
                                reader who knows a version reads again only who rang since
    P:{pN}:contests     hash    machine -> "MS MS MS|GENERATION:KNOWN": the latest times that a stranger took it over,
                                and the generation that the last one got, with the one that it said it had
    P:{pN}:marker       hash    flushed -> ms of the last flush, settled -> ms from when silence proves
                                something, by -> the node that flushed last
    P:{pN}:revoked      set     revoked machines; only ever grows
    P:{pN}:upto         string  all revocations up to this change number are in the set above
    P:{pN}:loading:T    string  how many parts of one long load are in; T is random
    P:{lN}:leases       zset    boot id -> ms of its last renewal; a lease is good for 15 s, and who had one is kept for
                                an hour. N is 27, 13 and 77: the list is kept three times, so that no server's absence
                                hides or ends a lease
    P:{lN}:nodes        hash    boot id -> JSON of Lease, or nothing of a node that left on purpose
    P:orders:BOOT       hash    kind -> JSON of an order that an operator gave to one node; "done KIND" -> the id of the
                                latest that it carried out
    P:registry          string  id of the registry whose cluster uses this prefix; on each of its servers
    P:layout            string  the servers that the cluster's Redis is divided among, or "one"; on each of them, and as
                                long as a lease
    P:{reports}:heard   zset    process -> ms of its last report, for 15 s
    P:{reports}:said    hash    process -> JSON of a report, which is for people who watch and for nobody else
    P:agreement         hash    name of a timing constant -> the value that all nodes run with; "chosen NAME" -> 1 where
                                that is an operator's; on each server too
    P:ticket:HASH       string  what a one-time ticket stands for; lives 30 s
    P:device:HASH       hash    one device sign-in: user code, state, person, poll times
    P:user-code:CODE    string  HASH of the device sign-in that shows this code
    P:rate:NAME:HASH    hash    one token bucket: level, ms

Tickets live 30 s, the layout 15 s; all else is kept for two days (`REDIS_KEPT_SECONDS`), so that a lifetime never
decides what only the 90-second rule may decide. A key of a shard gets its lifetime when it is made, and anew each hour
from the flushes of nodes.

Channels (sharded pub/sub; a message is the doorbell, a key above is the letter):

    P:inbox:BOOT        batches for one node
    P:{pN}:events       JSON {"workspace": id, "machines": [id, ...]}: read these again
    P:order-bell:BOOT   there is an order for this node
    P:changes           the table of changes has grown
    P:probe:T           one node's own voice, each second
"""

from __future__ import annotations

import hashlib
from zlib import crc32

LEASE_LISTS = ("l27", "l13", "l77")  # tags whose slots are in the middle of each third of all: 2889, 7838 and 13500
SHARDS = 64  # more than any cluster has primaries; each costs a node one short script per flush


def digest(secret: str) -> str:
    """How a secret is named in a key: half of its SHA-256, which nobody turns back into 190 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


class Keys:
    """Every key and channel under one prefix."""

    def __init__(self, prefix: str = "relay") -> None:
        self.prefix = prefix
        self.leases = tuple((f"{prefix}:{{{tag}}}:leases", f"{prefix}:{{{tag}}}:nodes") for tag in LEASE_LISTS)
        self.reports = (f"{prefix}:{{reports}}:heard", f"{prefix}:{{reports}}:said")
        self.agreement = f"{prefix}:agreement"
        self.registry = f"{prefix}:registry"
        self.layout = f"{prefix}:layout"
        self.changes_bell = f"{prefix}:changes"
        self._shards = tuple(f"{prefix}:{{p{shard}}}:" for shard in range(SHARDS))

    def shard(self, workspace: str) -> int:
        """The shard of a workspace; the same in every process and version."""
        return crc32(workspace.encode()) % SHARDS

    @property
    def shards(self) -> range:
        """All shards."""
        return range(SHARDS)

    def of(self, shard: int, name: str) -> str:
        """One of the shard's keys, by its name in the schema."""
        return self._shards[shard] + name

    def loading(self, shard: int, token: str) -> str:
        """Counts the parts of one long load of revocations."""
        return f"{self._shards[shard]}loading:{token}"

    def events(self, shard: int) -> str:
        """The channel that says which machines of a shard to read again."""
        return self._shards[shard] + "events"

    def inbox(self, boot: str) -> str:
        """The channel of one node."""
        return f"{self.prefix}:inbox:{boot}"

    def probe(self, token: str) -> str:
        """The channel on which a bus listens for its own voice."""
        return f"{self.prefix}:probe:{token}"

    def orders(self, boot: str) -> str:
        """What an operator asked of one node."""
        return f"{self.prefix}:orders:{boot}"

    def orders_bell(self, boot: str) -> str:
        """The channel that tells that node to look."""
        return f"{self.prefix}:order-bell:{boot}"

    def ticket(self, secret: str) -> str:
        """What a ticket stands for."""
        return f"{self.prefix}:ticket:{digest(secret)}"

    def device(self, name: str) -> str:
        """One device sign-in, by the digest of its device code."""
        return f"{self.prefix}:device:{name}"

    def user_code(self, code: str) -> str:
        """Leads from the code that a person types to the device sign-in."""
        return f"{self.prefix}:user-code:{code}"

    def rate(self, name: str, subject: str) -> str:
        """One token bucket."""
        return f"{self.prefix}:rate:{name}:{digest(subject)}"
