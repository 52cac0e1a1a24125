"""Tells in words what no schema can: how the sockets are used, what frames mean, and what to do after a close."""

from __future__ import annotations

from relay.errors import Close
from relay.rules import limits, timing
from relay.rules.frames import Kind

OVERVIEW = f"""
Machines run an agent, which dials `/ws/agent`; people's programs dial `/ws/browser`. Any node of the cluster will do:
`nodes` in the welcome lists where else it listens. REST calls named here are those of /api/openapi.json.

**Connecting.** Offer the subprotocol `relay.v1`. The server accepts first and refuses afterwards with a close code,
so a refusal is always one of the codes under `x-close-codes`; only when too many come at once the handshake itself is
answered with HTTP 503, and `Retry-After` says in how many seconds it is your turn. Send `hello` within
{timing.HELLO_SECONDS:g} s and nothing before `welcome`. The server sends WebSocket pings every
{timing.PING_SECONDS:g} s and closes after {timing.PONG_SECONDS:g} s without pong.

**Text frames** are one JSON object each, at most {limits.CONTROL_BYTES} bytes, with a `type`. Pass over fields, and
messages of a `type`, that you do not know; say none that is not in this document. A message with a `ref` (your own
counter) is answered by a message with the same `ref`: `result`, `snapshot` or `attaching`, or an `error` with a `code`
of `x-error-codes`. An `error` leaves the socket open. Meeting one of `x-limits` that counts sessions, attachments,
subscriptions or requests is the error `limit-reached` with the limit's name in `limit`; messages that break a schema or
a size close the socket.

**Binary frames** are session data: the header under `x-header` (big-endian, {limits.FRAME_BYTES} bytes at most with
the payload), then the payload, which nodes never read. `x-frames` lists the kinds.

**Numbers.** Output of a session (kinds below 16) is numbered by the agent from 1 in each epoch, without holes; the
epoch is the Unix time at which the agent process started. Keep the last number that you showed: drop what is at or
below it; if a number is skipped, detach and attach again. Input (kinds 16 to 31) is numbered by you from 1, in one
stream per (session, client id); it is applied once and acknowledged cumulatively by ACK.
"""

AGENT_FLOW = f"""
1. POST /api/machines once and keep `machine.id` and `machineToken`; connect with `Authorization: Bearer
   machineToken`.
2. Send `hello` with the installation's id, the generation last held (0 at first) and the sessions that still run; with
   `knowsUnavailable: true` you are told 4103 for what you would be told 4100 for otherwise.
3. After `welcome` keep its `generation`, and send `beat` every `beatSeconds`, each up to a fifth early at random; after
   `pace` as often as that says.
4. Answer each `request` by an `answer` with its `ref`. `open` has the fields of the browser's `open` but ref and
   machine, and answers {{"session": Session}}; `sessions` answers {{"sessions": [Session]}}; `end` takes
   {{"session": id}} and answers {{"session": Session}}. Send `session` whenever one begins, changes or ends.
5. On `attach` send `attaching`, then the frames from `first` on with that attachment number in the header, then
   `attached` with the last number sent. Frames with attachment 0 go to everybody who is attached and caught up. For a
   session that you do not keep any more send `attach-refused`.
6. Keep at least the last output of each session for those who come back: `after` names what they have. If that is not
   kept any more, or is of another epoch, answer `recovered: false` and send all that is kept.
7. Apply INPUT only when its number is the last plus one, acknowledge with ACK (`sequence` is the last one applied),
   and remember the stream for ten minutes after its attachment left. Refuse input of who does not hold the keyboard
   with `input-refused`. `term` grows when the keyboard passes to another client than had it last, also when it was
   free in between.
8. Pause the source while the driver's SEEN is more than {limits.DRIVER_WINDOW_BYTES} bytes behind; a watcher more
   than {limits.WATCHER_WINDOW_BYTES} behind gets `behind`, is detached, and attaches again.
9. On `move` connect to one of `nodes` within the time and close this socket after the welcome there. Send `bye`
   before leaving on purpose.
"""

BROWSER_FLOW = f"""
1. Connect with `Authorization: Bearer TOKEN`; a page with its cookie (`Origin` must be listed); or with a ticket of
   POST /api/tickets as second subprotocol after `relay.v1`.
2. Send `hello` with a random client id, kept in memory only; `welcome` tells who you are.
3. `subscribe` to a workspace: a `snapshot` with a number follows, in parts while `more` is true, then `machine`,
   `gone` and `seen`, each numbered one more. If a number is missing, subscribe again. `seen` comes only for the rows
   that you called `visible`.
4. `open` starts a session: the `result` is {{"session": Session}}. For a command use kind `exec` with `command`, and
   attach with `after` at sequence 0 of the session's epoch, so that nothing is missed.
5. `attach` with `after` null for all that is kept, or with the epoch and last number that you have. `attaching` comes
   first: clear the screen if `recovered` is false; `input` is the last of your inputs that was applied; from then on
   put `attachment` into the header of all your frames. Frames follow, then `attached`.
6. One client at a time holds the keyboard: `driver` in `attaching` says whether you do, the message `driver` who does
   now, `input-refused` that your input was not applied. `take` takes it. It stays with a dropped client for
   {timing.DRIVER_KEPT_SECONDS:g} s.
7. Number INPUT, RESIZE and END_INPUT in one stream from 1 per session. Keep each until an ACK covers it, at most
   {limits.INPUT_WINDOW_BYTES} bytes; after attaching again drop those up to `input` and resend the rest,
   unless `term` is another than when you typed them: somebody else had the keyboard meanwhile, so drop them and say so.
8. Send SEEN with the last output number that was shown every {limits.SEEN_EVERY_BYTES} bytes or
   {timing.SEEN_SECONDS:g} s, or the session stalls.
9. EXIT is the last frame of a session. `detached` with `machine-gone`: wait until the machine is `connected` in your
   subscription, then attach with `after`; with `gap` or `behind`: attach with `after` at once; with anything else: do
   not attach again.
10. A machine that is away answers `open` and `attach` with the error `offline` and `lastSeenAt`; stay subscribed, and
    ask again when it is `connected`.
11. After a close connect to any node, wait as `x-close-codes` says, and attach with `after`: the rest comes exactly,
    or `recovered: false` says that something is gone.
"""

FRAMES: dict[Kind, str] = {
    Kind.OUTPUT: "Bytes of the terminal or of a command; flag 1 marks a command's standard error.",
    Kind.EXIT: 'The last frame of a session: JSON {"code": integer or null, "signal": integer or null, "reason": string'
    " or null}.",
    Kind.RESIZED: "The terminal's size from here on: two big-endian unsigned 16-bit numbers, columns and rows.",
    Kind.INPUT: "Bytes for the terminal or for a command's standard input.",
    Kind.RESIZE: "The size of this browser's window: two big-endian unsigned 16-bit numbers, columns and rows.",
    Kind.END_INPUT: "A command's standard input ends here; no payload.",
    Kind.ACK: "All input up to `sequence` is applied; to one attachment, no payload.",
    Kind.SEEN: "All output up to `sequence` has been shown; no payload.",
}

HEADER = {
    "kind": "What the frame carries, see `x-frames`.",
    "flags": "1 on OUTPUT: standard error; otherwise 0.",
    "attachment": "To a browser and to an agent: the attachment that the frame is for or from; 0: everybody attached.",
    "epoch": "When the session's agent process started, in Unix seconds.",
    "session": "The 16 bytes of the session's UUID.",
    "sequence": "The number of the frame in its stream, at most 2^53 - 1.",
}

CLOSES: dict[Close, str] = {
    Close.NORMAL: "You or the server left on purpose.",
    Close.GOING_AWAY: "The server process ends; connect again.",
    Close.BAD_UTF8: "A text frame was not UTF-8; give up and report it.",
    Close.TOO_BIG: "A message passed its limit; give up and report it.",
    Close.INTERNAL: "The server made a mistake and logged it; back off, then connect again.",
    Close.MACHINE_REVOKED: "An agent says so, deletes its machine token, exits 0, and never registers again by itself.",
    Close.BAD_TOKEN: "The credential is unknown, expired or signed out: ask the person to sign in; an agent exits 77.",
    Close.FORBIDDEN: "The credential does not allow this, or not any more: give up.",
    Close.REPLACED: "Another installation took over this machine: park, say so, do not connect again.",
    Close.PROTOCOL_ERROR: "The messages broke a rule of this document: give up and report it.",
    Close.UNSUPPORTED_VERSION: "No common subprotocol: give up and upgrade.",
    Close.OVER_CAPACITY: "The node is full, or the machine changes hands too fast, or what 4103 says, to agents that "
    "do not say `knowsUnavailable`: back off, prefer another node.",
    Close.RATE_LIMITED: "You passed a limit: back off.",
    Close.SLOW_CONSUMER: "You read too slowly and your outbox is full: back off, connect, attach with `after`.",
    Close.UNAVAILABLE: "What the node needs for you does not answer now: back off, prefer another node.",
    Close.DRAINING: "The node leaves, or you have a newer socket: connect elsewhere within seconds, at random.",
    Close.NO_PONG: "Your pongs stopped: connect again within seconds.",
    Close.BUS_GAP: "The node missed something of yours: connect again within seconds and attach with `after`.",
    Close.KICKED: "Somebody asked for this socket to be closed: connect again within seconds.",
}

# The fields, all strings, of objects that the messages only pass on; more may be added.
OBJECTS = {
    "AgentWelcome.machine": ("id", "name", "hostname", "workspaceId", "workspaceName", "visibility"),
    "BrowserWelcome.user": ("id", "name"),
    "BrowserWelcome.workspaces": ("id", "name", "role"),
    "Answer.error": ("code", "message"),
    "ErrorMessage.candidates": ("id", "name", "hostname"),
}
