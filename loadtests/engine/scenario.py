"""Names what a scenario is: its sizes, who takes part, what happens, and what it promises unless told otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from loadtests.engine.population import Machines, People
from loadtests.engine.run import Run


class Size(NamedTuple):
    """One number that makes a scenario larger or smaller: an option of the same name."""

    name: str
    default: float
    meaning: str
    scaled: bool = False  # whether --scale multiplies it
    counted: bool = True  # a whole number


class Scenario(ABC):
    """One scenario; its docstring is its help."""

    name: ClassVar[str]
    seconds: ClassVar[float]  # of traffic, unless told otherwise
    nodes: ClassVar[int] = 3  # of a cluster of its own, unless told otherwise
    sizes: ClassVar[Sequence[Size]]
    thresholds: ClassVar[Sequence[str]] = ()  # beside those that are given
    told: ClassVar[Mapping[str, str]] = {}  # settings of nodes of its own

    @abstractmethod
    def machines(self, sizes: Mapping[str, float]) -> list[Machines]:
        """The machines that take part."""

    def people(self, sizes: Mapping[str, float]) -> list[People]:
        """The people who do."""
        return []

    def workspaces(self, sizes: Mapping[str, float]) -> int:
        """Over how many workspaces machines and people are spread, on a cluster of its own."""
        return 1

    @abstractmethod
    async def play(self, run: Run) -> None:
        """What happens, from the first connection to the last."""


def integer(sizes: Mapping[str, float], name: str) -> int:
    """A size that is counted."""
    return int(sizes[name])
