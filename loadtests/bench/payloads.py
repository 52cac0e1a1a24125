"""Makes the payloads of a run, ready to be sent and easy to count, and checks what a receiver got of them."""

from __future__ import annotations

from loadtests.bench.contender import Delivered, Encode

PAYLOAD_BYTES = 128
MARK = b"~LOADED~"  # nothing else on the wires has it, so counting it counts deliveries
KEPT_BYTES = len(MARK) - 1  # of a read, in case a mark is cut in two
_DIGITS = 8  # of the index behind the mark
_FILLER = (b"the quick brown fox jumps over the lazy dog 0123456789 " * 3)[: PAYLOAD_BYTES - len(MARK) - _DIGITS]


def payload(index: int) -> bytes:
    """The payload of this index: the mark, the index in hexadecimal, and text."""
    return MARK + b"%0*x" % (_DIGITS, index) + _FILLER


def index_of(data: bytes, at: int = 0) -> int:
    """The index of the payload that begins here, mark and all."""
    return int(data[at + len(MARK) : at + len(MARK) + _DIGITS], 16)


class Ring:
    """Messages with payloads 0 to `size` - 1 as one run of bytes, so that publishing is one `send` of a slice."""

    def __init__(self, encode: Encode, size: int) -> None:
        self.size = size
        messages = [encode(payload(index), 1) for index in range(size)]
        self._starts = [0]
        for message in messages:
            self._starts.append(self._starts[-1] + len(message))
        self._bytes = memoryview(b"".join(messages))

    def run(self, start: int, count: int) -> memoryview:
        """So many messages from the index `start` on, which must not run over the end."""
        return self._bytes[self._starts[start] : self._starts[start + count]]


def fault(stream: bytes, ring_size: int, delivered: Delivered | None) -> str | None:
    """What is wrong with what a receiver got from its first byte on, or None: every payload whole, each index the one
    after the last, and, where the framing is known, every byte of the message."""
    at, expected, seen = stream.find(MARK), 0, 0
    while at >= 0 and at + PAYLOAD_BYTES <= len(stream):
        index = index_of(stream, at)
        if index != expected:
            return f"after {seen} deliveries came payload {index}, not {expected}"
        right = payload(index)
        if stream[at : at + PAYLOAD_BYTES] != right:
            return f"payload {index} arrived changed"
        if delivered is not None and seen:  # of the first message the head may have come with the setup
            message = delivered(right)
            start = at + PAYLOAD_BYTES - len(message)
            if stream[start : at + PAYLOAD_BYTES] != message:
                return f"the message around payload {index} arrived changed"
        expected, seen = (index + 1) % ring_size, seen + 1
        at = stream.find(MARK, at + PAYLOAD_BYTES)
    return None if seen else "nothing arrived"
