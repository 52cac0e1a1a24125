"""Lists the promises that are broken on purpose, each by a few words of source, and the scenario that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """Words that stand once in a file, and what stands there instead."""

    path: str
    words: str
    instead: str


class Mutation(NamedTuple):
    """One broken promise, and the scenario that must fail for it."""

    name: str
    edits: tuple[Edit, ...]
    scenario: str  # of this folder, or a path

    @property
    def promise(self) -> str:
        """What is broken, as a sentence."""
        return self.name.replace("-", " ")


KILL = "test_nodes.py::test_a_killed_node_costs_nobody_a_byte"
UNCONFIRMED = "test_browsers.py::test_input_whose_acknowledgements_were_lost_is_sent_again_and_applied_once"
FORGOTTEN = "test_browsers.py::test_a_browser_that_was_away_for_longer_than_the_machine_remembers_is_told_of_the_gap"
HALF_OPEN = "test_sockets.py::test_half_open_sockets_are_left_and_their_late_end_changes_nothing[machines]"
FROZEN = "test_nodes.py::test_a_node_that_was_frozen_for_longer_than_its_lease_takes_nothing_back"
LAST = "test_sockets.py::test_a_lost_last_frame_is_noticed_although_nothing_follows_it"
DRIVER_AWAY = "test_driver_away.py"
DROPPED = "test_dropped.py::test_a_machine_that_drops_right_before_redis_is_away_for_a_grace_is_not_announced_offline"
TURNED_AWAY = "test_dropped.py::test_nor_is_one_that_was_turned_away_because_redis_was_away_for_seconds"
PARTED = "test_revoking.py::test_where_the_network_parts_redis_from_the_registry_who_was_revoked_is_let_in_for_seconds"
FLUSHED = "test_redis.py::test_a_redis_that_forgets_everything_is_told_again_within_one_round_and_without_a_storm"
DEAF = "test_redis.py::test_a_node_that_is_deaf_on_a_healthy_connection_says_so_within_ten_seconds_and_recovers"
LOST_REDIS = "test_lost_redis.py::test_a_node_that_lost_redis_sends_its_machines_where_there_is_one_and_closes_none"
RAMP = "test_rolling.py::test_a_draining_node_closes_its_browsers_in_a_ramp_and_not_in_a_cliff"
HANGING = "test_registry.py::test_people_at_work_notice_nothing_of_a_registry_that_hangs_and_writers_are_told"
QUESTION = "tests/node/test_calls.py"
ENDED = "test_races.py::test_a_session_that_ended_stays_ended_whatever_arrives_late"
FAILOVER = "test_redis_failover.py::test_the_death_of_a_primary_of_a_redis_cluster_is_healed_within_seconds"
REVOKED = "test_revocation.py::test_a_revoked_machine_is_out_within_seconds_and_stays_out_whatever_is_broken"

MUTATIONS = (
    Mutation(
        "output-resumes-one-frame-too-late",
        (
            Edit(
                "relay/rules/resume.py",
                "return Replay(after.sequence + 1, True)",
                "return Replay(after.sequence + 2, True)",
            ),
        ),
        KILL,
    ),
    Mutation(
        "output-resumes-one-frame-too-early-and-is-believed",
        (
            Edit(
                "relay/rules/resume.py",
                "return Replay(after.sequence + 1, True)",
                "return Replay(after.sequence, True)",
            ),
            Edit("relay/client/output_track.py", "or sequence <= self._last:", "or sequence < self._last:"),
        ),
        KILL,
    ),
    Mutation(
        "a-gap-is-not-declared",
        (Edit("relay/client/attachment.py", "if start is Start.GAP or (", "if ("),),
        FORGOTTEN,
    ),
    Mutation(
        "input-is-applied-however-often-it-comes",
        (
            Edit("relay/rules/resume.py", 'return "duplicate"', 'return "apply"'),
            # Else a browser that comes back is told what was applied, and sends nothing twice in the first place.
            Edit("relay/client/input_stream.py", "        self.acknowledge(applied)\n", ""),
        ),
        UNCONFIRMED,
    ),
    Mutation(
        "input-that-nobody-confirmed-is-not-sent-again",
        (Edit("relay/client/keyboard.py", "for entry in self._stream.waiting():", "for entry in ():"),),
        UNCONFIRMED,
    ),
    Mutation(
        "input-is-acknowledged-and-thrown-away",
        (
            Edit(
                "relay/agent/intake.py",
                "self.program.write(data, lambda: self._taken(client, newest))",
                "self._taken(client, newest)",
            ),
        ),
        KILL,
    ),
    Mutation(
        "the-end-of-an-old-connection-counts",
        (
            Edit(
                "relay/store/presence.py",
                "if not stored or (stored.fence ~= owner and stored.connection ~= owner) then return 0 end",
                "if not stored then return 0 end",
            ),
        ),
        HALF_OPEN,
    ),
    Mutation(
        "an-old-connection-takes-its-machine-back",
        (
            Edit("relay/store/heartbeats.py", "if not theirs or newer(mine, theirs) then", "if true then"),
            Edit(
                "relay/store/heartbeats.py",
                "elseif theirs and not same and not newer(mine, theirs) then",
                "elseif false then",
            ),
        ),
        FROZEN,
    ),
    Mutation(
        "a-missing-batch-between-nodes-goes-unnoticed",
        (
            Edit(
                "relay/rules/lanes.py",
                "return Arrival.REPEATED if number < expected else Arrival.GAP",
                "return Arrival.REPEATED if number < expected else Arrival.NEXT",
            ),
        ),
        LAST,
    ),
    # That a revoked machine is refused at its hello is checked twice, in Redis's mirror and by its row, which is gone:
    # to break either of them lets nobody in.
    Mutation(
        "a-revocation-is-not-read-from-the-registry",
        (Edit("relay/node/reactions.py", "self._router.revoked(change.subject)", "pass"),),
        REVOKED,
    ),
    Mutation(
        "machines-are-offline-long-before-they-are-silent",
        (
            Edit(
                "relay/store/claims.py",
                "redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '(' .. int(now), 'WITHSCORES', 'LIMIT', 0, limit)",
                "redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)",
            ),
        ),
        DROPPED,  # in which silence proves something soon
    ),
    Mutation(
        "whoever-waits-for-a-node-that-cannot-be-reached-holds-up-a-session",
        (
            Edit(
                "relay/node/sessions.py",
                "self.left(agent.machine, session, number, boot, dropped=True, away=True)",
                "self.left(agent.machine, session, number, boot, dropped=True)",
            ),
        ),
        DRIVER_AWAY,
    ),
    Mutation(
        "silence-proves-something-although-nobody-flushed",
        (
            Edit(
                "relay/store/shard.py",
                "flushed <= now and now - flushed <= QUIET_MS and now >= from",
                "flushed <= now and now >= from",
            ),
        ),
        DROPPED,
    ),
    Mutation(
        "who-was-turned-away-for-lack-of-redis-is-not-excused",
        (Edit("relay/node/excuses.py", "        presence.turned_away = self.owe\n", ""),),
        TURNED_AWAY,
    ),
    Mutation(
        "machines-are-let-in-whoever-may-have-revoked-them",
        (Edit("relay/web/agent_socket.py", "doors.membership.trust.check()", "pass"),),
        PARTED,
    ),
    Mutation(
        "a-redis-that-forgot-is-not-told-again",
        (Edit("relay/node/beats.py", "unknown.append(agent)", "pass"),),
        FLUSHED,
    ),
    Mutation(
        "a-deaf-node-says-that-it-is-ready",
        (Edit("relay/node/readiness.py", '"bus-deaf": self._unreachable()', '"bus-deaf": False'),),
        DEAF,
    ),
    Mutation(
        "a-node-that-lost-redis-keeps-its-machines",
        (Edit("relay/node/outage.py", "self._offers.everybody(places)", "pass"),),
        LOST_REDIS,
    ),
    Mutation(
        "a-draining-node-closes-everybody-at-once",
        (Edit("relay/node/drain.py", "spread(browsers, seconds * BROWSERS_SHARE)", "spread(browsers, 0.0)"),),
        RAMP,
    ),
    Mutation(
        "nothing-is-shown-from-memory-while-the-registry-is-away",
        (Edit("relay/node/changes.py", "VOUCHED_SECONDS = 300.0", "VOUCHED_SECONDS = 0.0"),),
        HANGING,
    ),
    Mutation(
        "a-question-waits-for-a-node-that-does-not-take-it",
        (Edit("relay/node/calls.py", "call.taken, taken_seconds, Unavailable(", "call.taken, seconds, Unavailable("),),
        QUESTION,
    ),
    Mutation(
        "a-session-that-ended-begins-again",
        (
            Edit(
                "relay/node/sessions.py",
                "if route.described.ended_at is not None and session.ended_at is None:",
                "if False:",
            ),
        ),
        ENDED,
    ),
    Mutation(
        "a-failover-is-not-learned-of",
        (
            Edit(
                "relay/store/slots.py",
                "        if self._learning is None:\n",
                "        if self._learning is None and not self.addresses:\n",
            ),
            Edit(
                "relay/store/slots.py",
                "        await asyncio.shield(self._learning)",
                "        if self._learning: await self._learning",
            ),
        ),
        FAILOVER,
    ),
    # Promises that need no fault to be broken, and are held by tests of other folders.
    Mutation(
        "a-machine-that-you-may-not-see-is-shown",
        (
            Edit(
                "relay/rules/access.py",
                'return machine.visibility == "SHARED" or _owns(identity, machine)',
                "return True",
            ),
        ),
        "tests/web/test_visibility.py",
    ),
    Mutation(
        "an-expired-sign-in-keeps-what-it-opened",
        (Edit("relay/node/expiries.py", "browser.socket.close(Close.BAD_TOKEN)", "pass"),),
        "tests/cluster/test_expiry.py",
    ),
)
