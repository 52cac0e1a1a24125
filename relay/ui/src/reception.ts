/** Owns what arrives in one session: judges each frame, draws it once, and reports what was drawn. */

import { type After, type Attaching, type Frame, Kind, unpackSize } from "./protocol.ts";
import { type Judged, Output, type Start } from "./resume.ts";
import { Seen } from "./seen.ts";

const NOTHING = new Uint8Array();
const TIMERS = {
  set: (run: () => void, ms: number): number => setTimeout(run, ms) as unknown as number,
  clear: (timer: number): void => clearTimeout(timer),
};

/** Where output goes; every call is in order with the ones before, whatever is still being drawn. */
export interface Screen {
  write(bytes: Uint8Array, drawn: () => void): void;
  resize(columns: number, rows: number): void;
  clear(because: string): void;
  /** While quiet, the screen answers no questions that programs put into their output. */
  quiet(quiet: boolean): void;
}

/** One session's output on its way to one screen. */
export class Reception {
  readonly #screen: Screen;
  readonly #output = new Output();
  readonly #seen: Seen;
  #drawing = 0; // counts clears, so that what was drawn before one is not reported after it

  constructor(screen: Screen, report: (sequence: number) => void) {
    this.#screen = screen;
    this.#seen = new Seen(report, TIMERS);
  }

  get after(): After | null {
    return this.#output.after;
  }

  get epoch(): number {
    return this.#output.epoch;
  }

  /** Takes the answer to an attach; `quietly` if questions in what follows were answered long ago. */
  begin(answer: Attaching, quietly: boolean): Start {
    this.#seen.restart();
    const start = this.#output.begin(answer);
    if (start === "continue") return start;
    this.#drawing++;
    this.#screen.quiet(quietly);
    if (start === "gap") this.#screen.clear("some output before this line is gone");
    else if (answer.first > 1) this.#screen.clear("the machine does not keep what was before this line");
    this.#screen.resize(answer.columns, answer.rows);
    return start;
  }

  /** Whether everything up to `head` has come. */
  reached(head: number): boolean {
    if (this.#output.last < head) return false;
    this.#screen.quiet(false);
    return true;
  }

  /** Draws a frame if it is the next one; `full` if it was drawn and the screen is hopelessly behind. */
  take(frame: Frame): Judged | "full" {
    const judged = this.#output.take(frame.epoch, frame.sequence);
    if (judged !== "write") return judged;
    const drawing = this.#drawing;
    const bytes = frame.payload.length;
    const fits = this.#seen.handed(bytes);
    if (frame.kind === Kind.RESIZED) {
      const size = unpackSize(frame.payload);
      if (size) this.#screen.resize(size.columns, size.rows);
    }
    this.#screen.write(frame.kind === Kind.OUTPUT ? frame.payload : NOTHING, () =>
      this.#seen.drawn(drawing === this.#drawing ? frame.sequence : 0, bytes),
    );
    return fits ? "write" : "full";
  }

  /** Reports what was drawn and not reported yet. */
  flush(): void {
    this.#seen.flush();
  }
}
