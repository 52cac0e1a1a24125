/** Shows what fragments mean, and that places and tabs survive being written and read. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { arrival, type Place, read, write } from "../src/place.ts";
import { load, neighbour, save, type Tab } from "../src/tabs.ts";

const MACHINE = "8f23c1d2-0000-4000-8000-000000000001";
const SESSION = "8f23c1d2-0000-4000-8000-000000000002";
const tab = (session: string): Tab => ({
  machine: MACHINE,
  session,
  name: "n",
  title: "",
  mode: "drive",
  workspace: "",
});

test("links bring secrets, everything else is a place", () => {
  assert.deepEqual(arrival("#sign-in=rly_link_x"), { kind: "sign-in", secret: "rly_link_x" });
  assert.deepEqual(arrival("#invite=a%2Bb"), { kind: "invite", secret: "a+b" });
  assert.deepEqual(arrival("#device=BCDF-GHJK"), { kind: "device", code: "BCDF-GHJK" });
  for (const hash of ["", "#", "#/", "#sign-in=", "#other=x"]) assert.equal(arrival(hash), null);
});

test("places are read as they were written", () => {
  const places: Place[] = [
    { at: "machines" },
    { at: "machines", machine: MACHINE },
    { at: "team" },
    { at: "session", machine: MACHINE, session: SESSION },
  ];
  for (const place of places) assert.deepEqual(read(write(place)), place);
  for (const strange of ["#/session/x/y", "#/nowhere", `#/machine/${MACHINE}/..`]) {
    assert.deepEqual(read(strange), { at: "machines" });
  }
});

test("tabs come back, and unreadable ones count as none", () => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
  save(storage, [tab("a"), tab("b")]);
  assert.deepEqual(load(storage), [tab("a"), tab("b")]);
  for (const bad of ["", "{", "{}", "[1, null, {}]"]) {
    kept.set("relay.tabs", bad);
    assert.deepEqual(load(storage), []);
  }
});

test("a closed tab gives way to its right neighbour, else its left one", () => {
  const tabs = [tab("a"), tab("b"), tab("c")];
  assert.equal(neighbour(tabs, "b")?.session, "c");
  assert.equal(neighbour(tabs, "c")?.session, "b");
  assert.equal(neighbour([tab("a")], "a"), null);
});
