/** Shows the words that people read. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { describe } from "../src/browser.ts";
import type { Machine } from "../src/protocol.ts";
import { ago, connectionWords, ending, presence, sessionLine, plain } from "../src/words.ts";

test("times are one short unit", () => {
  const seconds = [-5, 4, 42, 90, 3_599, 3_600, 100_000, 900_000];
  const expected = ["just now", "just now", "42 s ago", "2 min ago", "1 h ago", "1 h ago", "28 h ago", "10 days ago"];
  assert.deepEqual(
    seconds.map((each) => ago(each * 1000)),
    expected,
  );
});

test("presence is honest about what is known", () => {
  const now = Date.parse("2026-11-22T10:00:00Z");
  const machine = { state: "live", lastSeenAt: "2026-11-22T09:59:00.000Z" } as Machine;
  assert.equal(presence(machine, now), "online");
  assert.equal(presence({ ...machine, state: "degraded" }, now), "unsteady, seen 1 min ago");
  assert.equal(presence({ ...machine, state: "offline", lastSeenAt: null }, now), "last seen never");
});

test("endings name code, signal or reason", () => {
  assert.equal(ending({ code: 0, signal: null, reason: null }), "finished, exit 0");
  assert.equal(ending({ code: 137, signal: 9, reason: null }), "ended by signal 9");
  assert.equal(ending({ code: null, signal: null, reason: "agent-restarted" }), "ended: agent restarted");
});

test("a session says since when and how many are on it", () => {
  const session = { id: "s", epoch: 1, kind: "terminal" as const, startedAt: 100 };
  assert.equal(sessionLine(session, 160_000), "started 1 min ago, nobody on it");
  assert.equal(sessionLine({ ...session, attached: 2 }, 160_000), "started 1 min ago, 2 people on it");
  assert.equal(sessionLine({ ...session, endedAt: 150, exitCode: 1 }, 160_000), "finished, exit 1, 10 s ago");
});

test("a connection that does not come back is not called connecting for ever", () => {
  assert.equal(connectionWords({ state: "waiting", untilMs: 0, attempt: 1 }), "Reconnecting…");
  assert.match(connectionWords({ state: "waiting", untilMs: 0, attempt: 9 }), /still trying/);
});

test("a browser has a name that others understand", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
  assert.equal(describe(chrome), "Chrome on Linux");
  assert.equal(describe("curl/8"), "Browser");
});

test("a text that somebody chose cannot turn what stands around it", () => {
  assert.equal(plain("a\u202etxt.exe\u2066\u200fb\x1b[31m\n\u2028c"), "atxt.exeb[31mc");
  assert.equal(plain("Jörgs Büro 机器 👩‍💻"), "Jörgs Büro 机器 👩‍💻");
});
