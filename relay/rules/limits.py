"""Names every limit, with its unit in the name and its reason beside it."""

KIB = 1024
MIB = 1024 * KIB

FRAME_BYTES = 256 * KIB  # one binary message, header included; larger closes with 1009
CONTROL_BYTES = 64 * KIB  # one text message
BODY_BYTES = 64 * KIB  # one REST request body
OUTBOX_BYTES = 2 * MIB  # what waits for one slow peer before that peer pays
RING_BYTES = 1 * MIB  # output an agent keeps per session for those who come back
HEAD_BYTES = 32 * KIB  # a request's line and headers; cookies and tokens are below 8 KiB, proxies add less than that
HEADERS_PER_REQUEST = 100  # each costs more than its bytes; browsers send about twenty, proxies add ten
# Connections of a node whose request is not whole yet: about 20 MB as they usually are; at worst each has sent
# `HEAD_BYTES` and `BODY_BYTES`, which is 400 MB, for as long as a request may take.
HALF_OPEN_CONNECTIONS = 4_096
UNKNOWN_TOKENS = 100  # sound tokens that nobody has, from one address at once: each costs a look at the registry
UNKNOWN_TOKENS_PER_SECOND = 10  # and after that; who is known pays for nothing
UNKNOWN_TOKENS_AT_ONCE = 4  # looked up for addresses beyond it, so that one who shares theirs gets in; a pool has more
PIPELINED_COMMANDS = 10_000  # questions to Redis without an answer, of one node; a storm of departures has one each
BATCH_BYTES = 256 * KIB  # a batch on a lane between two nodes leaves when the next entry does not fit
LANE_WINDOW_BYTES = 6 * MIB  # under way to one node from all others; Redis cuts it at 8 MiB held for 60 s
LANE_FLOOR_BYTES = 512 * KIB  # of that for each sender at least, so that a full driver's window in one tick passes
LANE_CONTROL_BYTES = 2 * MIB  # control messages under way on one lane; with full windows that makes Redis's 8 MiB
REPLAY_WINDOW_BYTES = 128 * KIB  # replayed and not yet seen per attachment, so a full ring never fills an outbox
DRIVER_WINDOW_BYTES = 256 * KIB  # the driver may be this far behind before the source is stalled
WATCHER_WINDOW_BYTES = 512 * KIB  # a watcher further behind gets a gap and a snapshot
INPUT_WINDOW_BYTES = 64 * KIB  # unacknowledged input per attachment
SEEN_EVERY_BYTES = 64 * KIB  # a browser reports what it has seen at least this often
CHUNK_BYTES = 32 * KIB  # one read of a PTY or pipe, so one frame never holds a loop for long

SESSIONS_PER_MACHINE = 256  # live sessions; far above people, far below file descriptors
ATTACHMENTS_PER_SESSION = 1_000  # fits the header's 16 bits with room for reuse
ATTACHMENTS_PER_BROWSER = 64  # tabs of one page
SNAPSHOT_MACHINES = 500  # machines in one part of a snapshot, so that a part stays far below an outbox
VISIBLE_MACHINES = 200  # rows on one screen
SUBSCRIPTIONS_PER_BROWSER = 16  # workspaces one page follows at once
PENDING_PER_BROWSER = 64  # requests without an answer yet
MACHINES_PER_WORKSPACE = 10_000  # what one list may hold
LIST_PAGE = 1_000  # machines per page of a list unless fewer are asked for
WORKSPACES_PER_PERSON = 100
KEYS_PER_WORKSPACE = 1_000
LABELS_PER_MACHINE = 32
EVENTS_PAGE = 200  # audit entries per page

NAME_CHARACTERS = 63  # machine names; the length of one DNS label
QUERY_CHARACTERS = 255  # what a person types to find a machine
HOSTNAME_CHARACTERS = 253  # RFC 1035
TRACEPARENT_CHARACTERS = 128  # 55 as they are today; later versions of the standard may append to it
TITLE_CHARACTERS = 200  # names of people, workspaces, keys and sessions
LABEL_CHARACTERS = 128
UNIX_SECONDS = 253_402_300_799  # the end of the year 9999, after which no calendar of ours writes a date
ARGUMENTS = 1_024  # words of one exec command
ENVIRONMENT = 256  # variables of one exec command
TERMINAL_COLUMNS = 1_000
TERMINAL_ROWS = 1_000
CANDIDATES = 10  # machines named in an ambiguous answer
SCRIPT_IDS = 500  # ids one Redis script takes; Lua's unpack fails at 5,000
