"""Says in which steps the secrets of a cluster change."""

from __future__ import annotations

import pytest

from relay.errors import Conflict
from relay.rules import rotation


def test_a_new_secret_is_known_before_it_signs_and_signs_before_the_old_one_goes() -> None:
    assert rotation.add(["old"], "new") == ("old", "new")
    assert rotation.sign(["old", "new"]) == ("new", "old")
    assert rotation.drop(["new", "old"]) == ("new",)


def test_no_step_is_taken_twice_or_left_out() -> None:
    with pytest.raises(Conflict, match="finish the rotation that is under way"):
        rotation.add(["old", "new"], "newer")
    with pytest.raises(Conflict, match="add the new one first"):
        rotation.sign(["old"])
    with pytest.raises(Conflict, match="there is no other"):
        rotation.drop(["old"])


NODES = {"n1": ("old", "new"), "n2": ("old",), "silent": ()}
SILENT = "silent does not say which secrets it has"


def test_nodes_that_are_not_ready_for_a_step_are_named() -> None:
    assert rotation.not_ready_to_sign(NODES, "new") == [SILENT, "n2 does not know new yet"]
    assert rotation.not_ready_to_drop(NODES, "new", {}, 0) == [
        SILENT,
        "n1 does not sign with new yet",
        "n2 does not sign with new yet",
    ]
    assert rotation.not_ready_to_sign({"n1": ("old", "new")}, "new") == []
    assert rotation.not_ready_to_drop({"n1": ("new", "old")}, "new", {"old": {}}, 0) == []


def test_where_nobody_can_be_asked_nothing_is_known_to_be_ready() -> None:
    assert rotation.not_ready_to_sign({}, "new") == ["no node is there to be asked"]
    assert rotation.not_ready_to_drop({}, "new", {}, 0) == ["no node is there to be asked"]


def test_what_hangs_on_a_secret_keeps_it() -> None:
    assert rotation.not_ready_to_drop({"n1": ("new", "old")}, "new", {"old": {"keys": 2, "links": 1}}, 3) == [
        "2 keys hang on old",
        "1 links hang on old",
        "3 machines are not connected, and those whose token is old must register again",
    ]
