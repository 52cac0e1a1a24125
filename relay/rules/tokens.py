"""Owns tokens: how they are written, checked for typing errors, hashed for storage, and signed for machines."""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from typing import Literal, NamedTuple, get_args

from relay.errors import BadToken, Misconfigured
from relay.rules import ids

Kind = Literal["team", "pat", "cli", "web", "link", "tick"]
KINDS: tuple[Kind, ...] = get_args(Kind)

RANDOM_BYTES = 32  # what the caller draws per token; folded into 190 bits, so that no character is likelier
BODY_CHARACTERS = 32
CHECK_CHARACTERS = 6  # CRC-32 in base62: a typing error is told without asking the registry
SECRET_CHARACTERS = 16  # shorter ones can be guessed offline from one machine token
SECRET_ID_BYTES = 4

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE = len(_ALPHABET)
_CHARACTERS = _ALPHABET.encode()
_DIGITS = bytes.maketrans(_CHARACTERS, bytes(range(_BASE)))  # each character's value
_BYTE_BITS = 8
_MACHINE_PREFIX = "rly_mach_"
_CLAIMS = struct.Struct(">4s16s16sI")  # secret id, workspace, machine, token version
_MAC_BYTES = 32
_MACHINE_BYTES = _CLAIMS.size + _MAC_BYTES
_MACHINE_CHARACTERS = 97  # 62^97 is the first power above 256^72
_JOINABLE = 128  # characters that `_number` reads at most: the power of two above a machine token's
_HASH_PURPOSE = b"relay token hash\0"  # keeps a stored hash from ever being a signature
_SIGN_PURPOSE = b"relay machine token\0"


class Secret:
    """One secret of the cluster; never shown, known to the outside by the first eight digits of its hash."""

    __slots__ = ("_keyed", "id")

    def __init__(self, value: str) -> None:
        secret = _bytes(value)
        self._keyed = hmac.new(secret, digestmod="sha256")  # copied for each message: half the cost of a new one
        self.id = hashlib.sha256(secret).hexdigest()[: 2 * SECRET_ID_BYTES]

    def __repr__(self) -> str:
        return f"Secret({self.id})"

    def mac(self, purpose: bytes, message: bytes) -> bytes:
        """HMAC-SHA-256 of a message for one purpose."""
        keyed = self._keyed.copy()
        keyed.update(purpose + message)
        return keyed.digest()


class Secrets:
    """The cluster's secrets, newest first: the first signs and hashes, all of them verify."""

    __slots__ = ("_by_id", "_secrets")

    def __init__(self, secrets: tuple[Secret, ...]) -> None:
        self._secrets = secrets
        self._by_id = {secret.id: secret for secret in reversed(secrets)}  # of two with one id, the newer

    def __repr__(self) -> str:
        return f"Secrets({', '.join(secret.id for secret in self._secrets)})"

    @classmethod
    def parse(cls, text: str) -> Secrets:
        """The secrets of `RELAY_SECRET`, separated by commas; raises `Misconfigured`, never showing one."""
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not values or any(len(value) < SECRET_CHARACTERS for value in values):
            raise Misconfigured(f"RELAY_SECRET needs secrets of at least {SECRET_CHARACTERS} characters each")
        return cls(tuple(Secret(value) for value in values))

    @property
    def first(self) -> Secret:
        """The one that signs."""
        return self._secrets[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """What the secrets are known by to the outside, in their order."""
        return tuple(secret.id for secret in self._secrets)

    def find(self, id: str) -> Secret | None:
        """The secret with this id, or None if it was retired."""
        return self._by_id.get(id)

    def hash(self, token: str) -> str:
        """What is stored of a token: `SECRETID:HEX`, made with the first secret."""
        return _hashed(self.first, token)

    def hashes(self, token: str) -> list[str]:
        """All that may be stored of a token, one per secret, for one lookup with IN."""
        return [_hashed(secret, token) for secret in self._secrets]


class Parsed(NamedTuple):
    """A token whose check characters are right; whether anybody knows it is for the registry to say."""

    kind: Kind
    text: str


class MachineToken(NamedTuple):
    """What a machine token says once its signature has been verified."""

    workspace: str
    machine: str
    token_version: int
    secret: str  # the id of the one that signed it


def make(kind: Kind, random: bytes) -> str:
    """A new token out of 32 random bytes, which the caller draws."""
    assert len(random) == RANDOM_BYTES
    value = int.from_bytes(random) % _BASE**BODY_CHARACTERS
    return _checked(f"rly_{kind}_{_base62(value, BODY_CHARACTERS)}")


def parse(text: str) -> Parsed:
    """The kind of a token of any sort but a machine's; raises `BadToken`, never repeating the text."""
    for kind in KINDS:
        prefix = f"rly_{kind}_"
        if text.startswith(prefix):
            _uncheck(text, prefix, BODY_CHARACTERS)
            return Parsed(kind, text)
    raise BadToken("this is not a token of ours")


def sign_machine(secrets: Secrets, workspace: str, machine: str, token_version: int) -> str:
    """The token by which a machine's agent is known; nothing of it is stored."""
    secret = secrets.first
    claims = _CLAIMS.pack(bytes.fromhex(secret.id), ids.raw(workspace), ids.raw(machine), token_version)
    signed = claims + secret.mac(_SIGN_PURPOSE, claims)
    return _checked(_MACHINE_PREFIX + _base62(int.from_bytes(signed), _MACHINE_CHARACTERS))


def read_machine(secrets: Secrets, text: str) -> MachineToken:
    """What a machine token says; raises `BadToken` if any secret of the cluster did not sign exactly this."""
    if not text.startswith(_MACHINE_PREFIX):
        raise BadToken("this is not a machine token")
    value = _number(_uncheck(text, _MACHINE_PREFIX, _MACHINE_CHARACTERS))
    if value >= 256**_MACHINE_BYTES:
        raise BadToken("this machine token is damaged")
    signed = value.to_bytes(_MACHINE_BYTES)
    claims, mac = signed[: _CLAIMS.size], signed[_CLAIMS.size :]
    secret_id, workspace, machine, token_version = _CLAIMS.unpack(claims)
    secret = secrets.find(secret_id.hex())
    if secret is None or not hmac.compare_digest(mac, secret.mac(_SIGN_PURPOSE, claims)):
        raise BadToken("this machine token was not signed here")
    return MachineToken(ids.text(workspace), ids.text(machine), token_version, secret.id)


def _bytes(text: str) -> bytes:
    """The text as bytes whatever it is: environments and peers may hold text that is no UTF-8."""
    return text.encode(errors="surrogatepass")


def _hashed(secret: Secret, token: str) -> str:
    return f"{secret.id}:{secret.mac(_HASH_PURPOSE, _bytes(token)).hex()}"


def _base62(value: int, characters: int) -> str:
    written = []
    for _ in range(characters):
        value, digit = divmod(value, _BASE)
        written.append(_ALPHABET[digit])
    assert value == 0
    return "".join(reversed(written))


def _joins() -> tuple[tuple[int, int, int], ...]:
    """What `_number` does in each step: (which lanes are even, how wide a lane is in bits, what an odd lane counts)."""
    steps, bits, worth = [], _BYTE_BITS, _BASE
    while bits < _JOINABLE * _BYTE_BITS:
        lane = (1 << bits) - 1
        even = sum(lane << at for at in range(0, _JOINABLE * _BYTE_BITS, 2 * bits))
        steps.append((even, bits, worth))
        bits, worth = 2 * bits, worth * worth
    return tuple(steps)


_JOINS = _joins()


def _number(text: str) -> int:
    """What characters of the alphabet stand for. Neighbors are joined, all pairs at once, into lanes of twice the
    width, until one is left: seven steps, where a loop would take a hundred."""
    value = int.from_bytes(text.encode().translate(_DIGITS))
    for even, bits, worth in _JOINS:
        value = (value & even) + (value >> bits & even) * worth
    return value


def _checked(text: str) -> str:
    return text + _base62(zlib.crc32(text.encode()), CHECK_CHARACTERS)


def _uncheck(text: str, prefix: str, characters: int) -> str:
    """The body between prefix and check characters; raises `BadToken` if the length, alphabet or check is wrong."""
    if len(text) != len(prefix) + characters + CHECK_CHARACTERS or not text[len(prefix) :].isascii():
        raise BadToken("this token is cut short or damaged")
    written, check = text[:-CHECK_CHARACTERS], text[-CHECK_CHARACTERS:]
    foreign = text[len(prefix) :].encode().translate(None, _CHARACTERS)
    if foreign or _number(check) != zlib.crc32(written.encode()):
        raise BadToken("this token is damaged")
    return written[len(prefix) :]
