"""Shows that the scenarios can fail: broken on purpose, the product is noticed to be."""

from __future__ import annotations

import pytest

from tests.faults.broken_promises import MUTATIONS, Mutation
from tests.faults.cluster import ROOT
from tests.faults.mutations import judge

# The others by hand: `python -m tests.faults.mutations`. Each starts a cluster of its own.
CHEAPEST = "a-gap-is-not-declared"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_finds_the_words_that_it_replaces(mutation: Mutation) -> None:
    """Once each; a mutation that changes nothing would be noticed by nobody, for a good reason."""
    for path, words, instead in mutation.edits:
        assert (ROOT / path).read_text().count(words) == 1, f"{path}: {words}"
        assert words != instead


@pytest.mark.xdist_group("faults-alone")
@pytest.mark.timeout(300)
def test_a_product_that_breaks_its_promise_is_noticed() -> None:
    """A copy of it, in which a few words are others."""
    (mutation,) = [each for each in MUTATIONS if each.name == CHEAPEST]
    verdict = judge(mutation)
    print(f"{mutation.promise}: {verdict.why}")
    assert verdict.noticed
    assert verdict.why.startswith(("AssertionError", "assert"))
