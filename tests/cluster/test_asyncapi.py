"""Shows that the served AsyncAPI document is enough to write an agent and a browser: nothing of Relay is imported."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.support.cluster import Rest, Team
from tests.support.document import Document, Peer, Used

EPOCH = 1_763_800_000
NOBODY = str(uuid4())
UNUSED = {
    ("browserHears", "Notice"): "no fact is told to browsers yet; agents are told theirs below",
    ("agentHears", "Pace"): "an operator changes how often agents beat in test_timing.py",
}
EARLY = {("agentHears", "Nodes"), ("browserHears", "Nodes")}  # to who came in the first seconds of the cluster


class Installation:
    """An agent's installation on a machine: registered over REST, then it dials by the document."""

    def __init__(self, team: Team, name: str) -> None:
        self.instance = str(uuid4())
        body = {"name": name, "hostname": "old.local", "version": "1", "instanceId": self.instance}
        answer = Rest(team.owner.url, team.key)("POST", "/api/machines", body)
        self.id: str = answer["machine"]["id"]
        self.token: str = answer["machineToken"]
        self.generation = 0

    @contextmanager
    def dials(self, document: Document, *sessions: dict[str, Any]) -> Iterator[Peer]:
        """Its agent, welcomed."""
        with document.connect("agent", self.token) as agent:
            hello = {"instance": self.instance, "hostname": "old.local", "version": "1", "pid": 7}
            agent.say("hello", **hello, generation=self.generation, sessions=list(sessions))
            welcome = agent.hears("welcome")
            assert welcome["machine"]["id"] == self.id
            assert welcome["generation"] > self.generation
            self.generation = welcome["generation"]
            yield agent


@contextmanager
def dials(document: Document, token: str) -> Iterator[Peer]:
    """A browser, welcomed."""
    with document.connect("browser", token) as browser:
        browser.say("hello", client=f"by-hand-{uuid4()}", label="by hand")
        welcome = browser.hears("welcome")
        assert welcome["user"]["name"]
        yield browser


@dataclass
class Stage:
    """Who plays: one agent and one browser, on different nodes, and what they speak of."""

    team: Team
    near: Document
    far: Document
    installation: Installation
    agent: Peer
    browser: Peer
    session: str = ""
    attachment: int = 0

    @property
    def place(self) -> dict[str, Any]:
        """The session and attachment, as messages name them."""
        return {"session": self.session, "attachment": self.attachment}

    def described(self, **more: Any) -> dict[str, Any]:
        """The session, as its agent describes it."""
        return {"id": self.session, "epoch": EPOCH, "kind": "terminal", "startedAt": float(EPOCH), **more}


def test_a_client_written_from_the_document_alone_speaks_for_both_sides_and_uses_every_message(team: Team) -> None:
    used: Used = set()
    near, far = (Document(url, used) for url in team.cluster.urls)
    assert near.content | {"servers": {}} == far.content | {"servers": {}}
    installation = Installation(team, "by-hand")
    with ExitStack() as sockets:
        agent = sockets.enter_context(installation.dials(near))
        browser = sockets.enter_context(dials(far, team.owner.token))
        stage = Stage(team, near, far, installation, agent, browser)
        for scene in (picture, opening, attaching, streams, keyboard, watching, questions, names, leaving, ending):
            scene(stage)
        sockets.enter_context(moving(stage))
        revocation(stage)
    assert {message for message in near.listed() - used - EARLY if message not in UNUSED} == set()
    assert not used & UNUSED.keys(), "these are used now"


def picture(stage: Stage) -> None:
    """Flow of the browser, 3: a snapshot, then changes numbered one by one."""
    agent, browser, machine = stage.agent, stage.browser, stage.installation.id
    place = {"workspace": stage.team.workspace}
    browser.say("subscribe", ref=1, **place)
    snapshot = browser.hears("snapshot", ref=1)
    assert [(each["id"], each["state"]) for each in snapshot["machines"]] == [(machine, "live")]
    browser.say("visible", machines=[machine], **place)
    seen = browser.hears("seen", **place)
    assert seen["at"].keys() == {machine}
    agent.say("beat", hostname="new.local")
    numbers = {snapshot["seq"], seen["seq"]}
    while True:
        change = browser.hears("machine", **place)
        numbers.add(change["seq"])
        if change["machine"]["hostname"] == "new.local":
            break
    assert numbers == set(range(snapshot["seq"], snapshot["seq"] + len(numbers)))
    browser.say("ping", at=5)
    browser.hears("pong", at=5)


def opening(stage: Stage) -> None:
    """Flow of the agent, 4: a request is answered, and the session announced."""
    agent, browser = stage.agent, stage.browser
    browser.say("open", ref=2, machine=stage.installation.id, columns=100, rows=30, title="by hand")
    request = agent.hears("request", operation="open")
    assert (request["body"]["columns"], request["body"]["title"]) == (100, "by hand")
    stage.session = str(uuid4())
    agent.say("session", session=stage.described())
    agent.say("answer", ref=request["ref"], result={"session": stage.described()})
    assert browser.hears("result", ref=2)["result"]["session"]["id"] == stage.session


def attaching(stage: Stage) -> None:
    """`attaching`, what is kept for this one, `attached`, and from then on what goes to everybody."""
    agent, browser = stage.agent, stage.browser
    browser.say("attach", ref=3, machine=stage.installation.id, session=stage.session, columns=100, rows=30)
    asked = agent.hears("attach", session=stage.session)
    assert (asked["mode"], asked.get("after")) == ("drive", None)
    stage.attachment = asked["attachment"]
    agent.say(
        "attaching", **stage.place, epoch=EPOCH, first=1, recovered=True, driver=True, columns=100, rows=30, input=0
    )
    agent.send("OUTPUT", b"kept", **stage.place, epoch=EPOCH, sequence=1)
    agent.say("attached", **stage.place, head=1)
    answer = browser.hears("attaching", ref=3)
    assert (answer["attachment"], answer["first"], answer["driver"]) == (stage.attachment, 1, True)
    header, payload = browser.receives("OUTPUT")
    assert (header["session"], header["epoch"], header["sequence"], payload) == (stage.session, EPOCH, 1, b"kept")
    assert browser.hears("attached")["head"] == 1


def streams(stage: Stage) -> None:
    """Frames both ways: output to everybody, input numbered from 1, both acknowledged."""
    agent, browser = stage.agent, stage.browser
    everybody: dict[str, Any] = {"session": stage.session, "attachment": 0, "epoch": EPOCH}
    mine = {**stage.place, "epoch": EPOCH}
    agent.send("OUTPUT", b"to all", flags=1, **everybody, sequence=2)
    agent.send("RESIZED", struct.pack(">HH", 90, 25), **everybody, sequence=3)
    header, payload = browser.receives("OUTPUT")
    assert (header["sequence"], header["flags"], payload) == (2, 1, b"to all")
    assert struct.unpack(">HH", browser.receives("RESIZED")[1]) == (90, 25)
    browser.send("SEEN", **mine, sequence=3)
    browser.send("INPUT", b"ls\r", **mine, sequence=1)
    browser.send("RESIZE", struct.pack(">HH", 80, 24), **mine, sequence=2)
    browser.send("END_INPUT", **mine, sequence=3)
    arrived = [agent.receives(kind) for kind in ("SEEN", "INPUT", "RESIZE", "END_INPUT")]
    assert [header["sequence"] for header, _ in arrived] == [3, 1, 2, 3]
    assert {header["attachment"] for header, _ in arrived} == {stage.attachment}
    assert arrived[1][1] == b"ls\r"
    agent.send("ACK", **mine, sequence=3)
    assert browser.receives("ACK")[0]["sequence"] == 3


def keyboard(stage: Stage) -> None:
    """Flow of the browser, 6: input of who does not hold the keyboard is refused; it can be taken."""
    agent, browser = stage.agent, stage.browser
    agent.say("driver", session=stage.session, attachment=0)
    assert browser.hears("driver")["attachment"] == 0
    browser.send("INPUT", b"x", **stage.place, epoch=EPOCH, sequence=4)
    agent.say("input-refused", **stage.place, sequence=agent.receives("INPUT")[0]["sequence"], reason="not the driver")
    assert browser.hears("input-refused")["sequence"] == 4
    browser.say("take", **stage.place)
    assert agent.hears("take")["attachment"] == stage.attachment
    agent.say("driver", **stage.place, operator={"user": "somebody", "client": "by hand"})
    assert browser.hears("driver")["attachment"] == stage.attachment


def watching(stage: Stage) -> None:
    """A watcher on the agent's own node falls behind, is told so, and may come back with what it has."""
    with dials(stage.near, stage.team.owner.token) as watcher:
        place = {"machine": stage.installation.id, "session": stage.session, "mode": "watch"}
        watcher.say("attach", ref=1, **place)
        number = stage.agent.hears("attach", mode="watch")["attachment"]
        answer = {"epoch": EPOCH, "first": 1, "recovered": True, "driver": False, "columns": 100, "rows": 30}
        stage.agent.say("attaching", session=stage.session, attachment=number, **answer)
        watcher.hears("attaching", ref=1)
        stage.agent.say("behind", session=stage.session, attachment=number)
        assert watcher.hears("detached", attachment=number)["reason"] == "behind"
        watcher.say("attach", ref=2, **place)
        number = stage.agent.hears("attach", mode="watch")["attachment"]
        stage.agent.say("attach-refused", session=stage.session, attachment=number, message="not kept any more")
        assert watcher.hears("error", ref=2)["code"] == "not-found"
        watcher.say("attach", ref=3, **place, after={"epoch": EPOCH, "sequence": 3})
        again = stage.agent.hears("attach", mode="watch")
        assert again["after"] == {"epoch": EPOCH, "sequence": 3}
    assert stage.agent.hears("detach", attachment=again["attachment"])["dropped"] is True


def questions(stage: Stage) -> None:
    """Requests that the machine answers, or refuses; errors of the node, which leave the socket open."""
    agent, browser, machine = stage.agent, stage.browser, stage.installation.id
    browser.say("sessions", ref=5, machine=machine)
    request = agent.hears("request", operation="sessions")
    agent.say("answer", ref=request["ref"], result={"sessions": [stage.described()]})
    assert browser.hears("result", ref=5)["result"]["sessions"][0]["id"] == stage.session
    browser.say("end", ref=6, machine=machine, session=NOBODY)
    request = agent.hears("request", operation="end")
    assert request["body"]["session"] == NOBODY
    agent.say("answer", ref=request["ref"], error={"code": "not-found", "message": "no such session"})
    assert browser.hears("error", ref=6)["code"] == "not-found"
    browser.say("open", ref=7, machine=NOBODY)
    assert browser.hears("error", ref=7)["code"] == "not-found"
    agent.send("OUTPUT", b"x", session=NOBODY, attachment=0, epoch=EPOCH, sequence=1)
    assert agent.hears("error")["session"] == NOBODY


def names(stage: Stage) -> None:
    """Another machine takes the name, both agents are told; it says goodbye and is offline at once."""
    newcomer = Installation(stage.team, "by-hand")
    with newcomer.dials(stage.far) as other:
        assert newcomer.id in stage.agent.hears("notice")["message"]
        assert stage.installation.id in other.hears("notice")["message"]
        other.say("bye", remove=False)
    # Before it is announced it is offline too: for no reason once it is registered, and as silent once it is settled.
    while True:
        machine = stage.browser.hears("machine")["machine"]
        if (machine["id"], machine["state"], machine["offlineReason"]) == (newcomer.id, "offline", "closed"):
            break
    assert machine["lastSeenAt"] is not None


def leaving(stage: Stage) -> None:
    """The browser leaves the session, which goes on without it."""
    stage.browser.say("detach", **stage.place)
    assert stage.browser.hears("detached", attachment=stage.attachment)["reason"] == "left"
    assert "dropped" not in stage.agent.hears("detach", attachment=stage.attachment)


def ending(stage: Stage) -> None:
    """The last frame of a session says how it ended, also to somebody who comes late."""
    stage.agent.say("session", session=stage.described(endedAt=float(EPOCH + 1), exitCode=3, ended="exit"))
    attaching(stage)
    exit = json.dumps({"code": 3, "signal": None, "reason": None}).encode()
    stage.agent.send("EXIT", exit, session=stage.session, attachment=0, epoch=EPOCH, sequence=2)
    header, payload = stage.browser.receives("EXIT")
    assert (header["sequence"], json.loads(payload)["code"]) == (2, 3)


@contextmanager
def moving(stage: Stage) -> Iterator[None]:
    """The agent's node leaves: it asks the agent to move, and closes with a code that says to come back soon."""
    cluster = stage.team.cluster
    node = cluster.node_at(cluster.urls[0])
    node.process.terminate()
    with ExitStack() as sockets:
        try:
            # A node that another test killed a moment ago is named as well, until its lease ends.
            assert cluster.urls[1] in stage.agent.hears("move")["nodes"]
            gone = stage.agent.is_closed()
            assert (gone["code"], gone["kind"]) == (4200, "come-back")
            assert stage.browser.hears("detached", session=stage.session)["reason"] == "machine-gone"
            stage.agent = sockets.enter_context(stage.installation.dials(stage.far, stage.described()))
            node.ends()
        finally:  # others use this cluster too
            node.kill()
            node.start_again()
            cluster.wait_ready(cluster.urls[0])
        yield


def revocation(stage: Stage) -> None:
    """A revoked machine's agent is closed for good, wherever it is, and the machine leaves the picture."""
    stage.team.owner("DELETE", f"/api/machines/{stage.installation.id}")
    gone = stage.agent.is_closed()
    assert (gone["code"], gone["kind"]) == (4001, "final")
    stage.browser.hears("gone", id=stage.installation.id)
    stage.browser.say("unsubscribe", workspace=stage.team.workspace)


def test_every_refusal_at_the_door_is_a_documented_code_after_the_handshake(team: Team) -> None:
    document = Document(team.cluster.urls[0], set())
    installation = Installation(team, "refused")
    with document.connect("agent", "nonsense") as agent:
        assert agent.is_closed()["reason"] == "bad-token"
    with document.connect("browser", team.owner.token, subprotocol="relay.v0") as browser:
        assert browser.is_closed()["reason"] == "unsupported-version"
    with document.connect("agent", installation.token) as agent:
        agent.say("beat")
        assert agent.is_closed()["reason"] == "protocol-error"
    with document.connect("browser", team.owner.token) as browser:
        browser.say("ping", at=1)
        assert browser.is_closed()["reason"] == "protocol-error"
