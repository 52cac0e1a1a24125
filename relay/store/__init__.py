"""Remembers: all of Redis, which may be flushed at any moment without losing what anyone configured."""

from relay.store.belonging import belong
from relay.store.bus import Bus
from relay.store.claims import Claimed, Claims
from relay.store.connection import answering, connect
from relay.store.device_codes import Approved, DeviceCodes, Ended, Waiting
from relay.store.entering import enter
from relay.store.heartbeats import Beat, Flushed, Lost, Reannouncement
from relay.store.hello import Admitted, Announcement, Refused
from relay.store.keys import SHARDS, Keys
from relay.store.leases import Lease, Leases, Marks, agree
from relay.store.memory import Memory, open_memory
from relay.store.orders import AnyOrder, DrainOrder, OfferOrder, Orders
from relay.store.pipeline import Pipeline
from relay.store.presence import Presence
from relay.store.rates import Rate, Rates
from relay.store.readout import Readout, Since
from relay.store.revocations import Revocations
from relay.store.tickets import Tickets

__all__ = [
    "SHARDS",
    "Admitted",
    "Announcement",
    "AnyOrder",
    "Approved",
    "Beat",
    "Bus",
    "Claimed",
    "Claims",
    "DeviceCodes",
    "DrainOrder",
    "Ended",
    "Flushed",
    "Keys",
    "Lease",
    "Leases",
    "Lost",
    "Marks",
    "Memory",
    "OfferOrder",
    "Orders",
    "Pipeline",
    "Presence",
    "Rate",
    "Rates",
    "Readout",
    "Reannouncement",
    "Refused",
    "Revocations",
    "Since",
    "Tickets",
    "Waiting",
    "agree",
    "answering",
    "belong",
    "connect",
    "enter",
    "open_memory",
]
