"""Signs a terminal in by a code that a person approves elsewhere (RFC 8628)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from relay import errors
from relay.registry import SignedIn
from relay.rules import timing, tokens
from relay.rules.machine import iso
from relay.store import Approved, Ended, Waiting
from relay.store.device_codes import POLL_SECONDS
from relay.web import rate
from relay.web.answers import User, user
from relay.web.bodies import Answer, Body, Title, answer
from relay.web.call import Ask, Call, nothing
from relay.web.signin import new_sign_in

# No vowels, so that no word appears, and nothing that looks like a digit (RFC 8628, section 6.1).
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_CHARACTERS = 8  # 20^8: 34 bits, enough against ten guesses a minute within ten minutes
USER_CODE_TRIES = 5  # a code in use is drawn again; five in a row would be one in 10^30


class Device(Answer):
    """What the terminal shows and keeps."""

    device_code: str
    user_code: str
    verification_url: str
    interval_seconds: float
    expires_at: str


class Approve(Body):
    """The code that the terminal shows, with or without its dash; `deny` refuses it."""

    user_code: Annotated[str, Meta(min_length=1, max_length=32)]
    deny: bool = False


class Approval(Answer):
    """Whether the terminal will be signed in, and what it calls itself."""

    approved: bool
    client: str


class AskToken(Body):
    """The code that the terminal keeps."""

    device_code: Title


class DeviceToken(Answer):
    """The terminal's token; told once."""

    token: str
    user: User


async def start_device(ask: Ask) -> Response:
    """Starts waiting for somebody to approve."""
    parts = ask.parts
    await rate.take(parts.rates, rate.DEVICE, ask.address)
    device_code = tokens.make("tick", parts.randomness(tokens.RANDOM_BYTES))
    client = new_sign_in(parts, ask.request, cli=True)[1].name
    for _ in range(USER_CODE_TRIES):
        user_code = make_user_code(parts.randomness(tokens.RANDOM_BYTES))
        if await parts.devices.begin(device_code, user_code, client):
            break
    else:
        raise errors.Unavailable("no code is free now: try again")
    body = Device(
        device_code=device_code,
        user_code=user_code,
        verification_url=f"{parts.settings.public_url}/#device={user_code}",
        interval_seconds=POLL_SECONDS,
        expires_at=iso(parts.clock() + int(timing.DEVICE_CODE_SECONDS * 1000)),
    )
    return answer(body, 201)


async def approve_device(ask: Ask) -> Response:
    """Signs the waiting terminal in as the asker, or refuses it."""
    body: Approve = ask.body
    devices = ask.parts.devices
    await rate.take(ask.parts.rates, rate.APPROVE, ask.person)
    code = clean_user_code(body.user_code)
    client = await devices.client(code)
    done = client is not None and await (devices.deny(code) if body.deny else devices.approve(code, ask.person))
    if not done or client is None:
        raise nothing()
    return answer(Approval(approved=not body.deny, client=client))


async def poll_device(ask: Ask) -> Response:
    """Tells the terminal to wait, or gives it its token."""
    body: AskToken = ask.body
    parts = ask.parts
    await rate.take(parts.rates, rate.POLL, ask.address)
    match await parts.devices.poll(body.device_code):
        case Waiting("slow-down", interval):
            raise errors.SlowDown("ask less often", intervalSeconds=interval, retryAfterSeconds=int(interval))
        case Waiting("authorization-pending", interval):
            raise errors.AuthorizationPending("nobody has approved this yet", intervalSeconds=interval)
        case Ended("denied"):
            raise errors.Forbidden("the person refused this sign-in")
        case Ended():
            raise errors.Gone("this code is unknown, used or too old: begin again")
        case Approved(person):
            token, new = new_sign_in(parts, ask.request, cli=True)
            credential = await parts.registry.credentials.sign_in(person, new, parts.clock())
            found = SignedIn(person=await parts.registry.people.get(person), credential=credential)
            return answer(DeviceToken(token=token, user=user(found.person)))
    raise AssertionError("a device is waiting, approved or ended")


def make_user_code(random: bytes) -> str:
    """A code to be read aloud and typed: eight letters in two groups."""
    value = int.from_bytes(random)
    letters = []
    for _ in range(USER_CODE_CHARACTERS):
        value, letter = divmod(value, len(USER_CODE_LETTERS))
        letters.append(USER_CODE_LETTERS[letter])
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


def clean_user_code(text: str) -> str:
    """What somebody typed, as the code was shown; raises `NotFound` for what cannot be a code."""
    letters = [letter for letter in text.upper() if letter not in " -\t"]
    if len(letters) != USER_CODE_CHARACTERS or any(letter not in USER_CODE_LETTERS for letter in letters):
        raise nothing()
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


CALLS = (
    Call(
        method="POST",
        path="/api/device",
        does="Begins the sign-in of a terminal: show the user code, then ask for the token at each interval.",
        handle=start_device,
        answer=Device,
        errors=(errors.LimitReached,),
        asker="anybody",
        statuses=(201,),
    ),
    Call(
        method="POST",
        path="/api/device/approve",
        does="Signs the terminal that shows this code in as you, or refuses it.",
        handle=approve_device,
        answer=Approval,
        body=Approve,
        errors=(errors.NotFound, errors.LimitReached),
        asker="person",
    ),
    Call(
        method="POST",
        path="/api/device/token",
        does="Answers the terminal's token, once, after somebody approved its code.",
        handle=poll_device,
        answer=DeviceToken,
        body=AskToken,
        errors=(
            errors.AuthorizationPending,
            errors.SlowDown,
            errors.Gone,
            errors.Forbidden,
            errors.LimitReached,
        ),
        asker="anybody",
    ),
)
