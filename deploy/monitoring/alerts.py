"""Lists the alerts about what is wrong now; those about promises over weeks are in objectives.py."""

from __future__ import annotations

from deploy.monitoring.alert import Alert, Trial, steady

A, B = 'instance="a:9100"', 'instance="b:9100"'
ON_A = {"instance": "a:9100"}

# --- is everybody there ------------------------------------------------------------------------------------------

PARTS = (
    Alert(
        "RelayTargetDown",
        'up{job=~".*relay.*"} == 0',
        2,
        "page",
        "A node or sweeper of the relay is not scraped",
        "Prometheus cannot read the metrics of a process: it has ended, stands still, or its metrics port is closed to "
        "Prometheus. Machines and people on a node that ended are on other nodes within seconds.",
        "`relay node list` or `relay top`: is the node still listed? Its log, its exit code, and the host's.",
        "A process that ended is started by its supervisor; exit code 78 is a wrong setting, named in the last line of "
        "the log. If it runs and is listed, mend the way of Prometheus to its RELAY_METRICS_PORT.",
        Trial({'up{job="prod-relay-node", ' + A + "}": steady(0)}, {"job": "prod-relay-node", **ON_A}),
        Trial({'up{job="prod-relay-node", ' + A + "}": steady(1), 'up{job="shop"}': steady(0)}),
    ),
    Alert(
        "RelayRestarting",
        "changes(process_start_time_seconds[30m]) > 3",
        1,
        "ticket",
        "A process of the relay starts again and again",
        "More than three starts of one instance in half an hour, which no roll needs. Its peers move each time.",
        "The log of the process before each end: out of memory, a port that is taken, a setting, a crash.",
        "Stop the loop: take the instance out, mend the cause, bring it back. The others carry its peers meanwhile.",
        Trial({"process_start_time_seconds{" + A + "}": "0x30 1x5 2x5 3x5 4x5 5x120"}, ON_A, at_minutes=55),
        Trial({"process_start_time_seconds{" + A + "}": "0x30 1x100"}, at_minutes=45),
    ),
    Alert(
        "RelayNodesDisagree",
        "max(relay_nodes) != min(relay_nodes)",
        5,
        "ticket",
        "Nodes do not agree on how many of them there are",
        "Each node counts the leases it reads in Redis. They differ for long when some nodes use another Redis or "
        "another RELAY_REDIS_PREFIX, or when parts of a Redis Cluster are away for some of them.",
        "The panel of nodes by instance; RELAY_REDIS_URL and RELAY_REDIS_PREFIX of each; `relay node list` with both.",
        "Give all nodes the same Redis and prefix. Two clusters on one Redis need two prefixes.",
        Trial({"relay_nodes{" + A + "}": steady(3), "relay_nodes{" + B + "}": steady(1)}),
        Trial({"relay_nodes{" + A + "}": steady(3), "relay_nodes{" + B + "}": steady(3)}),
    ),
    Alert(
        "RelayMixedVersions",
        "count(count by (version) (relay_build_info)) > 1",
        120,
        "ticket",
        "A roll to another version has not come to its end",
        "Two versions run beside each other for two hours. They understand each other, but nothing new is used.",
        "The panel of versions; the roll of your orchestrator; a node that does not end its drain.",
        "Go on with the roll, or back. Never leave three versions beside each other.",
        Trial(
            {
                'relay_build_info{version="1.0.0", ' + A + "}": "1x240",
                'relay_build_info{version="1.1.0", ' + B + "}": "1x240",
            },
            at_minutes=180,
        ),
        Trial({'relay_build_info{version="1.0.0", ' + A + "}": "1x240"}, at_minutes=180),
    ),
)

# --- readiness and change ----------------------------------------------------------------------------------------

READINESS = (
    Alert(
        "RelayNoReadyNode",
        "min(sum by (instance) (relay_unready)) > 0",
        1,
        "page",
        "No node takes newcomers",
        "Every node has a reason to be unready. Whoever is connected stays; nobody who comes gets in.",
        "The reasons by instance. `redis-lost`, `bus-deaf` and `lease-lapsed` on all nodes mean Redis; `draining` on "
        "all means that somebody drains all at once; `misconfigured` that Redis was given to another cluster, "
        "which the log names.",
        "Mend Redis (see RelayRedisLost). If it is a roll, stop it until a node is ready again.",
        Trial(
            {
                'relay_unready{reason="redis-lost", ' + A + "}": steady(1),
                'relay_unready{reason="redis-lost", ' + B + "}": steady(1),
            }
        ),
        Trial(
            {
                'relay_unready{reason="redis-lost", ' + A + "}": steady(1),
                'relay_unready{reason="redis-lost", ' + B + "}": steady(0),
            }
        ),
    ),
    Alert(
        "RelayNodeUnready",
        'sum by (instance, reason) (relay_unready{reason!="draining"}) > 0',
        3,
        "ticket",
        "A node takes no newcomers, and not because it drains",
        "One node is worse off than it should be: it cannot hear the bus, has lost Redis, or cannot renew its lease.",
        "The reason. The node's log: `the bus cannot reach Redis`, `beats wait for Redis`. Network from that host.",
        "Mend its way to Redis, or drain and replace the node: `relay node drain NODE`.",
        Trial({'relay_unready{reason="bus-deaf", ' + A + "}": steady(1)}, {"reason": "bus-deaf", **ON_A}),
        Trial({'relay_unready{reason="draining", ' + A + "}": steady(1)}),
    ),
    Alert(
        "RelayDrainStuck",
        'relay_unready{reason="draining"} == 1',
        60,
        "ticket",
        "A node has been draining for an hour",
        "A drain takes RELAY_DRAIN_SECONDS (at most an hour) and some seconds. This one does not end.",
        "`relay top`: who is left on it. The log says `somebody does not leave`.",
        "A second SIGTERM closes who is left at once; they are on other nodes within seconds.",
        Trial({'relay_unready{reason="draining", ' + A + "}": steady(1)}, {"reason": "draining", **ON_A}, 90),
        Trial({'relay_unready{reason="draining", ' + A + "}": "1x20 0x120"}, at_minutes=90),
    ),
    Alert(
        "RelaySocketsNearLimit",
        "(relay_agents + relay_browsers) / relay_sockets_allowed > 0.85",
        10,
        "ticket",
        "A node is nearly full",
        "At RELAY_SOCKETS newcomers get 4100 and come back later, elsewhere if they can.",
        "The same on all nodes? Then the cluster is nearly full. On one only: `relay node rebalance --dry-run`.",
        "Add nodes, then `relay node rebalance`; or raise RELAY_SOCKETS with the open files that the host allows.",
        Trial(
            {
                "relay_agents{" + A + "}": steady(17_000),
                "relay_browsers{" + A + "}": steady(1_000),
                "relay_sockets_allowed{" + A + "}": steady(20_000),
            },
            ON_A,
        ),
        Trial(
            {
                "relay_agents{" + A + "}": steady(10_000),
                "relay_browsers{" + A + "}": steady(1_000),
                "relay_sockets_allowed{" + A + "}": steady(20_000),
            }
        ),
    ),
)
