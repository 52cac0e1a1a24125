// Loads a relay with k6: people who keep the machine picker open, and programs that list machines over REST.
//
//     RELAY_URL=https://relay.example RELAY_TOKEN=rly_… k6 run loadtests/bring/relay.js
//
// RELAY_URL takes several nodes, comma separated; RELAY_TOKEN is a person's token. Load only what is yours. Beside
// them: RELAY_WORKSPACE (the first one of the token unless given), PEOPLE (sockets at a time, 20), LISTS (calls a
// second, 10: an open model, so that a slow relay does not slow down who calls it), SECONDS (30), LATEST_MS (1000: what
// 99 of 100 lists, welcomes and pickers take at most).
//
// k6 ends with 99 if a threshold below does not hold. It cannot tell whether a frame of a session was lost, repeated or
// out of order: `python -m loadtests` does.

import http from "k6/http";
import { check, fail } from "k6";
import { Counter, Trend } from "k6/metrics";
import ws from "k6/ws"; // in every k6 there is; k6/websockets came after 1.1

const NODES = (__ENV.RELAY_URL || "http://127.0.0.1:8400").split(",");
const TOKEN = __ENV.RELAY_TOKEN || "";
const PEOPLE = Number(__ENV.PEOPLE || 20);
const LISTS = Number(__ENV.LISTS || 10);
const SECONDS = Number(__ENV.SECONDS || 30);
const LATEST_MS = Number(__ENV.LATEST_MS || 1000);
const STAY_SECONDS = Math.min(10, SECONDS / 2); // that a person keeps the picker open
const GRACE_SECONDS = 30; // for who is still there when the time is up
const AUTHORIZED = { headers: { Authorization: `Bearer ${TOKEN}` } };

const welcome = new Trend("relay_welcome", true);
const snapshot = new Trend("relay_snapshot", true);
const events = new Counter("relay_events");
const closed = new Counter("relay_closed_by_relay");

export const options = {
  scenarios: {
    people: {
      executor: "constant-vus",
      exec: "person",
      vus: PEOPLE,
      duration: `${SECONDS}s`,
      gracefulStop: `${STAY_SECONDS + GRACE_SECONDS}s`,
    },
    lists: {
      executor: "constant-arrival-rate",
      exec: "list",
      rate: LISTS,
      timeUnit: "1s",
      duration: `${SECONDS}s`,
      preAllocatedVUs: 5 * LISTS,
      gracefulStop: `${GRACE_SECONDS}s`,
    },
  },
  thresholds: {
    checks: ["rate==1"],
    http_req_failed: ["rate==0"],
    "http_req_duration{name:list}": [`p(99)<${LATEST_MS}`],
    relay_welcome: [`p(99)<${LATEST_MS}`],
    relay_snapshot: [`p(99)<${LATEST_MS}`],
    relay_closed_by_relay: ["count==0"],
    dropped_iterations: ["count==0"], // lists that were due and were not begun
  },
};

function node() {
  return NODES[Math.floor(Math.random() * NODES.length)].replace(/\/$/, "");
}

export function setup() {
  const answer = http.get(`${node()}/api/me`, AUTHORIZED);
  if (answer.status !== 200) {
    fail(`/api/me answered ${answer.status}: is RELAY_TOKEN a person's token of this relay?`);
  }
  const workspace = __ENV.RELAY_WORKSPACE || answer.json("workspaces.0.id");
  if (!workspace) {
    fail("the token has no workspace");
  }
  return { workspace };
}

export function list({ workspace }) {
  const answer = http.get(`${node()}/api/machines?workspace=${workspace}`, { ...AUTHORIZED, tags: { name: "list" } });
  check(answer, { "machines are listed": (it) => it.status === 200 && Array.isArray(it.json("machines")) });
}

export function person({ workspace }) {
  const began = Date.now();
  const url = `${node().replace(/^http/, "ws")}/ws/browser`;
  const upgrade = { headers: { ...AUTHORIZED.headers, "Sec-WebSocket-Protocol": "relay.v1" } };
  let shown = false;
  let left = false;

  const answer = ws.connect(url, upgrade, (socket) => {
    socket.on("open", () => {
      const client = `k6-${__VU}-${__ITER}-${Math.random().toString(36).slice(2, 10)}`;
      socket.send(JSON.stringify({ type: "hello", client, label: "k6" }));
      socket.setTimeout(() => {
        left = true;
        socket.close();
      }, STAY_SECONDS * 1000);
    });
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      events.add(1);
      if (message.type === "welcome") {
        welcome.add(Date.now() - began);
        socket.send(JSON.stringify({ type: "subscribe", ref: 1, workspace }));
      } else if (message.type === "snapshot" && !shown) {
        shown = true;
        snapshot.add(Date.now() - began);
      }
    });
    socket.on("close", () => {
      if (!left) {
        closed.add(1);
      }
    });
  });
  check(answer, { "the socket is open": (it) => it && it.status === 101 });
  check(shown, { "the picker is shown": (it) => it });
}
