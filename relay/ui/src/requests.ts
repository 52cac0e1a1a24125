/** Owns the requests that wait for an answer, so that each gets exactly one: a result, a refusal, or a time-out. */

import type { Problem } from "./protocol.ts";

export const ANSWER_MS = 35_000; // the machine has 30 s, the way there and back a little more
export const WAITING = 64; // requests without an answer; the server allows no more

interface Waiting {
  done: (answer: never) => void;
  failed: (problem: Problem) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Hands out reference numbers and brings each answer to the one who asked. */
export class Requests {
  #next = 1;
  #waiting = new Map<number, Waiting>();

  /** A new reference, or null if too many requests wait already. */
  add<Answer>(done: (answer: Answer) => void, failed: (problem: Problem) => void): number | null {
    if (this.#waiting.size >= WAITING) return null;
    const ref = this.#next++;
    const timer = setTimeout(
      () => this.fail(ref, { code: "timed-out", message: "no answer from the machine in time" }),
      ANSWER_MS,
    );
    this.#waiting.set(ref, { done, failed, timer });
    return ref;
  }

  /** The answer to `ref`; an answer that nobody waits for is late and is dropped. */
  answer(ref: number, answer: unknown): void {
    this.#take(ref)?.done(answer as never);
  }

  fail(ref: number, problem: Problem): void {
    this.#take(ref)?.failed(problem);
  }

  /** The socket is lost, and with it every answer. */
  failAll(): void {
    for (const ref of [...this.#waiting.keys()]) {
      this.fail(ref, { code: "unavailable", message: "the connection was lost before the answer came" });
    }
  }

  #take(ref: number): Waiting | undefined {
    const found = this.#waiting.get(ref);
    if (found) clearTimeout(found.timer);
    this.#waiting.delete(ref);
    return found;
  }
}
