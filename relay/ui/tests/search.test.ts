/** Shows that the picker finds what relay/rules/resolver.py would. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isShort, matcher } from "../src/search.ts";

interface Case {
  query: string;
  id: string;
  name: string;
  hostname: string;
  held: boolean;
  matches: boolean;
}

const path = process.env["RELAY_VECTORS"];
const cases: Case[] = path ? JSON.parse(readFileSync(path, "utf8")).searches : [];

test("every query finds the machines that the resolver finds", { skip: path === undefined }, () => {
  for (const each of cases) {
    const machine = { id: each.id, name: each.name, hostname: each.hostname, shadowedBy: each.held ? null : each.id };
    assert.equal(matcher(each.query)(machine), each.matches, JSON.stringify(each));
  }
});

test("one character is short, none and two are not", () => {
  assert.deepEqual(["", " ", "p", "ü", "🛰", "pr"].map(isShort), [false, false, true, true, true, false]);
});
