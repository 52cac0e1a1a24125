"""Names what can be set for a node, with defaults and bounds, and refuses values that contradict each other."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from relay.contradictions import contradictions
from relay.urls import origin, with_scheme

SECRET_CHARACTERS = 16  # shorter ones can be guessed offline from one machine token
REDIS_SCHEMES = (
    "redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "rediss+cluster", "redis+shards", "rediss+shards"
)  # fmt: skip
DATABASE_SCHEMES = ("sqlite+aiosqlite", "postgresql+asyncpg")
Words = tuple[str, ...]  # comma separated in the environment


def _own_url(data: dict[str, Any]) -> str:
    host = str(data["host"])
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read here, not bound
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{data['port']}"


def _origins(data: dict[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(data["public_url"]), str(data["advertise_url"]))))


def _hosts(data: dict[str, Any]) -> tuple[str, ...]:
    named = [urlsplit(url).netloc for url in (*data["allowed_origins"], data["public_url"], data["advertise_url"])]
    return tuple(dict.fromkeys(host.lower() for host in named))


class Settings(BaseModel):
    """What one node is told about its surroundings; times that a cluster must agree on are in `rules/timing.py`."""

    # Not pydantic-settings: a node gets its values from `load`, a test from its own hands, and neither may be
    # surprised by a variable that happens to be in the environment.
    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str = Field(
        repr=False,
        description="Redis of the cluster: redis://, rediss://, unix://, redis+sentinel://, redis[s]+cluster:// or redis[s]+shards://",
        json_schema_extra={"unit": "URL", "secret": True},
    )
    database_url: str = Field(
        repr=False,
        description="registry: sqlite+aiosqlite:///PATH or postgresql+asyncpg://USER:PASSWORD@HOST/NAME",
        json_schema_extra={"unit": "URL", "secret": True},
    )
    secret: str = Field(
        default="",
        repr=False,
        description="secrets that sign machine tokens and hash all others, newest first; a node needs one",
        json_schema_extra={"unit": "comma-separated, each at least 16 characters", "secret": True, "shown": "none"},
    )
    host: str = Field(
        default="127.0.0.1", description="address to listen on", json_schema_extra={"unit": "IP address or name"}
    )
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="nodes to run behind this port, one process each; metrics ports count up from RELAY_METRICS_PORT",
    )
    public_url: str = Field(
        default_factory=_own_url,
        description="where people reach the cluster; sign-in links begin with it, https makes cookies secure",
        json_schema_extra={"unit": "URL", "shown": "http://HOST:PORT"},
    )
    advertise_url: str = Field(
        default_factory=lambda data: str(data["public_url"]),
        description="where clients reach this very node; behind a balancer the same as RELAY_PUBLIC_URL",
        json_schema_extra={"unit": "URL", "shown": "RELAY_PUBLIC_URL"},
    )
    allowed_origins: Words = Field(
        default_factory=_origins,
        description="exact origins whose pages may open browser sockets and send the cookie",
        json_schema_extra={"unit": "comma-separated origins", "shown": "those of the two URLs above"},
    )
    allowed_hosts: Words = Field(
        default_factory=_hosts,
        description="exact Host headers that are answered; others are refused, health checks aside",
        json_schema_extra={"unit": "comma-separated HOST[:PORT]", "shown": "those of the origins and URLs above"},
    )
    trusted_proxies: Words = Field(
        default=(),
        description="proxies whose X-Forwarded-For is believed",
        json_schema_extra={"unit": "comma-separated addresses or networks", "shown": "none"},
    )
    redis_prefix: str = Field(
        default="relay",
        pattern=r"^[A-Za-z0-9_.-]{1,32}$",
        description="first word of every key and channel, so that clusters can share a Redis",
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port of /metrics; 0 serves none")
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="peers are asked to leave spread over this long after SIGTERM",
        json_schema_extra={"unit": "seconds"},
    )
    sockets: int = Field(
        default=20_000,
        ge=1,
        description="WebSockets this node holds; newcomers beyond it get 4100",
        json_schema_extra={"unit": "connections"},
    )
    handshakes: float = Field(
        default=2_000.0,
        gt=0,
        description="WebSocket handshakes this node accepts; newcomers beyond it get 503 with Retry-After",
        json_schema_extra={"unit": "per second"},
    )
    revocation_trust_seconds: float = Field(
        default=30.0,
        ge=0,
        le=86_400,
        description="without the registry machines are let in for so long after a node vanished that may revoke some",
        json_schema_extra={"unit": "seconds"},
    )
    sqlite_with_remote_redis: bool = Field(
        default=False,
        description="allow a SQLite registry beside a Redis on another host: only if no second host runs a node",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least that is logged")
    log_format: Literal["json", "text"] = Field(default="json", description="one JSON object a line, or plain text")

    @field_validator("allowed_origins", "allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str) -> str:
        return with_scheme(value, REDIS_SCHEMES)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        return with_scheme(value, DATABASE_SCHEMES)

    @field_validator("secret")
    @classmethod
    def _long_secrets(cls, value: str) -> str:
        words = [word.strip() for word in value.split(",") if word.strip()]
        if any(len(word) < SECRET_CHARACTERS for word in words):
            raise ValueError(f"each secret needs at least {SECRET_CHARACTERS} characters")
        return ",".join(words)

    @field_validator("public_url", "advertise_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        return origin(value)

    @field_validator("allowed_origins")
    @classmethod
    def _plain_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin(word) for word in value)

    @field_validator("allowed_hosts")
    @classmethod
    def _lower_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.lower() for word in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(word, strict=False)) for word in value)

    @model_validator(mode="after")
    def _agree(self, validation: ValidationInfo) -> Settings:
        wrong = contradictions(self, (validation.context or {}).get("uses"))
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def secure(self) -> bool:
        """Whether people reach the cluster over TLS, so that cookies may be marked `Secure`."""
        return self.public_url.startswith("https://")
