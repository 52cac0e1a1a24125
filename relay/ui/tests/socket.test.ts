/** Shows one connection to a cluster of nodes that come and go, with a WebSocket that the test plays. */

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import type { ToBrowser } from "../src/protocol.ts";
import { type Connection, Socket } from "../src/socket.ts";

const A = "http://a.example";
const B = "http://b.example";

class PlayedSocket {
  static readonly OPEN = 1;
  static all: PlayedSocket[] = [];
  readyState = 0;
  binaryType = "";
  sent: { type: string; [field: string]: unknown }[] = [];
  closedWith: number | null = null;
  onopen: () => void = () => undefined;
  onclose: (event: { code: number }) => void = () => undefined;
  onmessage: (event: { data: string }) => void = () => undefined;
  readonly url: string;
  readonly protocols: string[];

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    PlayedSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code: number): void {
    this.readyState = 3;
    this.closedWith = code;
  }

  hears(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
  }

  welcomes(nodes = [A, B]): void {
    this.readyState = 1;
    this.onopen();
    this.hears({ type: "welcome", user: { id: "j", name: "Jane" }, workspaces: [], nodes, node: "n" });
  }

  ends(code: number): void {
    this.readyState = 3;
    this.onclose({ code });
  }
}

interface Played {
  socket: Socket;
  states: Connection[];
  heard: string[];
  pass: (ms: number) => Promise<void>;
  newest: () => PlayedSocket;
}

function setUp(change: { ticket?: string | null; signedIn?: boolean; nodes?: string[]; origin?: string } = {}): Played {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  let now = 1_000;
  mock.method(performance, "now", () => now);
  PlayedSocket.all = [];
  Object.assign(globalThis, { WebSocket: PlayedSocket });
  const states: Connection[] = [];
  const heard: string[] = [];
  const around = {
    origin: change.origin ?? A,
    client: "client-1",
    label: "test",
    ticket: async () => (change.ticket === undefined ? "rly_tick_1" : change.ticket),
    signedIn: async () => change.signedIn ?? true,
  };
  const socket = new Socket(around, change.nodes ?? [A, B], {
    connection: (state) => states.push(state),
    message: (message: ToBrowser) => heard.push(message.type),
    frame: () => undefined,
  });
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      now += 100;
      mock.timers.tick(100);
      await Promise.resolve().then(() => undefined);
      await Promise.resolve();
    }
  };
  return { socket, states, heard, pass, newest: () => PlayedSocket.all.at(-1)! };
}

afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

test("the node that served the page is dialled first, by its cookie, and hears hello", () => {
  const { socket, states, newest } = setUp();
  socket.start();
  assert.equal(newest().url, "ws://a.example/ws/browser");
  assert.deepEqual(newest().protocols, ["relay.v1"]);
  newest().welcomes();
  assert.deepEqual(newest().sent, [{ type: "hello", client: "client-1", label: "test" }]);
  assert.equal(states.at(-1)?.state, "open");
});

test("a lost node is followed by another, soon but not at once, with a ticket", async () => {
  const { socket, states, pass, newest } = setUp();
  socket.start();
  newest().welcomes();
  newest().ends(1006);
  assert.equal(states.at(-1)?.state, "waiting");
  assert.equal(PlayedSocket.all.length, 1);
  await pass(1_000);
  assert.equal(newest().url, "ws://b.example/ws/browser");
  assert.deepEqual(newest().protocols, ["relay.v1", "rly_tick_1"]);
});

test("a node that is told of later is as good as those of the welcome", async () => {
  const { socket, pass, newest } = setUp({ nodes: [A] });
  socket.start();
  newest().welcomes([A]);
  newest().hears({ type: "nodes", nodes: [A, B] });
  newest().ends(1006);
  await pass(1_000);
  assert.equal(newest().url, "ws://b.example/ws/browser");
});

test("without a ticket, because the page's node is gone, the cookie has to do", async () => {
  const { socket, pass, newest } = setUp({ ticket: null });
  socket.start();
  newest().welcomes();
  newest().ends(1006);
  await pass(1_000);
  assert.deepEqual(newest().protocols, ["relay.v1"]);
});

test("a final code stops, and nothing is dialled again", async () => {
  const { socket, states, pass, newest } = setUp();
  socket.start();
  newest().welcomes();
  newest().ends(4002);
  await pass(60_000);
  assert.deepEqual(states.at(-1), { state: "stopped", why: "signed-out" });
  assert.equal(PlayedSocket.all.length, 1);
});

test("a silent node is asked, and left when it does not answer", async () => {
  const { socket, pass, newest } = setUp();
  socket.start();
  const first = newest();
  first.welcomes();
  await pass(17_000);
  assert.equal(first.sent.at(-1)?.type, "ping");
  await pass(8_000);
  assert.equal(first.closedWith, 4201);
  assert.notEqual(newest(), first);
});

test("a node that answers is kept, however little it says", async () => {
  const { socket, pass, newest } = setUp();
  socket.start();
  const first = newest();
  first.welcomes();
  for (let minute = 0; minute < 5; minute++) {
    await pass(17_000);
    first.hears({ type: "pong", at: 0 });
  }
  assert.equal(newest(), first);
});

test("a node that does not welcome in time is left for another", async () => {
  const { socket, pass, newest } = setUp();
  socket.start();
  await pass(10_000);
  assert.equal(newest().url, "ws://b.example/ws/browser");
});

test("whoever waits for an answer hears that the connection was lost", () => {
  const { socket, newest } = setUp();
  const failures: string[] = [];
  const fail = (problem: { code: string }): void => void failures.push(problem.code);
  socket.ask({ type: "sessions", machine: "m" }, () => undefined, fail);
  socket.start();
  newest().welcomes();
  socket.ask({ type: "sessions", machine: "m" }, () => undefined, fail);
  newest().ends(1006);
  assert.deepEqual(failures, ["unavailable", "unavailable"]);
});

test("answers go to who asked: results, snapshots, attaches and errors", () => {
  const { socket, newest, heard } = setUp();
  socket.start();
  newest().welcomes();
  const answers: unknown[] = [];
  for (let count = 0; count < 4; count++) {
    const note = (told: unknown): void => void answers.push(told);
    socket.ask({ type: "sessions", machine: "m" }, note, note);
  }
  newest().hears({ type: "result", ref: 1, result: { sessions: [] } });
  newest().hears({ type: "snapshot", ref: 2, more: true });
  newest().hears({ type: "snapshot", ref: 2 });
  newest().hears({ type: "attaching", ref: 3 });
  newest().hears({ type: "error", ref: 4, code: "offline", message: "away" });
  assert.deepEqual(answers, [
    { sessions: [] },
    undefined,
    { type: "attaching", ref: 3 },
    { type: "error", ref: 4, code: "offline", message: "away" },
  ]);
  assert.deepEqual(heard, ["welcome", "snapshot", "snapshot"]);
});

test("what an abandoned socket still says is not heard", async () => {
  const { socket, heard, pass, newest } = setUp();
  socket.start();
  const first = newest();
  first.welcomes();
  first.ends(4200);
  await pass(3_000);
  first.hears({ type: "notice", code: "x", message: "late" });
  assert.deepEqual(heard, ["welcome"]);
});

test("a person who presses the button waits no longer", async () => {
  const { socket, states, pass, newest } = setUp();
  socket.start();
  newest().welcomes();
  newest().ends(4100);
  await pass(200);
  assert.equal(states.at(-1)?.state, "waiting");
  socket.hurry();
  assert.equal(states.at(-1)?.state, "connecting");
});

test("a handshake that keeps failing finds out whether the sign-in still holds", async () => {
  const { socket, states, pass, newest } = setUp({ signedIn: false });
  socket.start();
  for (let count = 0; count < 3; count++) {
    newest().ends(1006);
    await pass(3_000);
  }
  assert.deepEqual(states.at(-1), { state: "stopped", why: "signed-out" });
});

test("a secure page dials no insecure node", async () => {
  const { socket, pass, newest } = setUp({ origin: "https://relay.example", nodes: ["http://a.example"] });
  socket.start();
  assert.equal(newest().url, "wss://relay.example/ws/browser");
  newest().ends(1006);
  await pass(2_000);
  assert.equal(newest().url, "wss://relay.example/ws/browser");
});
