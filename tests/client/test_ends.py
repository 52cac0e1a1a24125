"""Tests of what the end of a socket means."""

from __future__ import annotations

import pytest

from relay import errors
from relay.client.ends import ClosedForGood, end_of


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4001, errors.MachineRevoked),
        (4002, errors.BadToken),
        (4003, errors.Forbidden),
        (4004, errors.Replaced),
        (4005, errors.Invalid),
        (4006, errors.UnsupportedVersion),
        (1009, errors.TooBig),
        (4099, errors.Invalid),
    ],
)
def test_an_end_for_good_has_the_error_of_its_meaning(code: int, error: type[errors.RelayError]) -> None:
    end = end_of(code)
    assert isinstance(end, ClosedForGood)
    assert type(end.as_error()) is error
