"""Owns the bytes of a WebSocket on the server's side: what a client's stream says, and the frames that answer it.

Close codes, and the byte at which each is decided, are those of the sans-I/O core of the package `websockets`, and a
property test holds this file to it; where they differ on purpose a comment gives the reason. No extension is spoken,
so reserved bits are a mistake of the client's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from relay.errors import Close

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FAILED = -1  # not on the wire: the client broke a rule, and the payload is the body of the close frame that says so

Event = tuple[int, bytes]  # a plain pair, because one is made for every message

BROKEN = 1002  # RFC 6455, 7.4.1: the framing is broken; our own PROTOCOL_ERROR is about what messages say
NO_STATUS = 1005  # RFC 6455, 7.4.1: never on the wire, it stands for a close frame without a code
SENDABLE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})  # IANA's registry, and private use
CODE_BYTES = 2  # of a close frame's body, before its reason
CONTROL_BYTES = 125  # RFC 6455, 5.5: the most that a control frame carries

FINAL, RESERVED, OPCODE = 0x80, 0x70, 0x0F  # the bits of a frame's first byte
MASKED, SIZE = 0x80, 0x7F  # the bits of its second
WIDE = 1 << 16  # a payload of so many bytes needs 64 bits
IN_16_BITS, IN_64_BITS = 126, 127  # as SIZE: the payload's size follows in so many bits; 64 bits from 65,536 bytes on
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

SHORTEST_BYTES = 2  # of a header; a wide size and the mask come behind
MASK_BYTES = 4
HEAD, HEAD_16, HEAD_64 = struct.Struct(">BB"), struct.Struct(">BBH"), struct.Struct(">BBQ")
_pack_usual = struct.Struct(">HH").pack
WIDE_16, WIDE_64 = struct.Struct(">H"), struct.Struct(">Q")

# What the usual frame begins with: the first two bytes of a whole binary message as one number, a size, the mask.
USUAL = struct.Struct(f">HH{MASK_BYTES}s")
USUAL_BYTES, USUAL_SHORT_BYTES = USUAL.size, SHORTEST_BYTES + MASK_BYTES
USUAL_SHORT = (FINAL | BINARY) << 8 | MASKED  # up to 125 bytes: the number holds the size, and mask and payload follow
USUAL_LONG = USUAL_SHORT | IN_16_BITS
ANSWER_BYTES = HEAD_16.size
USUAL_ANSWER = USUAL_LONG & ~MASKED  # what the same message begins with on its way out


def _unmask_slowly(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


_unmask: Callable[[bytes, bytes], bytes] = _unmask_slowly
try:
    # Importing this one function brings in no socket of that package; it is missing where no compiled wheel fits.
    from websockets.speedups import apply_mask

    _unmask = apply_mask
except ImportError:
    pass


class _Broken(Exception):
    """The client broke a rule."""

    def __init__(self, code: int, reason: str) -> None:
        self.body = close_body(code, reason)


class Reader:
    """Takes a client's stream in any pieces and gives back its messages; holds at most one message and one header.

    After `CLOSE` or `FAILED` it is over: answer and close the socket, for nothing that comes later means anything.
    """

    __slots__ = ("_held", "_message", "_message_bytes", "_needed", "_opcode", "_over")

    def __init__(self, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        # Byte arrays, both: in a list of pieces each byte of a client that sends them singly would cost us fifty.
        self._held: bytearray | None = None  # the beginning of a frame that is not whole
        self._needed = 0  # how long that must be before there is more to decide
        self._message: bytearray | None = None  # the fragments so far of a message that is not whole
        self._opcode = 0  # of that message
        self._over = False

    @property
    def over(self) -> bool:
        """Whether `CLOSE` or `FAILED` was given back."""
        return self._over

    def feed(self, data: bytes) -> list[Event]:
        """Give back all that is complete now, in order; `message_bytes` counts a message's fragments together.

        (`TEXT`, `BINARY`, `PING` or `PONG`, its payload), where text is known to be UTF-8; and as the last one ever
        (`CLOSE`, its body, fit for `read_close`) or (`FAILED`, the body of the close frame to send).
        """
        if self._held is not None:
            if len(self._held) + len(data) < self._needed:
                self._held += data
                return []
            data = b"".join((self._held, data))
            self._held = None
        events: list[Event] = []
        at = 0
        if self._message is None and not self._over:
            at = self._take_usual(data, 0, events)
            if at == len(data):
                return events
        return self._take_all(data, at, events)

    def _take_all(self, data: bytes, at: int, events: list[Event]) -> list[Event]:
        try:
            while at < len(data) and not self._over:
                taken = self._take(data, at, events)
                if not taken:
                    self._held = bytearray(data[at:])
                    break
                at += taken
                if self._message is None and not self._over:
                    at = self._take_usual(data, at, events)
        except _Broken as broken:
            self._over, self._message = True, None
            events.append((FAILED, broken.body))
        return events

    def _take_usual(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take the binary messages that nearly every read consists of; where something else begins."""
        end, most = len(data), self._message_bytes
        last = end - USUAL_BYTES
        while at <= last:
            head, size, mask = USUAL.unpack_from(data, at)
            start = at + USUAL_BYTES
            if head != USUAL_LONG:
                if not USUAL_SHORT <= head < USUAL_LONG:
                    break
                start = at + USUAL_SHORT_BYTES
                size = head & SIZE
                mask = data[start - MASK_BYTES : start]
            stop = start + size
            if stop > end or size > most:
                break
            events.append((BINARY, _unmask(data[start:stop], mask)))
            at = stop
        return at

    def _take(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take one frame of any kind; how long it was, or 0 if it is not whole. Raises `_Broken`."""
        have, header = len(data) - at, SHORTEST_BYTES
        if have < header:
            return self._wait(header)
        first, second = HEAD.unpack_from(data, at)
        if first & OPCODE not in OPCODES:
            raise _Broken(BROKEN, "unknown opcode")
        if second < MASKED:
            raise _Broken(BROKEN, "frame without a mask")
        size: int = second & SIZE
        if size >= IN_16_BITS:
            # A size in more bits than it needs, which RFC 6455 forbids, is let through as the reference does: it
            # harms nobody. One of 64 bits with the top bit set is not told apart from any other that is too big.
            wide = WIDE_16 if size == IN_16_BITS else WIDE_64
            header += wide.size
            if have < header:
                return self._wait(header)
            (size,) = wide.unpack_from(data, at + SHORTEST_BYTES)
        self._check_size(first & OPCODE, size)
        header += MASK_BYTES
        if have < header + size:
            return self._wait(header + size)
        start = at + header
        self._judge(first, _unmask(data[start : start + size], data[start - MASK_BYTES : start]), events)
        return header + size

    def _wait(self, needed: int) -> int:
        self._needed = needed
        return 0

    def _check_size(self, opcode: int, size: int) -> None:
        if opcode >= CLOSE:
            # The reference lets control frames use up what an open message has left, so that a ping can end a
            # message that fits, and refuses a long one only when it is whole. A ping is no part of a message.
            if size > CONTROL_BYTES:
                raise _Broken(BROKEN, "control frame too long")
        elif size > self._message_bytes - len(self._message or b""):
            raise _Broken(Close.TOO_BIG, Close.TOO_BIG.reason)

    def _judge(self, first: int, payload: bytes, events: list[Event]) -> None:
        """Take what a whole frame carries; raises `_Broken`."""
        opcode, final, message = first & OPCODE, first & FINAL, self._message
        if first & RESERVED:
            raise _Broken(BROKEN, "reserved bit set")
        if opcode >= CLOSE:
            if not final:
                raise _Broken(BROKEN, "control frame in fragments")
            if opcode == CLOSE:
                self._check_close(payload)
                self._over = True
        elif opcode == CONTINUATION:
            if message is None:
                raise _Broken(BROKEN, "continuation of nothing")
            message += payload
            if not final:
                return
            opcode, payload, self._message = self._opcode, bytes(message), None
        elif message is not None:
            raise _Broken(BROKEN, "message within a message")
        elif not final:
            self._opcode, self._message = opcode, bytearray(payload)
            return
        # The reference hands text on unchecked, as parts of a message may cut a character; here messages are whole.
        if opcode == TEXT and not _is_utf8(payload):
            raise _Broken(Close.BAD_UTF8, Close.BAD_UTF8.reason)
        events.append((opcode, payload))

    def _check_close(self, body: bytes) -> None:
        if len(body) == 1:
            raise _Broken(BROKEN, "half a close code")
        if not _is_utf8(body[CODE_BYTES:]):
            raise _Broken(Close.BAD_UTF8, Close.BAD_UTF8.reason)
        if body and int.from_bytes(body[:CODE_BYTES], "big") not in SENDABLE:
            raise _Broken(BROKEN, "close code out of range")
        if self._message is not None:
            raise _Broken(BROKEN, "message left unfinished")


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message or control frame, ready to be written; unmasked, as a server's are."""
    size = len(payload)
    if size < IN_16_BITS:
        return HEAD.pack(FINAL | opcode, size) + payload
    assert opcode < CLOSE, "a control frame carries at most 125 bytes"
    if size < WIDE:
        return HEAD_16.pack(FINAL | opcode, IN_16_BITS, size) + payload
    return HEAD_64.pack(FINAL | opcode, IN_64_BITS, size) + payload


def binary(message: bytes) -> bytes:
    """`frame` of a binary message, which nearly all are."""
    size = len(message)
    if IN_16_BITS <= size < WIDE:
        return _pack_usual(USUAL_ANSWER, size) + message
    return frame(BINARY, message)


def count(ready: bytes) -> int:
    """How many frames made here are joined in these bytes; what is no frame ends the count."""
    size = len(ready)
    if size > ANSWER_BYTES and ready[1] == IN_16_BITS:
        each = ANSWER_BYTES + (ready[2] << 8 | ready[3])
        many, rest = divmod(size, each)
        # One frame, or several of one size, is nearly all there is: if the size is at every place, so are the frames.
        if not rest and (many == 1 or all(ready[at::each] == ready[at : at + 1] * many for at in (1, 2, 3))):
            return many
    found, at, last = 0, 0, size - SHORTEST_BYTES
    while at <= last:
        size = ready[at + 1]
        if size == IN_16_BITS:
            size = WIDE_16.size + int.from_bytes(ready[at + 2 : at + 4], "big")
        elif size == IN_64_BITS:
            size = WIDE_64.size + int.from_bytes(ready[at + 2 : at + 10], "big")
        at += SHORTEST_BYTES + size
        found += 1
    return found


def close_body(code: int, reason: str) -> bytes:
    """The payload of a close frame; as much of the reason as fits in whole characters."""
    assert code in SENDABLE, f"{code} is never sent"
    text = reason.encode(errors="replace")[: CONTROL_BYTES - CODE_BYTES]
    return code.to_bytes(CODE_BYTES, "big") + text.decode(errors="ignore").encode()


def read_close(body: bytes) -> tuple[int, str]:
    """The code and reason of a close frame that a `Reader` let through; 1005 if it gave none."""
    if not body:
        return NO_STATUS, ""
    return int.from_bytes(body[:CODE_BYTES], "big"), body[CODE_BYTES:].decode()


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
