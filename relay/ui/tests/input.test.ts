/** Shows that input is numbered once, bounded, and sent again until it was applied. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES, Input, WAITING_BYTES, WINDOW_BYTES } from "../src/input.ts";
import { Kind, packSize } from "../src/protocol.ts";

const bytes = (length: number): Uint8Array => new Uint8Array(length);
const numbers = (pieces: readonly { number: number }[]): number[] => pieces.map((piece) => piece.number);

test("pieces are numbered from 1 as they go out", () => {
  const input = new Input();
  input.add(Kind.INPUT, bytes(1));
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(true)), [1, 2]);
  assert.deepEqual(input.ready(true), []);
});

test("what is not acknowledged is sent again under its number", () => {
  const input = new Input();
  for (let count = 0; count < 3; count++) input.add(Kind.INPUT, bytes(1));
  input.ready(true);
  input.acknowledge(1);
  assert.equal(input.join(1), false);
  assert.deepEqual(numbers(input.again), [2, 3]);
  assert.equal(input.join(3), false);
  assert.deepEqual(numbers(input.again), []);
});

test("no more than the window is under way, and acknowledgements make room", () => {
  const input = new Input();
  input.add(Kind.INPUT, bytes(WINDOW_BYTES + CHUNK_BYTES));
  const sent = input.ready(true);
  assert.equal(
    sent.reduce((sum, piece) => sum + piece.payload.length, 0),
    WINDOW_BYTES,
  );
  assert.deepEqual(input.ready(true), []);
  input.acknowledge(1);
  assert.equal(input.ready(true).length, 1);
});

test("a paste that is too large is refused whole", () => {
  const input = new Input();
  assert.equal(input.add(Kind.INPUT, bytes(WAITING_BYTES)), true);
  assert.equal(input.add(Kind.INPUT, bytes(1)), false);
  assert.equal(input.unapplied, WAITING_BYTES);
});

test("only the last of several waiting sizes is sent", () => {
  const input = new Input();
  input.add(Kind.RESIZE, packSize(80, 24));
  input.add(Kind.RESIZE, packSize(90, 30));
  const [only, ...rest] = input.ready(true);
  assert.deepEqual(only?.payload, packSize(90, 30));
  assert.deepEqual(rest, []);
});

test("keys wait for the keyboard, sizes before them do not", () => {
  const input = new Input();
  input.add(Kind.RESIZE, packSize(80, 24));
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(false)), [1]);
  assert.deepEqual(input.ready(false), []);
  assert.deepEqual(numbers(input.ready(true)), [2]);
});

test("refused input is gone, and the next takes its number", () => {
  const input = new Input();
  for (let count = 0; count < 3; count++) input.add(Kind.INPUT, bytes(1));
  input.ready(true);
  assert.equal(input.refuse(2), true);
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(true)), [2]);
  assert.deepEqual(numbers(input.again), [1, 2]);
});

test("a new stream begins at 1 and says whether keys were lost", () => {
  const input = new Input();
  input.add(Kind.INPUT, bytes(1));
  input.ready(true);
  input.acknowledge(1);
  assert.equal(input.restart(), false);
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(true)), [1]);
  assert.equal(input.restart(), true);
});

test("a machine that knows more than this page continues behind it", () => {
  const input = new Input();
  assert.equal(input.join(5), false);
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(true)), [6]);
});

test("a machine that forgot this page gets nothing twice, and the next keys under numbers that it expects", () => {
  const input = new Input();
  for (let count = 0; count < 3; count++) input.add(Kind.INPUT, bytes(1));
  input.ready(true);
  input.acknowledge(3);
  assert.equal(input.join(0), false);
  input.add(Kind.INPUT, bytes(1));
  assert.deepEqual(numbers(input.ready(true)), [1]);
  input.acknowledge(1);
  input.add(Kind.INPUT, bytes(1));
  input.ready(true);
  assert.equal(input.join(0), true);
  assert.deepEqual(numbers(input.again), []);
});
