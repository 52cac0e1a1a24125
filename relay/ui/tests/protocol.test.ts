/** Shows that the header is byte for byte what relay/rules/frames.py packs. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { pack, packSize, unpack, unpackSize } from "../src/protocol.ts";

interface Vector {
  kind: number;
  flags: number;
  attachment: number;
  epoch: number;
  session: string;
  sequence: number;
  payload: string; // hexadecimal, like the frame
  frame: string;
}

const path = process.env["RELAY_VECTORS"];
const vectors: { frames: Vector[] } = path ? JSON.parse(readFileSync(path, "utf8")) : { frames: [] };

test("frames that Python packed are read", { skip: path === undefined }, () => {
  for (const vector of vectors.frames) {
    const bytes = Uint8Array.from(Buffer.from(vector.frame, "hex"));
    const found = unpack(bytes.buffer);
    assert.ok(found);
    assert.deepEqual({ ...found, payload: Buffer.from(found.payload).toString("hex"), frame: vector.frame }, vector);
  }
});

test("frames that the page packs are what Python packs", { skip: path === undefined }, () => {
  for (const vector of vectors.frames.filter((each) => each.flags === 0)) {
    const packed = pack(vector, Uint8Array.from(Buffer.from(vector.payload, "hex")));
    assert.equal(Buffer.from(packed).toString("hex"), vector.frame);
  }
});

test("a message shorter than a header is no frame", () => {
  assert.equal(unpack(new ArrayBuffer(31)), null);
});

test("a size survives the way there and back, and a cut one is none", () => {
  assert.deepEqual(unpackSize(packSize(1000, 258)), { columns: 1000, rows: 258 });
  assert.equal(unpackSize(new Uint8Array(3)), null);
});
