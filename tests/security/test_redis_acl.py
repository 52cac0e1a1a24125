"""Shows that a relay needs no more of Redis than the rule that we hand out allows, and what the rule refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.security.test_postgresql_rights import prepared
from tests.support.bare import bare
from tests.support.cluster import Cluster, running_cluster
from tests.support.postgres import Postgres, postgres, url_at
from tests.support.valkey import Valkey, running

__all__ = ["postgres", "prepared"]

PASSWORD = "a-password-of-the-test"
SCRIPT = Path(__file__).parents[2] / "deploy" / "redis-acl"
REFUSED = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "CONFIG GET *", "CONFIG SET dir /tmp", "SHUTDOWN", "SAVE",
    "BGREWRITEAOF", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "MODULE LIST", "FUNCTION LIST", "SCRIPT FLUSH",
    "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "MONITOR", "INFO", "ACL LIST",
    "ACL SETUSER relay +@all", "ACL WHOAMI", "MIGRATE h 1 k 0 1", "DUMP relay:leases", "RESTORE relay:x 0 x",
    "SORT relay:leases", "SWAPDB 0 1", "PUBLISH relay:x y", "SUBSCRIBE relay:x", "PSUBSCRIBE *", "BLPOP relay:x 1",
    "MULTI", "OBJECT FREQ relay:x", "GET other:key", "SET other:key v", "DEL relayed:key", "SPUBLISH other:x y",
    "SSUBSCRIBE other:x", "EVAL return(redis.call('GET','other:key')) 0", "EVAL return(redis.call('FLUSHALL')) 0",
]  # fmt: skip


def rule(prefix: str = "relay") -> list[str]:
    """The words of the user that the script prints."""
    printed = subprocess.run([SCRIPT, prefix], input=PASSWORD, capture_output=True, text=True, check=True).stdout
    default, user = printed.splitlines()
    assert default == "user default off"
    assert PASSWORD not in printed
    name, *words = user.removeprefix("user ").split()
    assert name == "relay"
    return words


class Guarded(Valkey):
    """A server on which a relay is the user of our rule, and the test is its administrator."""

    def guard(self) -> None:
        """From now on `url` is the relay's."""
        with self.administrator() as redis:
            redis.execute_command("ACL SETUSER", "relay", *rule())
        self.url = f"unix://relay:{PASSWORD}@{self.socket}"

    def administrator(self) -> Redis:
        """Somebody who may do everything."""
        return Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def relay(self) -> Redis:
        """Somebody who stole the relay's password."""
        return Redis.from_url(self.url, decode_responses=True)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setattr("tests.support.valkey.Valkey", Guarded)
    with running() as server:
        assert isinstance(server, Guarded)
        server.guard()
        yield server


@pytest.mark.xdist_group("postgresql")
def test_the_whole_story_asks_for_nothing_that_redis_refuses_and_changes_rows_alone(
    guarded: Guarded, postgres: Postgres, prepared: str
) -> None:
    """Nodes, a sweeper, an agent, a command, a ticket, a device sign-in, a kick, a new name, a revocation, a drain:
    with no more rights than we hand out, neither in Redis nor in the registry."""
    with running_cluster(guarded, url_at(postgres.folder, prepared, user="relay_run"), sweepers=1) as cluster:
        tell_the_story(cluster)
        for part in (*cluster.nodes, *cluster.sweepers):
            assert "permission denied" not in part.output()
    with guarded.administrator() as redis:
        assert redis.execute_command("ACL LOG") == []
        used = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
    assert {"evalsha", "spublish", "ssubscribe", "getdel"} <= used, "the story went through Redis"


def tell_the_story(cluster: Cluster) -> None:
    """What people do in their first hour."""
    team = cluster.team()
    team.person("Mo", "member")("POST", "/api/sign-out", {})
    agent = team.agent("builder")
    machine = team.machine("builder")
    done = cluster.cli(team.key, "exec", machine["id"], "--", "echo", "hello", url=cluster.other(agent.node))
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    device = team.owner("POST", "/api/device")
    team.owner("POST", "/api/device/approve", {"userCode": device["userCode"]})
    assert team.owner("POST", "/api/device/token", {"deviceCode": device["deviceCode"]})["token"]
    ticket = team.owner("POST", "/api/tickets")["ticket"]
    with bare(cluster.other(agent.node), "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
        browser.say(type="hello", client="client-0001")
        browser.say(type="subscribe", ref=1, workspace=team.workspace)
        browser.hears("snapshot")
        connected = agent.output().count("  connected  node=")
        team.owner("POST", f"/api/machines/{machine['id']}/kick", {})
        agent.says("  connected  node=", times=connected + 1)
        team.owner("PATCH", f"/api/machines/{machine['id']}", {"name": "renamed"})
        team.owner("DELETE", f"/api/machines/{machine['id']}")
        browser.hears("gone", id=machine["id"])
    entries = team.owner("GET", f"/api/workspaces/{team.workspace}/audit")["entries"]
    assert "machine.revoked" in {each["action"] for each in entries}
    assert agent.ends() == 0
    assert cluster.nodes[1].stop() == 0


def test_whoever_steals_the_password_can_do_no_more_than_a_relay(guarded: Guarded) -> None:
    with guarded.relay() as thief:
        for words in REFUSED:
            with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission"):
                thief.execute_command(*words.split())
        assert thief.set("relay:mine", "1")


def test_two_relays_on_one_redis_cannot_read_each_other(guarded: Guarded) -> None:
    with guarded.administrator() as redis:
        redis.execute_command("ACL SETUSER", "other", *rule("other"))
        redis.set("relay:lease:x", "theirs")
    with Redis(unix_socket_path=str(guarded.socket), username="other", password=PASSWORD) as other:
        assert other.set("other:lease:x", "ours")
        for command in (("GET", "relay:lease:x"), ("SSUBSCRIBE", "relay:inbox:x"), ("DEL", "relay:lease:x")):
            with pytest.raises(NoPermissionError):
                other.execute_command(*command)


@pytest.mark.parametrize(("prefix", "password"), [("relay", ""), ("re:lay", PASSWORD), ("a b", PASSWORD)])
def test_a_rule_that_would_be_wide_open_is_not_printed(prefix: str, password: str) -> None:
    done = subprocess.run([SCRIPT, prefix], input=password, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (64, "")
