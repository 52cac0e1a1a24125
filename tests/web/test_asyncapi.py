"""Holds the AsyncAPI document against the messages, frames and codes that the sockets use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest

from relay.errors import Close
from relay.rules import frames, messages
from relay.rules.agent_messages import AgentHello, AgentWelcome, Beat, FromAgent, ToAgent
from relay.rules.browser_messages import Attach, Detached, FromBrowser, Open, Snapshot, ToBrowser
from relay.rules.frames import Kind
from relay.rules.messages import After, Attaching, ErrorMessage, Message, Session
from relay.web.asyncapi import asyncapi

DOCUMENT = asyncapi("https://relay.test")
ID = "8f23c1d2-0000-4000-8000-000000000001"
SIDES = {
    "agentSays": get_args(FromAgent),
    "agentHears": get_args(ToAgent),
    "browserSays": get_args(FromBrowser),
    "browserHears": get_args(ToBrowser),
}
SESSION = Session(id=ID, epoch=7, kind="terminal")
WELCOMED = dict.fromkeys(("id", "name", "hostname", "workspaceId", "workspaceName", "visibility"), "word")
SAMPLES: tuple[Message, ...] = (
    AgentHello(instance=ID, hostname="mac", version="1", sessions=[SESSION]),
    Beat(hostname="mac-2"),
    Attaching(session=ID, attachment=1, epoch=7, first=1, recovered=True, driver=True, columns=80, rows=24, input=3),
    AgentWelcome(connection="c", generation=1, beat_seconds=10.0, nodes=["http://a"], machine=WELCOMED),
    Open(ref=1, machine=ID, kind="exec", command=["ls", "-l"], environment={"A": "B"}),
    Attach(ref=2, machine=ID, session=ID, after=After(epoch=7, sequence=0)),
    Snapshot(ref=3, workspace=ID, seq=1, now="2026-11-22T10:00:00.123Z", machines=[]),
    Detached(session=ID, attachment=1, reason="machine-gone"),
    ErrorMessage(code="offline", message="mac is offline", ref=4),
)


def references(part: Any) -> Iterator[str]:
    """Every $ref in the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def look_up(reference: str) -> Any:
    """What a $ref points to."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert look_up(reference) is not None


def test_the_document_says_where_and_over_what_to_connect() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["servers"]["cluster"]["host"] == "relay.test"
    assert DOCUMENT["servers"]["cluster"]["protocol"] == "wss"
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {"/ws/agent", "/ws/browser"}
    assert DOCUMENT["x-subprotocol"] == "relay.v1"


@pytest.mark.parametrize("operation", SIDES)
def test_each_side_lists_exactly_what_it_may_say(operation: str) -> None:
    listed = {reference["$ref"].rpartition("/")[2] for reference in DOCUMENT["operations"][operation]["messages"]}
    texts = {name for name in listed if DOCUMENT["components"]["messages"][name]["contentType"] == "application/json"}
    binary = {DOCUMENT["components"]["messages"][name]["name"] for name in listed - texts}
    assert texts == {kind.__name__ for kind in SIDES[operation]}
    from_agent = operation in ("agentSays", "browserHears")
    assert binary == {kind.name for kind in (frames.FROM_AGENT if from_agent else frames.FROM_BROWSER)}


def test_every_message_has_a_sentence_and_its_type() -> None:
    for kinds in SIDES.values():
        for kind in kinds:
            message = DOCUMENT["components"]["messages"][kind.__name__]
            assert message["summary"].endswith("."), kind
            schema = look_up(message["payload"]["$ref"])
            assert schema["properties"]["type"]["enum"] == [message["name"]]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_what_the_code_writes_fits_the_schema(sample: Message) -> None:
    schema = {"$ref": f"#/components/schemas/{type(sample).__name__}", "components": DOCUMENT["components"]}
    jsonschema.validate(json.loads(messages.encode(sample)), schema)


def test_the_header_is_described_byte_by_byte() -> None:
    fields = {field["name"]: (field["offset"], field["bytes"]) for field in DOCUMENT["x-header"]}
    assert fields == {
        "kind": (0, 1),
        "flags": (1, 1),
        "attachment": (2, 2),
        "epoch": (4, 4),
        "session": (8, 16),
        "sequence": (24, 8),
    }


def test_a_frame_read_by_the_document_is_the_frame_that_was_packed() -> None:
    session = bytes(range(16))
    frame = frames.pack(frames.Header(Kind.OUTPUT, 1, 2, 3, session, 4), b"payload")
    read = {}
    for field in DOCUMENT["x-header"]:
        raw = frame[field["offset"] : field["offset"] + field["bytes"]]
        read[field["name"]] = raw if field["type"] == "bytes" else int.from_bytes(raw, "big")
    assert read == {"kind": 1, "flags": 1, "attachment": 2, "epoch": 3, "session": session, "sequence": 4}


def test_every_frame_kind_says_who_sends_it_and_whether_it_is_numbered() -> None:
    rows = {row["name"]: row for row in DOCUMENT["x-frames"]}
    assert rows.keys() == {kind.name for kind in Kind}
    for kind in Kind:
        row = rows[kind.name]
        assert row["kind"] == kind
        assert ("agent" in row["sentBy"]) == (kind in frames.FROM_AGENT)
        assert row["stream"] == ("output" if kind < 16 else "input" if kind < 32 else None)
        assert row["description"].endswith(".")


def test_every_close_code_says_what_to_do() -> None:
    rows = {row["code"]: row for row in DOCUMENT["x-close-codes"]}
    assert rows.keys() == {int(code) for code in Close}
    assert (rows[4001]["reason"], rows[4001]["kind"]) == ("machine-revoked", "final")
    assert (rows[4102]["kind"], rows[4200]["kind"]) == ("back-off", "come-back")
    assert all(row["description"].endswith(".") for row in rows.values())


def test_times_limits_and_error_codes_are_listed() -> None:
    assert DOCUMENT["x-timings"]["HELLO_SECONDS"] == 10.0
    assert DOCUMENT["x-limits"]["FRAME_BYTES"] == 256 * 1024
    codes = {row["code"] for row in DOCUMENT["x-error-codes"]}
    assert {"offline", "forbidden", "unavailable", "not-attached", "limit-reached"} <= codes
