/** Shows that a long list has few rows, and that the chosen one is in sight. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsInSight, scrollTo } from "../src/window.ts";

test("of many rows only those around the sight exist", () => {
  const rows = rowsInSight(10_000, 64, 64_000, 640);
  assert.ok(rows.first <= 1_000 && rows.last >= 1_010);
  assert.ok(rows.last - rows.first < 40);
  assert.equal(rows.above, rows.first * 64);
  assert.equal(rows.total, 640_000);
});

test("a list that became shorter than its scroll has no rows out of nothing", () => {
  const rows = rowsInSight(3, 64, 5_000, 640);
  assert.deepEqual([rows.first, rows.last], [3, 3]);
});

test("scrolling to a row moves as little as possible", () => {
  assert.equal(scrollTo(5, 64, 0, 640), 0);
  assert.equal(scrollTo(10, 64, 0, 640), 64);
  assert.equal(scrollTo(2, 64, 640, 640), 128);
});
