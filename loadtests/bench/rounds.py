"""Runs everything in interleaved rounds, so that what changes on the machine meanwhile changes all of them alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from loadtests.bench import host, report, usage
from loadtests.bench.contender import Contender, NotMeasured
from loadtests.bench.fanout import Fanout
from loadtests.bench.plan import Plan, Scenario
from loadtests.bench.rows import Findings, Row, Void
from relay.errors import RelayError


class Rounds:
    """All measurements of one run."""

    def __init__(self, plan: Plan, fanouts: Sequence[Fanout], scenarios: Sequence[Scenario]) -> None:
        self._plan = plan
        self._fanouts = fanouts
        self._scenarios = scenarios
        self.findings = Findings()
        self.versions: dict[str, dict[str, str]] = {}
        self.speeds: list[float] = []  # of the machine, at the start of each round
        self.left_out: dict[str, str] = {}  # contenders that this machine cannot run, and why

    async def run(self, contenders: Sequence[Contender]) -> None:
        """Each round measures everything once: fan-outs for every contender, the rest for Relay."""
        for number in range(1, self._plan.rounds + 1):
            self.speeds.append(round(host.speed(), 1))
            say(f"round {number} of {self._plan.rounds}, {self.speeds[-1]} million additions a CPU-second")
            for nodes in sorted({fanout.nodes for fanout in self._fanouts}):
                for contender in contenders:
                    if contender.name not in self.left_out:
                        await self._fan_out(contender, nodes)
            for scenario in self._scenarios:
                await self._measure(scenario)

    async def _fan_out(self, contender: Contender, nodes: int) -> None:
        """A fresh start each round: processes differ a little from one start to the next, and the median should see
        several of them."""
        due = [fanout for fanout in self._fanouts if fanout.nodes == nodes]
        try:
            await contender.start(nodes, self._plan.cores.servers)
            self.versions.setdefault(contender.name, contender.versions)
            await usage.at_rest(contender.pids)
            for fanout in due:
                await self._deliveries(contender, fanout)
        except NotMeasured as reason:
            self.left_out[contender.name] = str(reason)
            say(f"  {contender.name} is not measured: {reason}")
        except RelayError as why:  # it did not start
            for fanout in due:
                self._void(fanout.row, contender.name, why.message)
        finally:
            await contender.stop()

    async def _deliveries(self, contender: Contender, fanout: Fanout) -> None:
        try:
            value = await fanout.measure(contender, self._plan.seconds)
        except (Void, OSError) as why:
            self._void(fanout.row, contender.name, str(why))
            return
        self.findings.add(fanout.row, contender.name, value)
        say(report.progress(fanout.row, contender.name, value))

    async def _measure(self, scenario: Scenario) -> None:
        try:
            found = await scenario.measure(self._plan)
        except (Void, OSError, RelayError) as why:
            for row in scenario.rows:
                self._void(row, report.OURS, str(why))
            return
        for row in scenario.rows:
            self.findings.add(row, report.OURS, found[row.name])
            say(report.progress(row, report.OURS, found[row.name]))

    def _void(self, row: Row, contender: str, why: str) -> None:
        self.findings.void(row, contender, why)
        say(f"  {row.name} of {contender} is void: {why}")


def say(line: str) -> None:
    """What happens, on standard error: the result goes to standard output."""
    print(line, file=sys.stderr, flush=True)
