"""Lists the alerts about Redis, the registry, and what goes through them: the bus, presence and sweeps."""

from __future__ import annotations

from deploy.monitoring.alert import LOG, Alert, Trial, growing, steady
from deploy.monitoring.alerts import ON_A, A, B

STORES = (
    Alert(
        "RelayRedisLost",
        "max(relay_redis_lost) == 1",
        1,
        "page",
        "A node has had no Redis for twenty seconds or more",
        "It is unready and offers its agents to move. No machine is shown offline for it. Who shares its own node with "
        "a machine works on; nobody new is admitted.",
        "One node or all? Redis itself: alive, its memory, `INFO clients`, a failover under way. The log of sentinels.",
        "Bring Redis back, empty if need be: nodes put everything back within half a minute, and nothing that anybody "
        "configured is kept there.",
        Trial({"relay_redis_lost{" + A + "}": steady(1)}),
        Trial({"relay_redis_lost{" + A + "}": steady(0)}),
    ),
    Alert(
        "RelayShardsAway",
        "max(relay_shards_away) > 0",
        2,
        "ticket",
        "A part of Redis does not take beats",
        "A server of the Redis Cluster is away: machines of its shards cannot connect anew and are shown no worse than "
        "degraded. All others find nothing amiss.",
        "The log names the shards. `CLUSTER NODES`: a primary without a replica that took over.",
        "Bring the server or its replica back.",
        Trial({"relay_shards_away{" + A + "}": steady(21)}),
        Trial({"relay_shards_away{" + A + "}": steady(0)}),
    ),
    Alert(
        "RelayRedisSlow",
        "histogram_quantile(0.99, sum by (instance, le) (rate(relay_redis_seconds_bucket[5m]))) > 0.1",
        5,
        "ticket",
        "Redis answers a node slowly",
        "One command in a hundred takes more than 100 ms: hellos, tickets and lookups wait as long.",
        "The node's loop lag first: a held loop reads answers late. Then Redis: `SLOWLOG`, CPU, swap, a fork to disk.",
        "Whoever shares the server and runs long commands goes elsewhere; or give the relay more shards.",
        Trial(
            {
                'relay_redis_seconds_bucket{le="0.05", ' + A + "}": growing(0),
                'relay_redis_seconds_bucket{le="1.0", ' + A + "}": growing(60),
                'relay_redis_seconds_bucket{le="+Inf", ' + A + "}": growing(60),
            },
            ON_A,
        ),
        Trial(
            {
                'relay_redis_seconds_bucket{le="0.05", ' + A + "}": growing(60),
                'relay_redis_seconds_bucket{le="1.0", ' + A + "}": growing(60),
                'relay_redis_seconds_bucket{le="+Inf", ' + A + "}": growing(60),
            }
        ),
    ),
    Alert(
        "RelayRegistryAway",
        "max(relay_registry_away) == 1",
        2,
        "page",
        "The registry does not answer",
        "Machines stay connected, sessions and lists work. Nobody can sign in anew, register, revoke or invite: these "
        "answer 503 `registry-unavailable`.",
        "PostgreSQL: alive, connections, disk. SQLite: the disk of the data folder, full or read-only.",
        "Bring it back; nodes and sweepers notice within seconds and catch up by themselves.",
        Trial({"relay_registry_away{" + A + "}": steady(1)}),
        Trial({"relay_registry_away{" + A + "}": steady(0)}),
    ),
    Alert(
        "RelayRegistryRefuses",
        "sum by (access) (rate(relay_registry_failures_total[5m])) > 0.05",
        5,
        "page",
        "The registry answers, and does not do what it is asked",
        "More than three transactions a minute are not done. `write` alone, while lists and sessions work: its disk is "
        "full, or it became read-only, and nobody can revoke, register or sign in: these answer 503. `read` too: it is "
        "busy or nearly away.",
        f"Why: `{LOG} | grep 'the registry'`: its disk is full, it takes no writes now, is busy, or has too many "
        "connections. PostgreSQL: `df -h` on its host, `SELECT pg_is_in_recovery()`. SQLite: `df -h` and `ls -l` of "
        "the data folder.",
        "Full: free or add space; nothing is to be restarted, the next write goes through. Read-only: point "
        "RELAY_DATABASE_URL at the primary. `relay admin prune --dry-run` says what may go from the registry itself.",
        Trial(
            {
                'relay_registry_failures_total{access="write", ' + A + "}": growing(6),
                'relay_registry_failures_total{access="read", ' + A + "}": growing(0),
            },
            {"access": "write"},
        ),
        Trial({'relay_registry_failures_total{access="write", ' + A + "}": growing(1)}),
    ),
    Alert(
        "RelayRegistrySlow",
        "histogram_quantile(0.99, sum by (instance, access, le) (rate(relay_registry_seconds_bucket[10m]))) > 1",
        10,
        "ticket",
        "The registry is slow",
        "One transaction in a hundred takes more than a second. Beyond 4.5 s whoever asked is told 503.",
        "Locks and slow statements of PostgreSQL; for SQLite the disk, and how many processes write.",
        "Give it the disk it needs. A cluster that writes much belongs on PostgreSQL.",
        Trial(
            {
                'relay_registry_seconds_bucket{access="write", le="1.0", ' + A + "}": growing(0),
                'relay_registry_seconds_bucket{access="write", le="2.5", ' + A + "}": growing(6),
                'relay_registry_seconds_bucket{access="write", le="+Inf", ' + A + "}": growing(6),
            },
            {"access": "write", **ON_A},
        ),
        Trial(
            {
                'relay_registry_seconds_bucket{access="write", le="0.01", ' + A + "}": growing(6),
                'relay_registry_seconds_bucket{access="write", le="+Inf", ' + A + "}": growing(6),
            }
        ),
    ),
    Alert(
        "RelayChangesBehind",
        "max by (instance) (relay_changes_age_seconds) > 30",
        1,
        "page",
        "A node does not know the latest changes of access",
        "Nodes read the table of changes every CHANGES_SECONDS (2 s unless `relay admin timing show` says otherwise). "
        "This one has not for half a minute: whoever lost access since, by a revoked machine or key or a removed "
        "member, may still be connected there.",
        "RelayRegistryAway too? Then the registry. Else this node alone: its log, its way to the registry.",
        "If somebody must be locked out now, drain the node: `relay node drain NODE`.",
        Trial({"relay_changes_age_seconds{" + A + "}": steady(45)}, ON_A),
        Trial({"relay_changes_age_seconds{" + A + "}": steady(2)}),
    ),
)

BUS = (
    Alert(
        "RelayBusDeaf",
        "relay_bus_deaf == 1",
        1,
        "page",
        "A node cannot hear the others",
        "What other nodes publish for it is lost: people on it whose machine is elsewhere see nothing new, and are "
        "told to come back as soon as it hears again.",
        "Round trip and losses of the bus; Redis's `client-output-buffer-limit pubsub`; the network from that host.",
        "Mend the way to Redis, or drain the node.",
        Trial({"relay_bus_deaf{" + A + "}": steady(1)}, ON_A),
        Trial({"relay_bus_deaf{" + A + "}": steady(0)}),
    ),
    Alert(
        "RelayLaneGaps",
        "sum by (instance) (rate(relay_lane_gaps_total[5m])) > 0.1",
        5,
        "ticket",
        "Frames between nodes are missed again and again",
        "Each gap makes people's sessions start again from what they have: nothing is lost, but they see it happen.",
        "Which nodes; the bus's losses; loop lag of sender and receiver; nodes that came and went.",
        "A node that is held (RelayLoopHeld) or a network that drops is the cause as a rule: mend that.",
        Trial({"relay_lane_gaps_total{" + A + "}": growing(30)}, ON_A),
        Trial({"relay_lane_gaps_total{" + A + "}": growing(0.1)}),
    ),
    Alert(
        "RelayBusFull",
        "sum by (instance) (rate(relay_lane_batches_dropped_total[5m])) > 0",
        5,
        "ticket",
        "A node's batches for others are dropped",
        "More waits for Redis to read than the node keeps, or Redis is away. Sessions with receivers there get gaps.",
        "Bytes that wait on the bus; Redis's CPU and network; one session that floods.",
        "Give the bus a Redis of its own, or a Cluster: channels are spread over its servers.",
        Trial({"relay_lane_batches_dropped_total{" + A + "}": growing(6)}, ON_A),
        Trial({"relay_lane_batches_dropped_total{" + A + "}": growing(0)}),
    ),
)

PRESENCE = (
    Alert(
        "RelayNoSweeper",
        "absent(relay_sweep_age_seconds)",
        2,
        "page",
        "No sweeper is running, as far as Prometheus sees",
        "Lists and pickers stay right, for every reader computes who is offline. Nobody is told of it by event or "
        "webhook, and last-seen times are not written to the registry.",
        "`relay top`: sweepers. The supervisor of the sweepers; RELAY_METRICS_PORT on them.",
        "Start one; two are better, and never announce twice.",
        Trial({"relay_agents{" + A + "}": steady(10)}),
        Trial({"relay_sweep_age_seconds{" + A + "}": steady(1)}),
    ),
    Alert(
        "RelaySweepStalled",
        "min(relay_sweep_age_seconds) > 30",
        1,
        "page",
        "No sweeper has ended a round for half a minute",
        "Rounds begin every SWEEP_SECONDS (2 s unless `relay admin timing show` says otherwise). As with no sweeper "
        "at all, machines that fell silent are not announced.",
        "The sweepers' log: `a sweep waits` says for what. Redis and registry as above.",
        "Mend Redis or the registry; if a sweeper hangs without either, end it.",
        Trial({"relay_sweep_age_seconds{" + A + "}": steady(90), "relay_sweep_age_seconds{" + B + "}": steady(45)}),
        Trial({"relay_sweep_age_seconds{" + A + "}": steady(90), "relay_sweep_age_seconds{" + B + "}": steady(1)}),
    ),
    Alert(
        "RelaySweepBehind",
        "min(relay_sweep_behind) == 1",
        5,
        "ticket",
        "Sweepers do not get through all that is due",
        "More machines leave and return than one round after the other takes. Announcements come late.",
        "How many are swept each second; the registry's write times; a mass outage.",
        "After an outage it ends by itself. Else make the registry quicker: it takes a transaction for 500 machines.",
        Trial({"relay_sweep_behind{" + A + "}": steady(1)}),
        Trial({"relay_sweep_behind{" + A + "}": "1x3 0x120"}),
    ),
    Alert(
        "RelayPresenceDrift",
        "sum by (drift) (relay_presence_drift) > 0",
        10,
        "ticket",
        "Redis and the nodes disagree about where machines are",
        "Each minute a node compares some of its machines with Redis, twice. `unknown`: Redis has no record of one "
        "that is connected; `elsewhere`: it names another node; `ghost`: it names this node, which does not have it. "
        "All of them heal with beats; lasting ones are a mistake of ours.",
        "The kind, and on how many nodes. Beats lost by reason. Redis: evictions, a replica that was promoted.",
        "Redis must not evict: `maxmemory-policy noeviction`. Else draining the node makes it right; please report it.",
        Trial({'relay_presence_drift{drift="ghost", ' + A + "}": steady(3)}, {"drift": "ghost"}),
        Trial({'relay_presence_drift{drift="ghost", ' + A + "}": "3 0x120"}),
    ),
)
