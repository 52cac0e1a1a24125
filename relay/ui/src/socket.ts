/** Owns the page's one connection to the cluster: any node will do, and another one when that is lost. */

import { judge, nextNode, waitMs } from "./closing.ts";
import {
  type Frame,
  type FromBrowser,
  type Problem,
  type Request,
  SUBPROTOCOL,
  type ToBrowser,
  unpack,
} from "./protocol.ts";
import { Requests } from "./requests.ts";

const WELCOME_MS = 8_000; // from dialling to welcome; a node that takes longer is as good as gone
const LOOK_MS = 4_000; // between two looks at how long the node has been silent
const QUIET_MS = 12_000; // silence after which the page asks whether anybody is there
const PONG_MS = 6_000; // and the time for an answer: a host that vanished is noticed within 22 s
const HURRIED_PONG_MS = 2_500; // the machine woke up or its network changed: likely gone
const STABLE_MS = 10_000; // a connection this old resets the back-off
const LOST = 4201; // what the page calls a connection that it gives up by itself

export type Connection =
  | { state: "connecting"; attempt: number; again: boolean }
  | { state: "open"; node: string }
  | { state: "waiting"; untilMs: number; attempt: number }
  | { state: "stopped"; why: "signed-out" | "forbidden" | "protocol" | "outdated" | "left" };

export interface Listener {
  connection(now: Connection): void;
  message(message: ToBrowser): void;
  frame(frame: Frame): void;
}

export interface Surroundings {
  /** This page's origin, as a node's base URL. */
  origin: string;
  client: string;
  label: string;
  /** A one-time ticket for this node, which is at another origin, or null if none can be had. */
  ticket(node: string): Promise<string | null>;
  /** Whether the sign-in still holds, asked when dialling keeps failing without a code. */
  signedIn(): Promise<boolean>;
}

/** One connection at a time; dials again by itself until it is stopped or told to give up. */
export class Socket {
  readonly #around: Surroundings;
  readonly #listener: Listener;
  readonly #requests = new Requests();
  #nodes: string[];
  #node: string;
  #socket: WebSocket | null = null;
  #connection: Connection = { state: "connecting", attempt: 0, again: false };
  #failures = 0;
  #dialled = 0; // counts attempts, so that what an abandoned one still says is not heard
  #openedMs = 0;
  #heardMs = 0;
  #askedMs: number | null = null;
  #pongMs = PONG_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(around: Surroundings, nodes: readonly string[], listener: Listener) {
    this.#around = around;
    this.#listener = listener;
    this.#nodes = usable(nodes, around.origin);
    this.#node = around.origin;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** The address of the node that it is on, or was last. */
  get url(): string {
    return this.#node;
  }

  /** Dials the node that served the page, which knows the cookie; others follow when it is lost. */
  start(): void {
    clearInterval(this.#watch);
    this.#failures = 0;
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
    void this.#dial(this.#around.origin);
  }

  stop(why: "left" | "signed-out" = "left"): void {
    clearInterval(this.#watch);
    this.#abandon(1000, why);
    this.#become({ state: "stopped", why });
  }

  /** The network or the page came back: find out now instead of at the next look, and do not sit out a wait. */
  hurry(): void {
    if (this.#connection.state === "open") this.#ask(HURRIED_PONG_MS);
    else if (this.#connection.state === "waiting") {
      clearTimeout(this.#timer);
      void this.#dial(nextNode(this.#nodes, this.#node, Math.random()));
    }
  }

  /** Says something that has no answer; what cannot be sent now is dropped, for every sender starts over on welcome. */
  send(message: FromBrowser): void {
    if (this.#takes()) this.#socket?.send(JSON.stringify(message));
  }

  sendFrame(bytes: Uint8Array): void {
    if (this.#takes()) this.#socket?.send(bytes as Uint8Array<ArrayBuffer>);
  }

  /** Whether the socket is open, also by the browser's own account, which may be ahead of what it told us. */
  #takes(): boolean {
    return this.#connection.state === "open" && this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Asks something; exactly one of the two is called, and before any later message is handled. */
  ask<Answer>(request: Request, done: (answer: Answer) => void, failed: (problem: Problem) => void): void {
    if (this.#connection.state !== "open") {
      failed({ code: "unavailable", message: "not connected to the relay at the moment" });
      return;
    }
    const ref = this.#requests.add(done, failed);
    if (ref === null) failed({ code: "limit-reached", message: "too many requests wait for an answer" });
    else this.send({ ...request, ref });
  }

  async #dial(node: string): Promise<void> {
    const dialled = ++this.#dialled;
    this.#node = node;
    this.#become({ state: "connecting", attempt: this.#failures, again: this.#openedMs > 0 });
    this.#timer = setTimeout(() => this.#lost(dialled, LOST), WELCOME_MS);
    const protocols = [SUBPROTOCOL];
    if (node !== this.#around.origin) {
      const ticket = await this.#around.ticket(node);
      if (dialled !== this.#dialled) return;
      if (ticket !== null) protocols.push(ticket);
    }
    let socket: WebSocket;
    try {
      socket = new WebSocket(`${node.replace(/^http/, "ws")}/ws/browser`, protocols);
    } catch {
      this.#lost(dialled, 1006);
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const hello: FromBrowser = { type: "hello", client: this.#around.client, label: this.#around.label };
    socket.onopen = () => socket.send(JSON.stringify(hello));
    socket.onclose = (event) => this.#lost(dialled, event.code);
    socket.onmessage = (event) => {
      if (dialled === this.#dialled) this.#hear(event.data as string | ArrayBuffer);
    };
  }

  #hear(data: string | ArrayBuffer): void {
    this.#heardMs = performance.now();
    this.#askedMs = null;
    if (data instanceof ArrayBuffer) {
      const frame = unpack(data);
      if (frame) this.#listener.frame(frame);
      return;
    }
    const message = JSON.parse(data) as ToBrowser;
    switch (message.type) {
      case "welcome":
        clearTimeout(this.#timer);
        this.#openedMs = this.#heardMs;
        this.#nodes = usable(message.nodes, this.#around.origin);
        this.#become({ state: "open", node: message.node });
        break;
      case "nodes":
        this.#nodes = usable(message.nodes, this.#around.origin);
        break;
      case "result":
        this.#requests.answer(message.ref, message.result);
        return;
      case "attaching":
        this.#requests.answer(message.ref, message);
        return;
      case "snapshot":
        if (message.ref !== undefined && !message.more) this.#requests.answer(message.ref, undefined);
        break;
      case "error":
        if (message.ref !== undefined) {
          this.#requests.fail(message.ref, message);
          return;
        }
        break;
      case "pong":
        return;
    }
    this.#listener.message(message);
  }

  #lost(dialled: number, code: number): void {
    if (dialled !== this.#dialled || this.#connection.state === "stopped") return;
    const stable = this.#connection.state === "open" && performance.now() - this.#openedMs > STABLE_MS;
    const opened = this.#connection.state === "open";
    this.#abandon(code, "lost");
    this.#failures = stable ? 0 : this.#failures + 1;
    const verdict = judge(code, opened && code < 4100 ? 0 : this.#failures - 1);
    if (verdict.then === "stop") {
      clearInterval(this.#watch);
      this.#become({ state: "stopped", why: verdict.why });
      return;
    }
    const wait = waitMs(verdict, Math.random());
    this.#become({ state: "waiting", untilMs: Date.now() + wait, attempt: this.#failures });
    const node = verdict.elsewhere ? nextNode(this.#nodes, this.#node, Math.random()) : this.#node;
    this.#timer = setTimeout(() => void this.#dial(node), wait);
    if (code === 1006 && this.#failures % 3 === 0) void this.#checkSignIn(); // a refused handshake has no code
  }

  async #checkSignIn(): Promise<void> {
    if (!(await this.#around.signedIn()) && this.#connection.state !== "open") {
      clearInterval(this.#watch);
      this.#abandon(1000, "signed-out");
      this.#become({ state: "stopped", why: "signed-out" });
    }
  }

  #abandon(code: number, reason: string): void {
    this.#dialled++;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#askedMs = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(code === LOST ? LOST : 1000, reason);
    this.#requests.failAll();
  }

  #look(): void {
    if (this.#connection.state !== "open") return;
    const now = performance.now();
    if (this.#askedMs !== null) {
      if (now - this.#askedMs >= this.#pongMs) this.#lost(this.#dialled, LOST);
    } else if (now - this.#heardMs >= QUIET_MS) this.#ask(PONG_MS);
  }

  #ask(pongMs: number): void {
    this.#pongMs = pongMs;
    this.#askedMs ??= performance.now();
    this.send({ type: "ping", at: Math.round(performance.now()) });
    const dialled = this.#dialled;
    setTimeout(() => {
      if (dialled === this.#dialled) this.#look();
    }, pongMs + 1);
  }

  #become(connection: Connection): void {
    this.#connection = connection;
    this.#listener.connection(connection);
  }
}

/** The nodes that a page of this origin may dial: a secure page cannot open insecure sockets. */
function usable(nodes: readonly string[], origin: string): string[] {
  const plain = nodes.map((node) => node.replace(/\/+$/, ""));
  const secure = origin.startsWith("https:");
  const fitting = plain.filter((node) => (secure ? node.startsWith("https://") : /^https?:\/\//.test(node)));
  return fitting.length > 0 ? [...new Set(fitting)] : [origin];
}
