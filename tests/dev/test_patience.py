"""Shows how long tests wait on a computer that has other things to do."""

from __future__ import annotations

import os

import pytest

from tests.support.patience import overrun, within


@pytest.mark.parametrize(
    ("wanted", "seconds", "says_nothing"),
    [(0.0, 5.0, False), (1.0, 5.0, False), (2.0, 10.0, False), (12.0, 15.0, True)],
)
def test_what_is_promised_takes_as_much_longer_as_processors_are_shared_and_three_times_at_most(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wanted: float,
    seconds: float,
    says_nothing: bool,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (4 * wanted, 0.0, 0.0))
    assert [within(5.0), within(5.0)] == [seconds, seconds]
    assert overrun() == says_nothing
    lines = capsys.readouterr().out.splitlines()
    assert lines == ([] if seconds == 5.0 else [f"5 s count {seconds / 5.0:g} times here"])
