"""Lists every metric of nodes and sweepers; nothing is exported that is not here, and dashboards are made of it."""

from __future__ import annotations

from functools import partial

from relay.errors import Close
from relay.rules.metric import OTHER, Kind, Label, Metric, Process, Question

BOTH: tuple[Process, ...] = ("node", "sweeper")
SWEEPER: tuple[Process, ...] = ("sweeper",)

# From a question to a Redis beside us to one that nearly hangs: commands are given up after three seconds.
REDIS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
# A transaction takes milliseconds, and who asks is told after 4.5 s that nobody answers.
SQL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# From a cached answer to one that waited for other nodes; the goals for lists are 30 and 100 ms.
REST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
# A person's request waits for a machine somewhere: milliseconds beside us, 30 s at most.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# A hello takes milliseconds; in a storm it waits its turn.
HELLO_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Nobody may hold the loop for more than five milliseconds; a standstill is four seconds.
LAG_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 4.0)
# Each flush and each sweep of a large cluster is many short scripts.
ROUND_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
# Promised are 90 to 97 s after the last beat; what is beyond is late, and how late matters.
OFFLINE_SECONDS = (90.0, 91.0, 92.0, 93.0, 95.0, 97.0, 100.0, 120.0, 180.0, 300.0, 900.0)

CODES = ("0", *(str(code) for code in range(1000, 1016)), *(str(int(code)) for code in Close if code >= 4000))

ROLE = Label("role", ("agent", "browser"))
PEER = Label("peer", ("agent", "browser", "node"))
CODE = Label("code", CODES)
LIMIT = Label(
    "limit",
    (
        "ATTACHMENTS_PER_BROWSER", "ATTACHMENTS_PER_SESSION", "BUS_BYTES", "BUS_CONTROL_BYTES", "HALF_OPEN_CONNECTIONS",
        "HEADERS_PER_REQUEST", "HEAD_BYTES", "LANE_CONTROL_BYTES", "LANE_WINDOW_BYTES", "OUTBOX_BYTES",
        "PENDING_PER_BROWSER", "PENDING_REQUESTS", "PIPELINED_COMMANDS", "RELAY_HANDSHAKES", "RELAY_SOCKETS",
        "REQUEST_READ_SECONDS", "SESSIONS_PER_MACHINE", "SUBSCRIPTIONS_PER_BROWSER", "UNKNOWN_TOKENS", OTHER,
    ),
)  # fmt: skip
# Why a peer was turned away before it was welcome: words of close codes, and of the 503 before any socket.
WHY = Label("why", ("too-fast", Close.INTERNAL.reason, *(code.reason for code in Close if code >= 4000), OTHER))
OUTCOME = Label("outcome", ("done", "denied", "failed"))  # denied: rightly, by what is true; failed: by our trouble
RESUME = Label("outcome", ("recovered", "snapshot"))
ENDED = Label("reason", ("machine-gone", "gap", "behind", "forbidden", "machine-revoked", "left"))
LOST = Label("reason", ("unknown", "revoked", "replaced", "mirror-behind"))
OPERATION = Label("operation", ("open", "end", "sessions"))
ACCESS = Label("access", ("read", "write"))
UNREADY = Label("reason", ("draining", "bus-deaf", "lease-lapsed", "misconfigured", "redis-lost"))
DRIFT = Label("drift", ("unknown", "elsewhere", "ghost"))
CALL = Label("call", of="operation ids in /openapi.json")
STATUS = Label("status", of="statuses in /openapi.json")
SWEPT = Label("outcome", ("done", "waited", "failed"))
WENT = Label("went", ("offline", "online", "forgotten"))
VERSION = Label("version", of="releases of ours")
PROTOCOL = Label("protocol", of="releases of ours")
PYTHON = Label("python", of="releases of Python")


def _metric(
    kind: Kind,
    name: str,
    help: str,
    question: Question,
    *labels: Label,
    unit: str = "",
    bounds: tuple[float, ...] = (),
    processes: tuple[Process, ...] = ("node",),
) -> Metric:
    return Metric(name, kind, unit, help, question, labels, bounds, processes)


_counter, _gauge = partial(_metric, "counter"), partial(_metric, "gauge")
_histogram = partial(_metric, "histogram", unit="seconds")
_Q = Question

# --- who is connected, and where ---------------------------------------------------------------------------------

AGENTS = _gauge("relay_agents", "Agents connected to this node", _Q.WHO, unit="agents")
BROWSERS = _gauge("relay_browsers", "Browsers connected to this node", _Q.WHO, unit="browsers")
SOCKETS_ALLOWED = _gauge("relay_sockets_allowed", "Sockets that this node takes, RELAY_SOCKETS", _Q.WHO, unit="sockets")
SESSIONS = _gauge(
    "relay_sessions", "Sessions of agents on this node, ended ones kept included", _Q.WHO, unit="sessions"
)
ATTACHMENTS = _gauge("relay_attachments", "Attachments of browsers on this node", _Q.WHO, unit="attachments")
NODES = _gauge("relay_nodes", "Nodes that this node believes to live, itself included", _Q.WHO, unit="nodes")

# --- what flows --------------------------------------------------------------------------------------------------

FRAMES_IN = _counter("relay_frames_received", "Session frames received", _Q.TRAFFIC, PEER, unit="frames")
FRAMES_OUT = _counter(
    "relay_frames_sent", "Session frames sent, one for each receiver", _Q.TRAFFIC, PEER, unit="frames"
)
BYTES_IN = _counter("relay_bytes_received", "Bytes of session frames received", _Q.TRAFFIC, PEER, unit="bytes")
BYTES_OUT = _counter("relay_bytes_sent", "Bytes of session frames sent", _Q.TRAFFIC, PEER, unit="bytes")
BEATS = _counter("relay_beats", "Beats told to Redis", _Q.TRAFFIC, unit="beats")

# --- does everybody get in ---------------------------------------------------------------------------------------

OPENED = _counter("relay_sockets_opened", "Sockets accepted", _Q.WELCOME, ROLE, unit="sockets")
REFUSED = _counter(
    "relay_handshakes_refused", "Peers turned away before any welcome", _Q.WELCOME, ROLE, WHY, unit="peers"
)
HELLO = _histogram("relay_hello_seconds", "From an agent's hello to its welcome", _Q.WELCOME, bounds=HELLO_SECONDS)
ATTACHES = _counter("relay_attaches", "Attaches asked for by browsers here", _Q.WELCOME, OUTCOME, unit="attaches")
RESUMES = _counter("relay_resumes", "Attachments that came back", _Q.WELCOME, RESUME, unit="attachments")
REQUESTS = _counter(
    "relay_requests", "Questions of browsers here to machines", _Q.WELCOME, OPERATION, OUTCOME, unit="requests"
)
REQUEST = _histogram(
    "relay_request_seconds", "Time to a machine's answer", _Q.WELCOME, OPERATION, bounds=REQUEST_SECONDS
)
REST_ANSWERS = _counter("relay_rest_answers", "REST answers", _Q.WELCOME, CALL, STATUS, unit="answers")
REST = _histogram("relay_rest_seconds", "Time to a REST answer", _Q.WELCOME, CALL, bounds=REST_SECONDS)

# --- who is cut off ----------------------------------------------------------------------------------------------

CLOSED = _counter("relay_sockets_closed", "Sockets closed", _Q.FAREWELL, ROLE, CODE, unit="sockets")
ENDS = _counter("relay_attachments_ended", "Attachments that ended", _Q.FAREWELL, ENDED, unit="attachments")
LIMITS = _counter("relay_limits_reached", "Times a named limit was met", _Q.FAREWELL, LIMIT, unit="times")

# --- is anything lost, late or waiting ---------------------------------------------------------------------------

GAPS = _counter("relay_lane_gaps", "Times frames from another node may be lost", _Q.LOSS, unit="gaps")
UNSENT = _counter("relay_lane_batches_dropped", "Batches the bus did not take", _Q.LOSS, unit="batches")
BUS_LOSSES = _counter("relay_bus_losses", "Times the bus lost a connection to Redis", _Q.LOSS, unit="times")
BUS_DEAF = _gauge("relay_bus_deaf", "1 while this node cannot hear all that it listens to", _Q.LOSS)
BUS_TRIP = _gauge("relay_bus_round_trip_seconds", "The bus's latest probe", _Q.LOSS, unit="seconds")
DELIVERY = _histogram(
    "relay_delivery_seconds",
    "Each second, how long a message of this node took through Redis to itself; infinite while it is deaf",
    _Q.LOSS,
    bounds=REDIS_SECONDS,
)
BUS_WAITING = _gauge("relay_bus_waiting_bytes", "Published and not yet taken by Redis", _Q.LOSS, unit="bytes")
LANES = _gauge("relay_lanes_bytes", "Sent to nodes that have not said they took it", _Q.LOSS, unit="bytes")
OUTBOXES = _gauge("relay_outbox_bytes", "What waits for peers that are behind", _Q.LOSS, unit="bytes")
BEHIND = _gauge("relay_outboxes_behind", "Peers that are behind in reading", _Q.LOSS, unit="peers")
OUTBOX = _gauge("relay_outbox_longest_bytes", "What waits for the one furthest behind", _Q.LOSS, unit="bytes")

# --- do Redis and the registry answer ----------------------------------------------------------------------------

REDIS = _histogram("relay_redis_seconds", "Round trips of single commands to Redis", _Q.STORES, bounds=REDIS_SECONDS)
FLUSH = _histogram("relay_flush_seconds", "Time to tell Redis all beats", _Q.STORES, bounds=ROUND_SECONDS)
REDIS_LOST = _gauge("relay_redis_lost", "1 while this node has had no Redis for too long", _Q.STORES)
SHARDS_AWAY = _gauge(
    "relay_shards_away", "Shards of presence that are away, as far as beats tell", _Q.STORES, unit="shards"
)
SQL = _histogram(
    "relay_registry_seconds", "Time for a transaction", _Q.STORES, ACCESS, bounds=SQL_SECONDS, processes=BOTH
)
SQL_FAILED = _counter(
    "relay_registry_failures",
    "Transactions that the registry did not do: it is away, busy, read-only, or its disk is full",
    _Q.STORES,
    ACCESS,
    unit="transactions",
)
REGISTRY_AWAY = _gauge("relay_registry_away", "1 while the registry does not answer", _Q.STORES)
CHANGES = _gauge("relay_changes_number", "The change of access that this node has acted on", _Q.STORES, unit="number")
CHANGES_AGE = _gauge("relay_changes_age_seconds", "Since this node last knew every change", _Q.STORES, unit="seconds")

# --- is it true what is shown of machines ------------------------------------------------------------------------

BEATS_LOST = _counter("relay_beats_lost", "Beats that Redis did not take", _Q.TRUTH, LOST, unit="beats")
DRIFTED = _gauge(
    "relay_presence_drift",
    "Of the machines last compared, those for which Redis and this node disagreed twice",
    _Q.TRUTH,
    DRIFT,
    unit="machines",
)
COMPARED = _gauge("relay_presence_compared", "Machines last compared with Redis", _Q.TRUTH, unit="machines")
SWEEPS = _counter("relay_sweeps", "Rounds of this sweeper", _Q.TRUTH, SWEPT, unit="rounds", processes=SWEEPER)
SWEEP = _histogram("relay_sweep_seconds", "Time for a round", _Q.TRUTH, bounds=ROUND_SECONDS, processes=SWEEPER)
SWEPT_MACHINES = _counter(
    "relay_swept", "Machines told to the registry", _Q.TRUTH, WENT, unit="machines", processes=SWEEPER
)
SWEEP_AGE = _gauge(
    "relay_sweep_age_seconds", "Since this sweeper last ended a round", _Q.TRUTH, unit="seconds", processes=SWEEPER
)
SWEEP_BEHIND = _gauge(
    "relay_sweep_behind", "1 while a round does not get through all that is due", _Q.TRUTH, processes=SWEEPER
)
OFFLINE = _histogram(
    "relay_offline_delay_seconds",
    "From a silent machine's last beat until it is told to be offline",
    _Q.TRUTH,
    bounds=OFFLINE_SECONDS,
    processes=SWEEPER,
)
CLEANED = _counter("relay_cleaned", "Rows and records forgotten", _Q.TRUTH, unit="rows", processes=SWEEPER)

# --- is a drain or a move under way ------------------------------------------------------------------------------

UNREADY_FOR = _gauge("relay_unready", "1 for each reason why this node should get no newcomers", _Q.CHANGE, UNREADY)
MOVES = _counter("relay_moves_asked", "Agents asked to move to another node", _Q.CHANGE, unit="agents")
BUILD = _gauge("relay_build_info", "Always 1", _Q.CHANGE, VERSION, PROTOCOL, PYTHON, processes=BOTH)
STARTED = _gauge(
    "process_start_time_seconds", "When this process began, Unix time", _Q.CHANGE, unit="seconds", processes=BOTH
)

# --- is each process well ----------------------------------------------------------------------------------------

LAG = _histogram("relay_loop_lag_seconds", "How late the event loop came to a timer", _Q.HEALTH, bounds=LAG_SECONDS)
STANDSTILLS = _counter("relay_standstills", "Times this process stood still for seconds", _Q.HEALTH, unit="times")
CLOCK_AHEAD = _gauge(
    "relay_clock_ahead_seconds",
    "How far this host's clock is ahead of Redis's, as of the latest minute with machines here",
    _Q.HEALTH,
    unit="seconds",
)
PAUSE = _gauge("relay_gc_pause_seconds", "The latest full garbage collection", _Q.HEALTH, unit="seconds")
LONGEST = _gauge("relay_gc_longest_pause_seconds", "The longest one so far", _Q.HEALTH, unit="seconds")
CPU = _counter("process_cpu_seconds", "Processor time spent", _Q.HEALTH, unit="seconds", processes=BOTH)
RESIDENT = _gauge("process_resident_memory_bytes", "Memory held", _Q.HEALTH, unit="bytes", processes=BOTH)
FILES = _gauge("process_max_fds", "Open files allowed", _Q.HEALTH, unit="files", processes=BOTH)

METRICS = tuple(value for value in globals().copy().values() if isinstance(value, Metric))
BY_SERIES = {series: metric for metric in METRICS for series in metric.series}


def exported_by(process: Process) -> tuple[Metric, ...]:
    """The metrics of one kind of process."""
    return tuple(metric for metric in METRICS if process in metric.processes)
