/** Shows where the page asks when the node that served it is gone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Nodes } from "../src/nodes.ts";

const A = "http://127.0.0.1:8000";
const B = "http://127.0.0.1:8001";

test("the page asks the node that served it, and that one alone, until it knows others", () => {
  assert.deepEqual(new Nodes(A).order(true), [A]);
});

test("it follows its socket, and asks the others when that node does not answer", () => {
  const nodes = new Nodes(A);
  nodes.follow(B, [A, B]);
  assert.deepEqual(nodes.order(true), [B, A]);
});

test("what the socket needs for a node is asked there first, and not of the one that was just lost", () => {
  const nodes = new Nodes(A);
  nodes.follow(A, [A, B]);
  nodes.prefer(B);
  assert.deepEqual(nodes.order(true), [B, A]);
  nodes.prefer("http://b.example.org");
  assert.deepEqual(nodes.order(true), [B, A]);
});

test("what must not be done twice is asked once, where the socket is", () => {
  const nodes = new Nodes(A);
  nodes.follow(B, [A, B]);
  assert.deepEqual(nodes.order(false), [B]);
});

test("a node under another name or scheme does not know the cookie and is not asked", () => {
  const nodes = new Nodes(A);
  nodes.follow("http://b.example.org", ["http://b.example.org", "https://127.0.0.1:8000", "nonsense", B]);
  assert.deepEqual(nodes.order(true), [A, B]);
});
