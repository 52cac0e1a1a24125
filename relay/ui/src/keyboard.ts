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

  /** Attached: sends again what the machine has not applied, then whatever waited; says whether typed bytes were lost. */
  attached(applied: number, holder: Holder, told: Size | null): boolean {
    this.#attached = true;
    this.#holder = holder;
    const lost = this.#input.join(applied);
    for (const piece of this.#input.again) this.#send(piece);
    const size = this.#size;
    if (size && (told?.columns !== size.columns || told.rows !== size.rows)) this.#say(size);
    this.#push();
    return lost;
  }

  /** The attachment is over; what is typed until the next one waits. */
  left(): void {
    this.#attached = false;
  }

  passed(holder: Holder): void {
    this.#holder = holder;
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
