"""Packs commands in C: redis-py's own packing, word by word in Python, was four fifths of the cost of a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection

if TYPE_CHECKING:
    _Base = AbstractConnection
else:
    _Base = object


class _Packing(_Base):
    """Overrides how a connection of redis-py writes a command; all else stays redis-py's."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """One command in the wire's form. The first argument may be several words, as in `CONFIG GET`."""
        first, *rest = args
        return [hiredis.pack_command((*first.split(), *rest))]


class _Plain(_Packing, Connection):
    pass


class _Tls(_Packing, SSLConnection):
    pass


class _Unix(_Packing, UnixDomainSocketConnection):
    pass


class _Sentinel(_Packing, SentinelManagedConnection):
    pass


_PACKING: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Plain,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
    SentinelManagedConnection: _Sentinel,
}


def packing(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection, packing in C."""
    return _PACKING[connection_class]
