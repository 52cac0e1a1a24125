/** Shows one attachment through all that can happen to it, without a socket and without a screen. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Attachment } from "../src/attachment.ts";
import { type Attaching, type FromBrowser, Kind, type Problem, type Request, unpack } from "../src/protocol.ts";
import type { Screen } from "../src/reception.ts";

const MACHINE = "8f23c1d2-0000-4000-8000-000000000001";
const SESSION = "8f23c1d2-0000-4000-8000-000000000002";
const EPOCH = 7;

class FakeSocket {
  asked: { request: Request; done: (answer: never) => void; failed: (problem: Problem) => void }[] = [];
  said: FromBrowser[] = [];
  frames: { kind: number; attachment: number; sequence: number; text: string }[] = [];

  ask<Answer>(request: Request, done: (answer: Answer) => void, failed: (problem: Problem) => void): void {
    this.asked.push({ request, done: done as (answer: never) => void, failed });
  }

  send(message: FromBrowser): void {
    this.said.push(message);
  }

  sendFrame(bytes: Uint8Array): void {
    const frame = unpack(bytes.slice().buffer)!;
    const { kind, attachment, sequence } = frame;
    this.frames.push({ kind, attachment, sequence, text: new TextDecoder().decode(frame.payload) });
  }

  /** The text of all input frames, with numbers. */
  get typed(): string[] {
    return this.frames.filter((each) => each.kind === Kind.INPUT).map((each) => `${each.sequence}:${each.text}`);
  }
}

class FakeScreen implements Screen {
  text = "";
  quietness: boolean[] = [];

  write(bytes: Uint8Array, drawn: () => void): void {
    this.text += new TextDecoder().decode(bytes);
    drawn();
  }

  resize(): void {}

  clear(): void {
    this.text = "[gap]";
  }

  quiet(quiet: boolean): void {
    this.quietness.push(quiet);
  }
}

function setUp(justOpened = false): { socket: FakeSocket; screen: FakeScreen; attachment: Attachment } {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  const socket = new FakeSocket();
  const screen = new FakeScreen();
  const where = { machine: MACHINE, session: SESSION, mode: "drive" as const, justOpened };
  const attachment = new Attachment(where, socket, screen, () => undefined);
  return { socket, screen, attachment };
}

function answer(socket: FakeSocket, change: Partial<Attaching> = {}): void {
  const plain = {
    attachment: 1,
    epoch: EPOCH,
    first: 1,
    recovered: true,
    driver: true,
    columns: 80,
    rows: 24,
    input: 0,
  };
  const told = { type: "attaching", ref: 1, machine: MACHINE, session: SESSION, ...plain, ...change };
  socket.asked.at(-1)!.done(told as never);
}

function output(attachment: Attachment, sequence: number, text: string, to = 0, kind: number = Kind.OUTPUT): void {
  const payload = new TextEncoder().encode(text);
  attachment.frame({ kind, flags: 0, attachment: to, epoch: EPOCH, session: SESSION, sequence, payload });
}

function attached(attachment: Attachment, head: number, number = 1): void {
  attachment.message({ type: "attached", session: SESSION, attachment: number, head });
}

function type(attachment: Attachment, text: string): boolean {
  return attachment.type(new TextEncoder().encode(text));
}

test("a socket that is lost and found brings exactly the missing frames", () => {
  const { socket, screen, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, "a", 1);
  attached(attachment, 1);
  output(attachment, 2, "b");
  attachment.offline();
  assert.equal(attachment.standing.phase, "connecting");
  attachment.online();
  assert.deepEqual((socket.asked.at(-1)!.request as { after?: unknown }).after, { epoch: EPOCH, sequence: 2 });
  answer(socket, { attachment: 2, first: 3 });
  output(attachment, 2, "b", 2);
  output(attachment, 3, "c", 2);
  attached(attachment, 3, 2);
  output(attachment, 4, "d");
  assert.equal(screen.text, "abcd");
  assert.equal(attachment.standing.phase, "attached");
});

test("frames that were on their way to the attachment of before are not taken for the new one", () => {
  const { socket, screen, attachment } = setUp();
  attachment.online();
  answer(socket);
  attachment.offline();
  output(attachment, 1, "stale");
  attachment.online();
  output(attachment, 1, "stale", 1);
  answer(socket, { attachment: 2 });
  output(attachment, 1, "stale", 1);
  output(attachment, 1, "new", 2);
  assert.equal(screen.text, "new");
});

test("keys typed while away go out once the machine said what it has", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  type(attachment, "x");
  type(attachment, "y");
  attachment.offline();
  assert.equal(type(attachment, "z"), true);
  attachment.online();
  answer(socket, { attachment: 2, input: 1 });
  assert.deepEqual(socket.typed, ["1:x", "2:y", "2:y", "3:z"]);
  assert.deepEqual(
    socket.frames.map((each) => each.attachment),
    [1, 1, 2, 2],
  );
});

test("a page that was away for so long that the machine forgot it can type again", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  attached(attachment, 0);
  type(attachment, "a");
  output(attachment, 1, "", 1, Kind.ACK);
  type(attachment, "b");
  attachment.offline();
  attachment.online();
  answer(socket, { attachment: 2, input: 0 });
  assert.match(attachment.standing.note ?? "", /may not have arrived/);
  type(attachment, "c");
  assert.deepEqual(socket.typed, ["1:a", "2:b", "1:c"]);
});

test("a hole attaches again without giving the keyboard up, and the old attachment is left after that", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  attached(attachment, 0);
  output(attachment, 2, "b");
  mock.timers.tick(10_000);
  assert.deepEqual(socket.said, []);
  assert.equal(socket.asked.length, 2);
  answer(socket, { attachment: 2, first: 1 });
  assert.deepEqual(socket.said, [{ type: "detach", session: SESSION, attachment: 1 }]);
});

test("a head beyond what came is a hole too", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, "a", 1);
  attached(attachment, 2);
  mock.timers.tick(10_000);
  assert.equal(socket.asked.length, 2);
});

test("a gap clears the screen, says so, and keeps old questions unanswered until it has caught up", () => {
  const { socket, screen, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, "a", 1);
  attachment.offline();
  attachment.online();
  answer(socket, { attachment: 2, first: 9, recovered: false });
  assert.match(attachment.standing.note ?? "", /missing/);
  output(attachment, 9, "z", 2);
  attached(attachment, 9, 2);
  assert.equal(screen.text, "[gap]z");
  assert.deepEqual(screen.quietness, [true, true, false]);
});

test("a session that was just opened answers its program's questions", () => {
  const { socket, screen, attachment } = setUp(true);
  attachment.online();
  answer(socket);
  assert.deepEqual(screen.quietness, [false]);
});

test("another life of the agent gets no keys of the last one, and the person is told", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  type(attachment, "lost");
  attachment.offline();
  attachment.online();
  answer(socket, { attachment: 2, epoch: EPOCH + 1 });
  assert.deepEqual(socket.typed, ["1:lost"]);
  assert.match(attachment.standing.note ?? "", /did not arrive/);
});

test("keys of somebody without the keyboard are not sent, and those under way are said to be lost", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  type(attachment, "x");
  attachment.message({ type: "input-refused", session: SESSION, attachment: 1, sequence: 1, reason: "not-driver" });
  assert.match(attachment.standing.note ?? "", /not used/);
  assert.equal(type(attachment, "y"), false);
  attachment.message({ type: "driver", session: SESSION, attachment: 1, operator: { user: "Jane" } });
  type(attachment, "z");
  assert.deepEqual(socket.typed, ["1:x", "1:z"]);
});

test("a keyboard that nobody holds is taken by typing", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket, { driver: false });
  assert.equal(type(attachment, "no"), false);
  attachment.message({ type: "driver", session: SESSION, attachment: 0 });
  assert.equal(type(attachment, "yes"), true);
  assert.deepEqual(socket.typed, ["1:yes"]);
});

test("a machine that is away is waited for, and typing into it is refused", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  attachment.machineConnected(false);
  attachment.message({ type: "detached", session: SESSION, attachment: 1, reason: "machine-gone" });
  assert.equal(attachment.standing.phase, "away");
  assert.equal(type(attachment, "x"), false);
  assert.equal(socket.asked.length, 1);
  attachment.machineConnected(true);
  mock.timers.tick(1_000);
  assert.equal(socket.asked.length, 2);
});

test("a machine that the list calls connected is on another node already, and found there at once", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  attachment.message({ type: "detached", session: SESSION, attachment: 1, reason: "machine-gone" });
  mock.timers.tick(500);
  assert.equal(socket.asked.length, 2);
});

test("what is forbidden, revoked or unknown is said once and not tried again", () => {
  for (const reason of ["forbidden", "machine-revoked"] as const) {
    const { socket, attachment } = setUp();
    attachment.online();
    answer(socket);
    attachment.message({ type: "detached", session: SESSION, attachment: 1, reason });
    mock.timers.tick(100_000);
    assert.equal(attachment.standing.phase, "refused");
    assert.equal(socket.asked.length, 1);
  }
  const { socket, attachment } = setUp();
  attachment.online();
  socket.asked[0]!.failed({ code: "not-found", message: "no such session" });
  mock.timers.tick(100_000);
  assert.equal(attachment.standing.phase, "refused");
  assert.equal(socket.asked.length, 1);
});

test("a relay in trouble is asked again, less and less often", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  for (let count = 1; count <= 6; count++) {
    socket.asked.at(-1)!.failed({ code: "unavailable", message: "not now" });
    mock.timers.tick(9_000);
    assert.equal(socket.asked.length, count + 1);
  }
});

test("the end of a session is shown, and nothing is tried after it", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, '{"code": 3, "signal": null, "reason": null}', 1, Kind.EXIT);
  attached(attachment, 1);
  assert.deepEqual(attachment.standing.exit, { code: 3, signal: null, reason: null });
  attachment.offline();
  attachment.online();
  assert.equal(attachment.standing.phase, "ended");
  assert.equal(socket.asked.length, 1);
});

test("leaving reports what was seen and detaches", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, "a", 1);
  attachment.close();
  assert.deepEqual(
    socket.frames.map((each) => [each.kind, each.sequence]),
    [[Kind.SEEN, 1]],
  );
  assert.deepEqual(socket.said, [{ type: "detach", session: SESSION, attachment: 1 }]);
});

test("an answer that comes after leaving is detached at once", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  attachment.close();
  answer(socket, { attachment: 5 });
  assert.deepEqual(socket.said, [{ type: "detach", session: SESSION, attachment: 5 }]);
});

test("frames for everybody that come before the replay is done are no hole", () => {
  const { socket, screen, attachment } = setUp();
  attachment.online();
  answer(socket);
  output(attachment, 1, "a", 1);
  output(attachment, 3, "c");
  output(attachment, 2, "b", 1);
  output(attachment, 3, "c", 1);
  attached(attachment, 3);
  mock.timers.tick(10_000);
  assert.equal(screen.text, "abc");
  assert.equal(socket.asked.length, 1);
});

test("what is drawn after the screen was cleared, and is from before, is not reported as seen", () => {
  const { socket, screen, attachment } = setUp();
  const late: (() => void)[] = [];
  screen.write = (_, drawn) => void late.push(drawn);
  attachment.online();
  answer(socket);
  for (let sequence = 1; sequence <= 9; sequence++) output(attachment, sequence, "x", 1);
  attachment.offline();
  attachment.online();
  answer(socket, { attachment: 2, epoch: EPOCH + 1 });
  for (const drawn of late) drawn();
  mock.timers.tick(1_000);
  assert.deepEqual(socket.frames, []);
});

test("keys typed while away are dropped, and said to be, if somebody else had the keyboard meanwhile", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket, { driver: true, term: 1 });
  attachment.message({ type: "attached", session: SESSION, attachment: 1, head: 0 });
  attachment.offline();
  attachment.type(new TextEncoder().encode("rm important\r"));
  attachment.online();
  answer(socket, { driver: true, attachment: 2, term: 3 });
  attachment.message({ type: "attached", session: SESSION, attachment: 2, head: 0 });
  assert.match(attachment.standing.note ?? "", /Somebody else took the keyboard/);
  attachment.type(new TextEncoder().encode("new"));
  assert.deepEqual(socket.typed, ["1:new"]);
});

test("keys typed while away wait for nobody's leave to be typed later", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket, { driver: true, term: 1 });
  attachment.offline();
  attachment.type(new TextEncoder().encode("old"));
  attachment.online();
  answer(socket, { driver: false, attachment: 2, term: 2 });
  assert.match(attachment.standing.note ?? "", /were not used/);
  attachment.message({ type: "driver", session: SESSION, attachment: 2, term: 3 });
  assert.deepEqual(socket.typed, []);
});

test("a program that takes no more at the moment leaves the keyboard here", () => {
  const { socket, attachment } = setUp();
  attachment.online();
  answer(socket, { driver: true });
  attachment.message({ type: "attached", session: SESSION, attachment: 1, head: 0 });
  attachment.type(new TextEncoder().encode("much"));
  attachment.message({
    type: "input-refused",
    session: SESSION,
    attachment: 1,
    sequence: 1,
    reason: "too-much-input",
  });
  assert.equal(attachment.standing.keyboard, "me");
  attachment.type(new TextEncoder().encode("more"));
  assert.deepEqual(socket.typed, ["1:much", "1:more"]);
});

test("a session whose beginning is not kept any more says so above what is left", () => {
  const { socket, screen, attachment } = setUp();
  attachment.online();
  answer(socket, { first: 8, recovered: false });
  assert.equal(screen.text, "[gap]");
  assert.equal(attachment.standing.note, null);
});
