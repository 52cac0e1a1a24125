/** Owns the reports of what has reached the screen: one per 64 KiB or 100 ms, never one per frame. */

export const EVERY_BYTES = 64 * 1024;
export const EVERY_MS = 100;
export const HIGH_WATER_BYTES = 4 * 1024 * 1024; // handed to the screen and not drawn; the machine stalls far earlier

export interface Timers {
  set(run: () => void, ms: number): number;
  clear(timer: number): void;
}

/** Counts bytes on their way to the screen of one attachment and says when to report. */
export class Seen {
  #report: (sequence: number) => void;
  #timers: Timers;
  #bytes = 0;
  #pending = 0;
  #drawn = 0;
  #reported = 0;
  #timer: number | null = null;

  constructor(report: (sequence: number) => void, timers: Timers) {
    this.#report = report;
    this.#timers = timers;
  }

  /** So many bytes were handed to the screen; false once it is hopelessly behind, and the attachment must pay. */
  handed(bytes: number): boolean {
    this.#pending += bytes;
    return this.#pending <= HIGH_WATER_BYTES;
  }

  /** The screen has drawn the frame `sequence`. */
  drawn(sequence: number, bytes: number): void {
    this.#pending -= bytes;
    this.#bytes += bytes;
    this.#drawn = Math.max(this.#drawn, sequence);
    if (this.#bytes >= EVERY_BYTES) this.flush();
    else this.#timer ??= this.#timers.set(() => this.flush(), EVERY_MS);
  }

  /** Reports now, if there is anything new to report. */
  flush(): void {
    if (this.#timer !== null) this.#timers.clear(this.#timer);
    this.#timer = null;
    this.#bytes = 0;
    if (this.#drawn > this.#reported) {
      this.#reported = this.#drawn;
      this.#report(this.#drawn);
    }
  }

  /** A new attachment counts anew from what is on the screen. */
  restart(): void {
    if (this.#timer !== null) this.#timers.clear(this.#timer);
    this.#timer = null;
    this.#bytes = 0;
    this.#reported = 0;
    this.#drawn = 0;
  }
}
