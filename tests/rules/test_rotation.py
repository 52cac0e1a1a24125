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


def test_nodes_that_are_not_ready_for_a_step_are_named() -> None:
    nodes = {"n1": ("old", "new"), "n2": ("old",), "silent": ()}
    assert rotation.ignorant(nodes, "new") == ["n2"]
    assert rotation.signing_otherwise(nodes, "new") == ["n1", "n2"]
    assert rotation.signing_otherwise(nodes, "old") == []
