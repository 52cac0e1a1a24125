/** Shows that close codes are a policy: stop, come back later, or come back soon, never at once. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, nextNode, waitMs } from "../src/closing.ts";

test("final codes stop, each with its reason", () => {
  const why = [4001, 4002, 4003, 4004, 4005, 4006, 1007, 1009].map((code) => {
    const verdict = judge(code, 0);
    return verdict.then === "stop" ? verdict.why : "returns";
  });
  const expected = [
    "forbidden",
    "signed-out",
    "forbidden",
    "forbidden",
    "protocol",
    "outdated",
    "protocol",
    "protocol",
  ];
  assert.deepEqual(why, expected);
});

test("a lost or draining node is left soon, for another one, and never in the same instant", () => {
  for (const code of [1006, 1001, 1012, 4200, 4201, 4202]) {
    const verdict = judge(code, 0);
    assert.equal(verdict.then, "return");
    if (verdict.then !== "return") continue;
    assert.ok(waitMs(verdict, 0) > 0);
    assert.ok(waitMs(verdict, 0.999) <= 1_000);
    assert.equal(verdict.elsewhere, true);
  }
});

test("a node that asks for room gets it", () => {
  for (const code of [4100, 4101, 4102, 4103]) {
    const verdict = judge(code, 0);
    assert.ok(verdict.then === "return" && waitMs(verdict, 0) >= 2_000);
  }
});

test("waits grow with failures and stay below what a person bears", () => {
  const longest = [0, 1, 2, 5, 50].map((failures) => {
    const verdict = judge(1006, failures);
    return verdict.then === "return" ? waitMs(verdict, 0.9999) : 0;
  });
  assert.deepEqual(
    [...longest].sort((a, b) => a - b),
    longest,
  );
  assert.ok(longest.at(-1)! <= 15_000);
});

test("the next node is another one while there is another one", () => {
  for (const random of [0, 0.3, 0.6, 0.999]) {
    assert.notEqual(nextNode(["a", "b", "c"], "b", random), "b");
    assert.equal(nextNode(["a"], "a", random), "a");
  }
});
