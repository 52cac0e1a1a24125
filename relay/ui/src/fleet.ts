/** Owns the machines of the chosen workspace as the socket tells them: a snapshot, then changes without a hole. */

import type { Machine, Problem, ToBrowser } from "./protocol.ts";
import { Store } from "./store.ts";

const REDRAW_MS = 120; // a restarting fleet changes thousands of rows; nobody reads faster than this

const SETTLED_MS = 35_000; // by then every machine that is there has reported back

const AGAIN_MS = 4_000; // after the relay could not say what there is; with jitter, for many pages ask

const FINAL = new Set(["not-found", "forbidden", "invalid", "limit-reached"]); // asking again would not help

export interface Fleet {
  workspace: string;
  known: boolean; // false until the first snapshot
  settled: boolean;
  asOfMs: number; // this page's clock when the last word came
  skewMs: number; // the server's clock less this page's
  machines: readonly Machine[];
}

const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** Follows one workspace at a time. */
export class Machines {
  readonly store: Store<Fleet>;
  readonly #resubscribe: (workspace: string) => void;
  readonly #changed: (machine: Machine | null, id: string) => void;
  #byId = new Map<string, Machine>();
  #seq = -1; // -1: a snapshot is due, changes mean nothing before it
  #coming: Machine[] = []; // parts of a snapshot that is not whole yet
  #timer: ReturnType<typeof setTimeout> | null = null;
  #again: ReturnType<typeof setTimeout> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(resubscribe: (workspace: string) => void, changed: (machine: Machine | null, id: string) => void) {
    this.store = new Store<Fleet>(empty(""));
    this.#resubscribe = resubscribe;
    this.#changed = changed;
  }

  /** Turns to another workspace and forgets the last one. */
  choose(workspace: string): void {
    this.#byId.clear();
    this.#seq = -1;
    this.#coming = [];
    this.store.set(empty(workspace));
    this.#resubscribe(workspace);
  }

  /** The socket is open again: what is listed stays on the page until the new snapshot replaces it. */
  online(): void {
    this.#seq = -1;
    this.#coming = [];
    if (this.store.value.workspace) this.#resubscribe(this.store.value.workspace);
  }

  /** The relay could not answer, because its registry or its memory is away, say: it is asked again. */
  refused(workspace: string, problem: Problem): void {
    if (FINAL.has(problem.code)) return;
    clearTimeout(this.#again);
    this.#again = setTimeout(
      () => {
        if (workspace && workspace === this.store.value.workspace && this.#seq === -1) this.#resubscribe(workspace);
      },
      AGAIN_MS * (0.5 + Math.random() / 2),
    );
  }

  find(id: string): Machine | undefined {
    return this.#byId.get(id);
  }

  message(message: ToBrowser): void {
    if (!("workspace" in message) || message.workspace !== this.store.value.workspace) return;
    if (message.type === "snapshot") {
      this.#snapshot(message);
      return;
    }
    if (this.#seq === -1) return;
    if (message.seq !== this.#seq + 1) {
      this.online(); // a hole: something was missed, so everything is asked for again
      return;
    }
    this.#seq = message.seq;
    switch (message.type) {
      case "machine":
        this.#byId.set(message.machine.id, message.machine);
        this.#changed(message.machine, message.machine.id);
        break;
      case "gone":
        this.#byId.delete(message.id);
        this.#changed(null, message.id);
        break;
      case "seen":
        for (const [id, at] of Object.entries(message.at)) {
          const machine = this.#byId.get(id);
          if (machine) this.#byId.set(id, { ...machine, lastSeenAt: at });
        }
        break;
    }
    this.#redraw();
  }

  #snapshot(message: Extract<ToBrowser, { type: "snapshot" }>): void {
    this.#coming.push(...message.machines);
    if (message.more) return;
    const before = this.#byId;
    this.#byId = new Map(this.#coming.map((machine) => [machine.id, machine]));
    this.#coming = [];
    this.#seq = message.seq;
    for (const machine of this.#byId.values()) this.#changed(machine, machine.id);
    for (const id of before.keys()) if (!this.#byId.has(id)) this.#changed(null, id);
    const settled = message.settled ?? true;
    clearTimeout(this.#settling);
    if (!settled) this.#settling = setTimeout(() => this.online(), SETTLED_MS); // nobody says when it is over
    this.#publish({ known: true, settled, skewMs: Date.parse(message.now) - Date.now() });
  }

  #redraw(): void {
    this.#timer ??= setTimeout(() => this.#publish({}), REDRAW_MS);
  }

  #publish(change: Partial<Fleet>): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const machines = [...this.#byId.values()].sort(order);
    this.store.update({ ...change, machines, asOfMs: Date.now() });
  }
}

/** Reachable machines first, then by name as people count: node-2 before node-10. */
function order(a: Machine, b: Machine): number {
  return Number(b.online) - Number(a.online) || byName.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);
}

function empty(workspace: string): Fleet {
  return { workspace, known: false, settled: true, asOfMs: Date.now(), skewMs: 0, machines: [] };
}
