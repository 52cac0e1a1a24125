"""Defines the types of the fields that go over the wire, in messages and in requests, each with its bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from relay.rules import limits

# In Python `$` also matches before a last line break, so each pattern says otherwise in words that JavaScript shares.
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?!\n)$")]
Ref = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Attachment = Annotated[int, Meta(ge=1, le=65_535)]
Epoch = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Columns = Annotated[int, Meta(ge=1, le=limits.TERMINAL_COLUMNS)]
Rows = Annotated[int, Meta(ge=1, le=limits.TERMINAL_ROWS)]
Title = Annotated[str, Meta(max_length=limits.TITLE_CHARACTERS)]
Hostname = Annotated[str, Meta(min_length=1, max_length=limits.HOSTNAME_CHARACTERS)]
Traceparent = Annotated[str, Meta(max_length=limits.TRACEPARENT_CHARACTERS)]  # W3C Trace Context; else it is ignored
ClientId = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+(?!\n)$")]
Mode = Literal["drive", "watch"]
SessionKind = Literal["terminal", "exec"]
Unix = Annotated[float, Meta(ge=0, le=limits.UNIX_SECONDS)]
