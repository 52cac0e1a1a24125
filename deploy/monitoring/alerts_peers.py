"""Lists the alerts about peers and processes: who is turned away or cut off, and whose loop is held."""

from __future__ import annotations

from deploy.monitoring.alert import LOG, Alert, Trial, growing, steady
from deploy.monitoring.alerts import ON_A, A

WELCOME = (
    Alert(
        "RelayRefusing",
        """
        sum(rate(relay_handshakes_refused_total{why=~"too-fast|over-capacity|unavailable|internal"}[5m]))
          / (sum(rate(relay_sockets_opened_total[5m])) + sum(rate(relay_handshakes_refused_total{why="too-fast"}[5m])))
          > 0.05
        """,
        5,
        "page",
        "More than one newcomer in twenty is turned away for our sake",
        "Nodes are full (`over-capacity`, 4100), newcomers come faster than RELAY_HANDSHAKES (`too-fast`, 503), or "
        "what a node needs for them does not answer (`unavailable`, 4103; to agents of older versions 4100). They come "
        "back, at the pace they are told.",
        "Why, by instance. A storm after an outage passes within a minute or two: is it a second one? `unavailable`: "
        "RelayRegistryAway, RelayRedisLost, and the words of `a peer is refused` in the log.",
        "`unavailable`: mend what is away. Else add nodes; behind a balancer that favours one, see how it spreads.",
        Trial(
            {
                'relay_sockets_opened_total{role="agent", ' + A + "}": growing(60),
                'relay_handshakes_refused_total{role="agent", why="too-fast", ' + A + "}": growing(60),
            }
        ),
        Trial(
            {
                'relay_sockets_opened_total{role="agent", ' + A + "}": growing(60),
                'relay_handshakes_refused_total{role="agent", why="too-fast", ' + A + "}": growing(1),
            }
        ),
    ),
    Alert(
        "RelayBadTokens",
        'sum by (instance, role) (rate(relay_handshakes_refused_total{why="bad-token"}[10m])) > 1',
        10,
        "ticket",
        "Tokens are refused more than once a second",
        "Somebody tries tokens, an installation kept one that has ended, or this node has another RELAY_SECRET than "
        "those that signed them.",
        "All nodes alike, or one? One: its secret. All: the log says which addresses.",
        "Give all nodes the same RELAY_SECRET, the newest first; block who guesses at the balancer.",
        Trial(
            {'relay_handshakes_refused_total{role="agent", why="bad-token", ' + A + "}": growing(120)},
            {"role": "agent", **ON_A},
        ),
        Trial({'relay_handshakes_refused_total{role="agent", why="bad-token", ' + A + "}": growing(6)}),
    ),
    Alert(
        "RelayRestErrors",
        'sum(rate(relay_rest_answers_total{status=~"5.."}[5m])) / sum(rate(relay_rest_answers_total[5m])) > 0.02',
        5,
        "ticket",
        "REST answers errors of ours",
        "More than one answer in fifty is a 500 or 503. A 503 says that Redis or the registry does not answer.",
        "By call and status; RelayRegistryAway and RelayRedisLost; tracebacks in the log for 500.",
        "Mend what is away. A 500 is a mistake of ours: please report it with its traceback.",
        Trial(
            {
                'relay_rest_answers_total{call="whoami", status="200", ' + A + "}": growing(60),
                'relay_rest_answers_total{call="list_machines", status="503", ' + A + "}": growing(6),
            }
        ),
        Trial(
            {
                'relay_rest_answers_total{call="whoami", status="200", ' + A + "}": growing(60),
                'relay_rest_answers_total{call="whoami", status="404", ' + A + "}": growing(60),
            }
        ),
    ),
)

FAREWELL = (
    Alert(
        "RelaySlowPeers",
        'sum by (role) (rate(relay_sockets_closed_total{code="4102"}[10m])) > 0.2',
        10,
        "ticket",
        "Peers are cut off because they do not read",
        "More than one in five seconds did not take what waits for it (2 MiB). They return and get what they missed.",
        "Role, and whether it is one network. Bytes that wait in outboxes. A proxy that buffers before it.",
        "Mend the network or the proxy. Nobody else waits for slow peers, so nothing need be done for the others.",
        Trial({'relay_sockets_closed_total{role="browser", code="4102", ' + A + "}": growing(30)}, {"role": "browser"}),
        Trial({'relay_sockets_closed_total{role="browser", code="1001", ' + A + "}": growing(30)}),
    ),
    Alert(
        "RelayNoPongs",
        """
        sum(rate(relay_sockets_closed_total{code="4201"}[10m]))
          > 0.01 * (sum(relay_agents) + sum(relay_browsers)) / 60
        """,
        10,
        "ticket",
        "One connection in a hundred is lost silently each minute",
        "Peers do not answer pings within 30 s: their network drops connections without closing them.",
        "An idle timeout in front of the relay that is shorter than the ping of 20 s; one network, or all.",
        "Raise the timeout of the proxy or balancer above 30 s; see deploy/proxies.",
        Trial(
            {
                "relay_agents{" + A + "}": steady(1_000),
                "relay_browsers{" + A + "}": steady(100),
                'relay_sockets_closed_total{role="agent", code="4201", ' + A + "}": growing(60),
            }
        ),
        Trial(
            {
                "relay_agents{" + A + "}": steady(1_000),
                "relay_browsers{" + A + "}": steady(100),
                'relay_sockets_closed_total{role="agent", code="4201", ' + A + "}": growing(2),
            }
        ),
    ),
)

LIMITS = (
    Alert(
        "RelayLimitMet",
        'sum by (limit) (rate(relay_limits_reached_total{limit!~"RELAY_HANDSHAKES|RELAY_SOCKETS"}[10m])) > 1',
        10,
        "ticket",
        "Somebody meets a limit again and again",
        "A program floods the relay, or a limit is too small for what people do. Who meets a limit pays for it alone: "
        "its frames, requests or connections are refused, and nobody else's.",
        "Which limit, and on which instance: `sum by (instance, limit) (rate(relay_limits_reached_total[10m]))`. Whose "
        f'connections come and go: `{LOG} | grep -o \'"user": "[^"]*"\' | sort | uniq -c | sort -n | tail`; for '
        "`UNKNOWN_TOKENS` and `HALF_OPEN_CONNECTIONS` the addresses in the balancer's log.",
        "A program: its owner, or `relay keys revoke KEY` and `relay members remove NAME`; a machine: `relay machines "
        "kick NAME`. An address: block it at the balancer. The README's table of limits says what each is for.",
        Trial(
            {'relay_limits_reached_total{limit="PENDING_PER_BROWSER", ' + A + "}": growing(120)},
            {"limit": "PENDING_PER_BROWSER"},
        ),
        Trial(
            {
                'relay_limits_reached_total{limit="PENDING_PER_BROWSER", ' + A + "}": growing(6),
                'relay_limits_reached_total{limit="RELAY_HANDSHAKES", ' + A + "}": growing(600),
            }
        ),
    ),
)

HEALTH = (
    Alert(
        "RelayLoopHeld",
        "histogram_quantile(0.99, sum by (instance, le) (rate(relay_loop_lag_seconds_bucket[5m]))) > 0.1",
        5,
        "ticket",
        "A node's event loop is held",
        "Something keeps one node's only thread for more than 100 ms: everything on it is as late.",
        "CPU of the process: at one core it is simply full. Else garbage collection, a noisy neighbour, a debugger.",
        "Full: add nodes, `relay node rebalance`. Else move it to a host with a core of its own.",
        Trial(
            {
                'relay_loop_lag_seconds_bucket{le="0.1", ' + A + "}": growing(180),
                'relay_loop_lag_seconds_bucket{le="1.0", ' + A + "}": growing(240),
                'relay_loop_lag_seconds_bucket{le="+Inf", ' + A + "}": growing(240),
            },
            ON_A,
        ),
        Trial(
            {
                'relay_loop_lag_seconds_bucket{le="0.005", ' + A + "}": growing(240),
                'relay_loop_lag_seconds_bucket{le="+Inf", ' + A + "}": growing(240),
            }
        ),
    ),
    Alert(
        "RelayClockSkew",
        "abs(relay_clock_ahead_seconds) > 5",
        10,
        "ticket",
        "A host's clock differs from that of Redis",
        "Who is online is dated by Redis alone and stays right. Links, tokens and sign-ins end by the node's clock, "
        "and its log and the audit are dated by it. Every node: it is the clock of Redis that is wrong.",
        "`relay config check --connect` on the host names the difference; `timedatectl` there and where Redis runs.",
        "Mend the time service. A clock that is stepped back or forth harms no session.",
        Trial({"relay_clock_ahead_seconds{" + A + "}": steady(-30)}, ON_A),
        Trial({"relay_clock_ahead_seconds{" + A + "}": steady(0.3)}),
    ),
    Alert(
        "RelayStandstill",
        "increase(relay_standstills_total[15m]) > 0",
        0,
        "ticket",
        "A node stood still for seconds",
        "The process was stopped, or its host suspended or starved, for more than four seconds. It goes on by itself.",
        "The host at that time: live migration, memory pressure, steal time; who sent a SIGSTOP.",
        "Keep nodes off hosts that swap or migrate.",
        Trial({"relay_standstills_total{" + A + "}": "0x20 1x100"}, ON_A),
        Trial({"relay_standstills_total{" + A + "}": steady(1)}),
    ),
)
