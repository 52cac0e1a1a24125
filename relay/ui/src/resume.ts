/** Decides which output frames reach the screen: each exactly once, in order, or an honest gap. */

import type { After, Attaching } from "./protocol.ts";

export type Judged = "write" | "drop" | "again";
export type Start = "continue" | "fresh" | "gap";

/** How far one session's output has come in this page; survives attachments and sockets. */
export class Output {
  #epoch: number | null = null;
  #last = 0;

  /** What to send as `after`: nothing while the page has nothing. */
  get after(): After | null {
    return this.#epoch === null ? null : { epoch: this.#epoch, sequence: this.#last };
  }

  get last(): number {
    return this.#last;
  }

  get epoch(): number {
    return this.#epoch ?? 0;
  }

  /** Takes the agent's answer to an attach: `continue` the screen, begin `fresh`, or say that there is a `gap`. */
  begin(answer: Pick<Attaching, "epoch" | "first" | "recovered">): Start {
    const had = this.#epoch;
    const continues = answer.recovered && had === answer.epoch && answer.first <= this.#last + 1;
    if (continues) return "continue";
    this.#epoch = answer.epoch;
    this.#last = answer.first - 1;
    return had === null ? "fresh" : "gap";
  }

  /** Judges one numbered frame and, if it is to be written, counts it as received. */
  take(epoch: number, sequence: number): Judged {
    if (epoch !== this.#epoch || sequence <= this.#last) return "drop";
    if (sequence > this.#last + 1) return "again";
    this.#last = sequence;
    return "write";
  }

  /** Forgets everything, so that the next attach draws the session from the machine's ring. */
  forget(): void {
    this.#epoch = null;
    this.#last = 0;
  }
}
