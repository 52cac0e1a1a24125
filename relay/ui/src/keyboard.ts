/** Owns what one page sends into one session: keys and window sizes, numbered once, sent again until applied. */

import { Input, type Numbered } from "./input.ts";
import { Kind, packSize } from "./protocol.ts";
import type { Holder } from "./standing.ts";

export interface Size {
  columns: number;
  rows: number;
}

/** The keyboard as this page has it; sends nothing while somebody else holds it. */
export class Keyboard {
  readonly #send: (piece: Numbered) => void;
  readonly #input = new Input();
  #holder: Holder = "other";
  #term: number | null = null; // in which this page had the keyboard last
  #attached = false;
  #size: Size | null = null;

  constructor(send: (piece: Numbered) => void) {
    this.#send = send;
  }

  get holder(): Holder {
    return this.#holder;
  }

  /** The window's size, to be said with an attach. */
  get size(): Size | null {
    return this.#size;
  }

  /** Takes typed bytes: `waits` if so much is under way that these are refused whole. */
  type(bytes: Uint8Array): "taken" | "waits" {
    if (!this.#input.add(Kind.INPUT, bytes)) return "waits";
    this.#push();
    return "taken";
  }

  /** The window has another size; the machine remembers it also for one who does not drive yet. */
  resize(size: Size): void {
    if (this.#size?.columns === size.columns && this.#size.rows === size.rows) return;
    this.#size = size;
    if (this.#attached) this.#say(size);
  }

  /**
   * Attached: sends again what the machine has not applied, then whatever waited. Says whether typed bytes were `lost`,
   * or are `stale` and dropped: another client had the keyboard meanwhile, or has it, and what they answered is not on
   * the screen any more.
   */
  attached(applied: number, holder: Holder, term: number, told: Size | null): "lost" | "stale" | null {
    const changed = this.#term !== null && this.#term !== term;
    this.#attached = true;
    this.#holder = holder;
    this.#term = term;
    const lost = this.#input.join(applied);
    const stale = (changed || holder === "other") && this.#input.refuse(applied + 1);
    for (const piece of this.#input.again) this.#send(piece);
    const size = this.#size;
    if (size && (told?.columns !== size.columns || told.rows !== size.rows)) this.#say(size);
    this.#push();
    if (lost) return "lost";
    return stale ? "stale" : null;
  }

  /** The attachment is over; what is typed until the next one waits. */
  left(): void {
    this.#attached = false;
  }

  passed(holder: Holder, term: number): void {
    this.#holder = holder;
    if (holder === "me") this.#term = term;
    this.#push();
  }

  /** What was refused was too much at once, and the keyboard stayed here. */
  resumed(): void {
    this.#holder = "me";
    this.#push();
  }

  acknowledged(number: number): void {
    this.#input.acknowledge(number);
    this.#push();
  }

  /** Input from `number` on was refused; says whether typed bytes were lost with it. */
  refused(number: number): boolean {
    this.#holder = "other";
    return this.#input.refuse(number);
  }

  /** Another run of the agent knows nothing of this stream; says whether typed bytes were lost. */
  restart(): boolean {
    return this.#input.restart();
  }

  #say(size: Size): void {
    this.#input.add(Kind.RESIZE, packSize(size.columns, size.rows));
    this.#push();
  }

  #push(): void {
    if (!this.#attached) return;
    for (const piece of this.#input.ready(this.#holder !== "other")) this.#send(piece);
  }
}
