"""Writes what a WebSocket client sends, right or wrong in every way that a test asks for."""

from __future__ import annotations

from collections.abc import Iterator

FINAL, MASKED = 0x80, 0x80
WIDTHS = {7: 0, 16: 126, 64: 127}  # the bits that tell a payload's size, and the mark that says so

MASK = bytes.fromhex("0af05581")  # a client draws one for each frame; tests that are not about masks need only one


def narrowest(size: int) -> int:
    """The bits that a size needs on the wire."""
    return 7 if size < 126 else 16 if size < 65_536 else 64


def client_frame(
    first: int,
    payload: bytes = b"",
    *,
    mask: bytes | None = MASK,
    bits: int = 0,
    size: int | None = None,
) -> bytes:
    """A frame by its first byte; `bits` widens its size's field, and `size` says another than the payload has."""
    told = len(payload) if size is None else size
    bits = bits or narrowest(told)
    field = bytes([told]) if bits == 7 else bytes([WIDTHS[bits]]) + told.to_bytes(bits // 8, "big")
    if mask is None:
        return bytes([first]) + field + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
    return bytes([first, field[0] | MASKED]) + field[1:] + mask + hidden


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    """The stream cut into pieces of one size."""
    return (stream[at : at + size] for at in range(0, len(stream), size))
