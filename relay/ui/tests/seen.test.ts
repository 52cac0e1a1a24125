/** Shows that reports of what was drawn come per 64 KiB or 100 ms, and never twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERY_BYTES, EVERY_MS, HIGH_WATER_BYTES, Seen } from "../src/seen.ts";

function setUp(): { seen: Seen; reports: number[]; due: Map<number, () => void>; waits: number[] } {
  const reports: number[] = [];
  const waits: number[] = [];
  const due = new Map<number, () => void>();
  const timers = {
    set: (run: () => void, ms: number) => {
      waits.push(ms);
      due.set(waits.length, run);
      return waits.length;
    },
    clear: (timer: number) => void due.delete(timer),
  };
  return { seen: new Seen((sequence) => reports.push(sequence), timers), reports, due, waits };
}

test("a little output is reported after a moment, once for all of it", () => {
  const { seen, reports, due, waits } = setUp();
  seen.drawn(1, 10);
  seen.drawn(2, 10);
  assert.deepEqual([reports, waits], [[], [EVERY_MS]]);
  for (const run of due.values()) run();
  assert.deepEqual(reports, [2]);
  seen.flush();
  assert.deepEqual(reports, [2]);
});

test("much output is reported at once", () => {
  const { seen, reports, due } = setUp();
  seen.drawn(1, 10);
  seen.drawn(2, EVERY_BYTES);
  assert.deepEqual(reports, [2]);
  assert.equal(due.size, 0);
});

test("a screen that is hopelessly behind says so", () => {
  const { seen } = setUp();
  assert.equal(seen.handed(HIGH_WATER_BYTES), true);
  assert.equal(seen.handed(1), false);
  seen.drawn(1, HIGH_WATER_BYTES);
  assert.equal(seen.handed(1), true);
});

test("what was drawn before the screen was cleared is not reported after it", () => {
  const { seen, reports } = setUp();
  seen.drawn(9, 10);
  seen.restart();
  seen.drawn(0, 10);
  seen.flush();
  assert.deepEqual(reports, []);
});
