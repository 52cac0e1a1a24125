/** Shows that the list of machines is what the relay said, in parts, changes and holes. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Machines } from "../src/fleet.ts";
import type { Machine } from "../src/protocol.ts";

const WORKSPACE = "w";

function machine(name: string, online = true): Machine {
  return { id: name, name, hostname: name, online, state: online ? "live" : "offline", connected: online } as Machine;
}

function setUp(): { machines: Machines; asked: string[]; changed: string[]; names: () => string[] } {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  const asked: string[] = [];
  const changed: string[] = [];
  const machines = new Machines(
    (workspace) => asked.push(workspace),
    (found, id) => changed.push(found ? id : `-${id}`),
  );
  machines.choose(WORKSPACE);
  const names = (): string[] => {
    mock.timers.tick(1_000);
    return machines.store.value.machines.map((each) => each.name);
  };
  return { machines, asked, changed, names };
}

function snapshot(machines: Machines, found: Machine[], more = false, seq = 0): void {
  machines.message({
    type: "snapshot",
    workspace: WORKSPACE,
    seq,
    now: "2026-11-22T10:00:00.000Z",
    machines: found,
    more,
  });
}

test("a snapshot in parts shows when it is whole, reachable ones first, numbers as people count", () => {
  const { machines, names } = setUp();
  snapshot(machines, [machine("node-10"), machine("away", false)], true);
  assert.equal(machines.store.value.known, false);
  snapshot(machines, [machine("node-2")]);
  assert.deepEqual(names(), ["node-2", "node-10", "away"]);
});

test("changes follow by number, and a hole asks for everything again", () => {
  const { machines, asked, names } = setUp();
  snapshot(machines, [machine("a"), machine("b")]);
  machines.message({ type: "gone", workspace: WORKSPACE, seq: 1, id: "a" });
  assert.deepEqual(names(), ["b"]);
  machines.message({ type: "machine", workspace: WORKSPACE, seq: 3, machine: machine("d") });
  machines.message({ type: "machine", workspace: WORKSPACE, seq: 4, machine: machine("e") });
  assert.deepEqual(asked, [WORKSPACE, WORKSPACE]);
  assert.deepEqual(names(), ["b"]);
  snapshot(machines, [machine("b"), machine("d"), machine("e")], false, 4);
  assert.deepEqual(names(), ["b", "d", "e"]);
});

test("a new snapshot tells of those that left in between", () => {
  const { machines, changed } = setUp();
  snapshot(machines, [machine("a"), machine("b")]);
  machines.online();
  snapshot(machines, [machine("b")]);
  assert.deepEqual(changed, ["a", "b", "b", "-a"]);
});

test("words about another workspace are not heard", () => {
  const { machines, names } = setUp();
  snapshot(machines, [machine("a")]);
  machines.message({ type: "machine", workspace: "other", seq: 1, machine: machine("x") });
  assert.deepEqual(names(), ["a"]);
});

test("a relay that lost its memory is asked again once its machines had time to report", () => {
  const { machines, asked } = setUp();
  const now = "2026-11-22T10:00:00.000Z";
  machines.message({ type: "snapshot", workspace: WORKSPACE, seq: 0, now, machines: [machine("a")], settled: false });
  assert.equal(machines.store.value.settled, false);
  mock.timers.tick(30_000);
  assert.equal(asked.length, 1);
  mock.timers.tick(10_000);
  assert.equal(asked.length, 2);
});

test("a list that the relay cannot give is asked for again until it comes, and no longer", () => {
  const { machines, asked } = setUp();
  const away = { code: "registry-unavailable", message: "the registry does not answer" };
  machines.refused(WORKSPACE, away);
  mock.timers.tick(4_000);
  assert.deepEqual(asked, [WORKSPACE, WORKSPACE]);
  machines.refused(WORKSPACE, away);
  snapshot(machines, [machine("a")]);
  mock.timers.tick(4_000);
  assert.deepEqual(asked, [WORKSPACE, WORKSPACE]);
  machines.online();
  machines.refused(WORKSPACE, { code: "not-found", message: "there is nothing here" });
  machines.refused("another", away);
  mock.timers.tick(4_000);
  assert.deepEqual(asked, [WORKSPACE, WORKSPACE, WORKSPACE]);
});
