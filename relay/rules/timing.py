"""Keeps the times that all nodes of a cluster must agree on, in one place."""

BEAT_SECONDS = 10.0  # between two beats of an agent, told to it in its welcome
BEAT_JITTER = 0.2  # each beat comes up to this part early, so that a restarted fleet does not beat in step
FLUSH_SECONDS = 5.0  # a node tells Redis about everybody it heard
SWEEP_SECONDS = 2.0  # a sweeper looks for machines whose deadline has passed
LIVE_SECONDS = 30.0  # last heard at most this long ago: live
OFFLINE_SECONDS = 90.0  # last heard at most this long ago: degraded; longer: offline
DROPPED_SECONDS = 10.0  # grace for a socket that was seen to drop without goodbye
UNSETTLED_SECONDS = 30.0  # one round in which machines re-announce after Redis lost its memory
MARKER_QUIET_SECONDS = 7.5  # a shard not flushed to for so long has no trustworthy silence: one flush failed, not late
MARKER_STALE_SECONDS = 15.0  # and after so long machines are given a round to announce themselves, not a grace
HELLO_SECONDS = 10.0  # from accept to hello
PING_SECONDS = 20.0
PONG_SECONDS = 10.0
REQUEST_SECONDS = 30.0  # for the machine's answer
HOP_SECONDS = 1.0  # for another node to acknowledge that it has a request
LEASE_SECONDS = 15.0  # a node that does not renew is gone
LEASE_RENEW_SECONDS = 5.0
TICKET_SECONDS = 30.0
CHANGES_SECONDS = 2.0  # between two looks at the table of changes
LANE_TICK_SECONDS = 1.0  # an empty batch while there is interest
LANE_LATE_SECONDS = 3.0  # a lane without a batch for this long has a gap
INTEREST_SECONDS = 10.0  # a node repeats its whole interest list
INTEREST_FORGET_SECONDS = 30.0
SEEN_SECONDS = 0.1  # a browser reports what it has seen at least this often
DRIVER_KEPT_SECONDS = 15.0  # the keyboard stays with a driver whose socket dropped
INPUT_KEPT_SECONDS = 600.0  # an input stream is remembered after its attachment left
LOSSLESS_STALL_SECONDS = 60.0  # exec without progress ends
REVOKE_WAIT_SECONDS = 2.0  # DELETE waits this long for nodes to confirm
FORMER_NAME_HOURS = 24  # a name or hostname that was given up still resolves
REDIS_KEPT_SECONDS = 86_400 * 2  # everything in Redis that is not a lease or a ticket
PROBE_SECONDS = 1.0  # the node listens for its own voice on the bus
DEAF_SECONDS = 5.0  # not heard for this long: not ready
REDIS_LOST_SECONDS = 20.0  # no Redis for this long: not ready, agents are offered to move
OWNER_CHANGES = 3  # more changes of owner than this within the window: newcomers wait
OWNER_CHANGES_SECONDS = 300.0
CLAIM_STALE_SECONDS = 10.0  # a sweeper's unfinished claim is taken over by another
LAST_SEEN_BATCH_SECONDS = 10.0  # the picker is told of last-seen times in batches
DEVICE_CODE_SECONDS = 600.0
SIGN_IN_LINK_SECONDS = 3_600.0
SIGN_IN_DAYS = 30
INVITATION_DAYS = 7
AGENT_BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)  # with full jitter
STABLE_SECONDS = 30.0  # a connection this old resets the back-off


def agreed() -> dict[str, float]:
    """What the processes of one cluster must not disagree about: every single number above, by its name."""
    return {
        name: float(value) for name, value in globals().items() if name.isupper() and isinstance(value, int | float)
    }
