"""Tests what counts as a node's last word, and what as a turn to come back in."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from relay import errors
from relay.client.refusal import SHED_MOST_SECONDS, final_word, turn_seconds

PROBLEM = "application/problem+json"


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status, "", Headers({name.replace("_", "-"): value for name, value in headers.items()}), body)


@pytest.mark.parametrize("content", [PROBLEM, f"{PROBLEM}; charset=utf-8"])
def test_a_problem_of_the_relay_is_its_last_word(content: str) -> None:
    told = b'{"code": "machine-revoked", "title": "Gone", "detail": "revoked yesterday", "machine": "x"}'
    word = final_word(answer(410, told, Content_Type=content))
    assert isinstance(word, errors.MachineRevoked)
    assert (word.message, word.extra["machine"]) == ("revoked yesterday", "x")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 426])
@pytest.mark.parametrize(
    ("content", "body"),
    [
        (PROBLEM, b""),
        (PROBLEM, b"\xff"),
        (PROBLEM, b"[]"),
        (PROBLEM, b'{"title": "of somebody else"}'),
        ("application/json", b'{"code": "machine-revoked"}'),
        ("text/html", b"<h1>Log in first</h1>"),
    ],
)
def test_what_stands_before_the_relay_has_no_last_word(status: int, content: str, body: bytes) -> None:
    assert final_word(answer(status, body, Content_Type=content)) is None
    assert final_word(answer(status, body)) is None


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_relay_in_trouble_has_no_last_word(status: int) -> None:
    assert final_word(answer(status, b'{"code": "unavailable"}', Content_Type=PROBLEM)) is None


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("1", 1), ("30", 30), (" 7 ", 7), ("3600", SHED_MOST_SECONDS), ("9" * 5_000, SHED_MOST_SECONDS)],
    ids=["shortest", "longest", "spaces", "an hour", "absurd"],
)
def test_a_turn_is_believed_within_reason(after: str, seconds: float) -> None:
    assert turn_seconds(answer(503, Retry_After=after)) == seconds


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "0", "1.5", "1e9", "inf", "\u00b2", ""])
def test_what_is_no_number_of_seconds_names_no_turn(after: str) -> None:
    assert turn_seconds(answer(503, Retry_After=after)) is None


def test_only_503_names_a_turn_and_the_first_of_two_counts() -> None:
    assert turn_seconds(answer(502, Retry_After="7")) is None
    assert turn_seconds(answer(503)) is None
    twice = answer(503, Retry_After="7")
    twice.headers["Retry-After"] = "8"
    assert turn_seconds(twice) == 7
