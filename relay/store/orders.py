"""Remembers what an operator asked of single nodes, until they have done it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory
from relay.store.script import Script

# Makes atomic: the order and its lifetime. Of two of one kind the later counts; one of another kind is left alone.
_GIVE = Script("""
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
keep(KEYS[1])
""")


# Makes atomic: the comparison, the removal of an order that nobody has replaced meanwhile, and the note that this one
# was carried out, which says more than that it is gone: Redis may forget.
_DONE = Script("""
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[1], 'done ' .. ARGV[1], ARGV[3])
keep(KEYS[1])
""")


class Order(Struct, frozen=True):
    """The base of all; `id` tells an order from the same one given again."""

    id: str


class DrainOrder(Order, tag="drain", frozen=True):
    """Drain and end."""


class OfferOrder(Order, tag="offer", frozen=True):
    """Ask so many of your agents to move to each of these addresses."""

    to: Mapping[str, int]


AnyOrder = DrainOrder | OfferOrder
_KINDS = ("drain", "offer")
_DECODER: msgspec.json.Decoder[AnyOrder] = msgspec.json.Decoder(AnyOrder)


class Orders:
    """Orders by the boot id of the node that they are for. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def give(self, boot: str, order: AnyOrder) -> None:
        """Leave an order for a node, which looks every few seconds, and ring its bell so that it looks now."""
        await _GIVE.run(self._redis, (self._keys.orders(boot),), _field(order))
        await ask(self._redis, "SPUBLISH", self._keys.orders_bell(boot), "")

    async def given(self, boot: str) -> list[AnyOrder]:
        """What is asked of a node and not done; of a later version only what this one understands."""
        found = await ask(self._redis, "HMGET", self._keys.orders(boot), *_KINDS)
        orders = [_understood(text) for text in found if text is not None]
        return [order for order in orders if order is not None]

    async def done(self, boot: str, order: AnyOrder) -> None:
        """Take an order away that was carried out, and note so."""
        await _DONE.run(self._redis, (self._keys.orders(boot),), (*_field(order), order.id))

    async def drained(self, boot: str) -> bool:
        """Whether the node said that it has drained, which it does once, whoever ordered it."""
        return await ask(self._redis, "HGET", self._keys.orders(boot), "done drain") is not None


def _understood(text: str) -> AnyOrder | None:
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return None  # it stays listed: whoever gave it sees that it is not done


def _field(order: AnyOrder) -> tuple[str, str]:
    return str(order.__struct_config__.tag), msgspec.json.encode(order).decode()
