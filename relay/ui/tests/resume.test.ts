/** Shows that each frame is written once, in order, or a gap is said. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Output } from "../src/resume.ts";

test("a page that has nothing begins fresh", () => {
  const output = new Output();
  assert.equal(output.after, null);
  assert.equal(output.begin({ epoch: 7, first: 5, recovered: false }), "fresh");
  assert.deepEqual(output.after, { epoch: 7, sequence: 4 });
});

test("frames apply once and in order", () => {
  const output = new Output();
  output.begin({ epoch: 7, first: 1, recovered: true });
  assert.equal(output.take(7, 1), "write");
  assert.equal(output.take(7, 1), "drop");
  assert.equal(output.take(7, 3), "again");
  assert.equal(output.take(7, 2), "write");
  assert.equal(output.take(7, 3), "write");
  assert.equal(output.last, 3);
});

test("frames of another life of the agent are dropped", () => {
  const output = new Output();
  output.begin({ epoch: 7, first: 1, recovered: true });
  assert.equal(output.take(6, 1), "drop");
});

test("coming back continues when nothing is missing", () => {
  const output = new Output();
  output.begin({ epoch: 7, first: 1, recovered: true });
  output.take(7, 1);
  assert.equal(output.begin({ epoch: 7, first: 2, recovered: true }), "continue");
  assert.equal(output.last, 1);
});

test("less than one had is a gap, and so are another life and a hole that calls itself recovered", () => {
  for (const answer of [
    { epoch: 7, first: 9, recovered: false },
    { epoch: 8, first: 1, recovered: true },
    { epoch: 7, first: 9, recovered: true },
  ]) {
    const output = new Output();
    output.begin({ epoch: 7, first: 1, recovered: true });
    output.take(7, 1);
    assert.equal(output.begin(answer), "gap");
    assert.deepEqual(output.after, { epoch: answer.epoch, sequence: answer.first - 1 });
  }
});
