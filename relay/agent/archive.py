"""Makes a ring again out of what the history kept of a session."""

from __future__ import annotations

import json

from relay.agent.ring import Ring
from relay.rules import frames, ids
from relay.rules.frames import Header, Kind
from relay.rules.messages import Session


def ring_of(described: Session, kept: list[bytes]) -> Ring:
    """The newest frames that follow each other without a hole, closed by an exit: a session that ended with its agent
    or its computer never wrote one itself."""
    headers = [Header._make(frames.HEADER.unpack_from(frame)) for frame in kept]
    start = len(kept)
    while start > 0 and headers[start - 1].sequence == headers[-1].sequence - (len(kept) - start):
        start -= 1
    first = headers[start].sequence if kept else 1
    ring = Ring(ids.raw(described.id), described.epoch, first=first)
    for header, frame in zip(headers[start:], kept[start:], strict=True):
        ring.append(Kind(header.kind), frames.payload(frame), header.flags)
    if not headers or headers[-1].kind != Kind.EXIT:
        ended = {"code": described.exit_code, "signal": None, "reason": described.ended}
        ring.append(Kind.EXIT, json.dumps(ended).encode())
    return ring
