"""Puts other systems under the same measurement as Relay, each set up as its makers advise for speed."""

from __future__ import annotations

from loadtests.bench.contender import Contender
from loadtests.compare.nats import Nats
from loadtests.compare.socketio import SocketIo

CONTENDERS: tuple[type[Contender], ...] = (SocketIo, Nats)
