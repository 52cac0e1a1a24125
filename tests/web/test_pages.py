"""Shows how long lists are sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec
from starlette.types import Message

from relay.web.pages import write_list


class Rest(msgspec.Struct):
    """What stands beside the items."""

    next: str | None = None


def sent(items: list[bytes]) -> list[Message]:
    """What a server is given to send."""
    messages: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nobody listens to the caller meanwhile")

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(write_list("machines", items, Rest(), 'W/"tag"')({"type": "http"}, receive, send))
    return messages


def test_a_long_list_goes_out_in_its_texts_and_is_one_whole_answer() -> None:
    for items, numbers in (([], []), ([b"1,2"], [1, 2]), ([b"1,2", b",3", b",4"], [1, 2, 3, 4])):
        start, *parts = sent(items)
        body = b"".join(part.get("body", b"") for part in parts)
        assert start["status"] == 200
        assert dict(start["headers"]) == {
            b"etag": b'W/"tag"',
            b"cache-control": b"no-cache",
            b"content-type": b"application/json",
            b"content-length": str(len(body)).encode(),
        }
        assert msgspec.json.decode(body) == {"machines": numbers, "next": None}
        assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > len(items)


def test_a_first_list_waits_for_no_import() -> None:
    program = (
        "import sys\n"
        "from tests.web.test_pages import sent\n"
        "before = set(sys.modules)\n"
        "sent([b'1,2', b',3'])\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
