/** Owns when to try something again: at a random moment, later each time that it fails. */

const LEAST_MS = 50; // never at once: what went wrong a moment ago is likely still wrong
const LATEST_MS = 8_000; // the longest growing wait; a person is looking

/** One thing that is tried again; a new plan replaces the one before. */
export class Retry {
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Runs it at a random moment within `spreadMs`, doubled for each time since it last worked. */
  plan(spreadMs: number, run: () => void): void {
    this.cancel();
    const spread = Math.max(spreadMs, Math.min(LATEST_MS, spreadMs * 2 ** Math.max(0, this.#tries - 1)));
    this.#tries++;
    this.#timer = setTimeout(run, LEAST_MS + Math.random() * spread);
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** It worked: the next failure is a first one. */
  worked(): void {
    this.#tries = 0;
  }
}
