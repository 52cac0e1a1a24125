/** Owns one stream of numbered input: what waits, what is sent, what the machine has applied. */

import { Kind } from "./protocol.ts";

export const WINDOW_BYTES = 64 * 1024; // unacknowledged input per attachment, as the agent bounds it
export const CHUNK_BYTES = 16 * 1024; // one frame of a long paste, so that typing is not held up behind it
export const WAITING_BYTES = 4 * 1024 * 1024; // a larger paste is refused rather than half sent

interface Piece {
  kind: number;
  payload: Uint8Array;
}

export interface Numbered extends Piece {
  number: number;
}

/** Input of one page into one session; numbers begin at 1 and are never reused for different bytes. */
export class Input {
  #next = 1;
  #sent: Numbered[] = [];
  #sentBytes = 0;
  #waiting: Piece[] = [];
  #waitingBytes = 0;

  /** Takes bytes or a size from the person; false if so much waits already that they are refused whole. */
  add(kind: number, payload: Uint8Array): boolean {
    if (kind === Kind.RESIZE) {
      const newest = this.#waiting.at(-1);
      if (newest?.kind === Kind.RESIZE) this.#waiting.pop(); // only the last size matters
      this.#waiting.push({ kind, payload });
      return true;
    }
    if (this.#waitingBytes + payload.length > WAITING_BYTES) return false;
    for (let at = 0; at < payload.length; at += CHUNK_BYTES) {
      this.#waiting.push({ kind, payload: payload.subarray(at, at + CHUNK_BYTES) });
    }
    this.#waitingBytes += payload.length;
    return true;
  }

  /** The frames that may go out now, numbered; they stay here until acknowledged. Keys wait for the keyboard. */
  ready(mayType: boolean): Numbered[] {
    const out: Numbered[] = [];
    let piece = this.#waiting[0];
    while (
      piece &&
      (mayType || piece.kind === Kind.RESIZE) &&
      (this.#sentBytes === 0 || this.#sentBytes + piece.payload.length <= WINDOW_BYTES)
    ) {
      this.#waiting.shift();
      if (piece.kind !== Kind.RESIZE) this.#waitingBytes -= piece.payload.length;
      const numbered = { ...piece, number: this.#next++ };
      this.#sent.push(numbered);
      this.#sentBytes += piece.payload.length;
      out.push(numbered);
      piece = this.#waiting[0];
    }
    return out;
  }

  /** The machine has applied everything up to `number`. */
  acknowledge(number: number): void {
    while (this.#sent[0] && this.#sent[0].number <= number) {
      this.#sentBytes -= this.#sent.shift()!.payload.length;
    }
  }

  /**
   * Joins on to an agent that applied everything up to `applied`; says whether typed bytes were lost. An agent that
   * forgot this page remembers less than it confirmed: sending again could apply something twice, so what was sent is
   * lost instead, and numbers go on from the agent's.
   */
  join(applied: number): boolean {
    const first = this.#sent[0]?.number ?? this.#next;
    if (first - 1 <= applied && applied < this.#next) {
      this.acknowledge(applied);
      return false;
    }
    const lost = this.#sent.some((piece) => piece.kind !== Kind.RESIZE);
    this.#sent = [];
    this.#sentBytes = 0;
    this.#next = applied + 1;
    return lost;
  }

  /** What has to be sent again on a new attachment. */
  get again(): readonly Numbered[] {
    return this.#sent;
  }

  /** Input from `number` on was refused: it is gone, and the next input takes its number. */
  refuse(number: number): boolean {
    const lost = this.#sent.some((piece) => piece.number >= number && piece.kind !== Kind.RESIZE);
    this.#sent = this.#sent.filter((piece) => piece.number < number);
    this.#sentBytes = this.#sent.reduce((sum, piece) => sum + piece.payload.length, 0);
    if (number < this.#next) this.#next = number;
    const dropped = lost || this.#waitingBytes > 0;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return dropped;
  }

  /** Starts a new stream: another run of the agent knows nothing of the old one. Says whether typed bytes were lost. */
  restart(): boolean {
    const lost = this.unapplied > 0;
    this.#next = 1;
    this.#sent = [];
    this.#sentBytes = 0;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return lost;
  }

  /** Bytes that the person typed and the machine has not confirmed. */
  get unapplied(): number {
    const typed = this.#sent.filter((piece) => piece.kind !== Kind.RESIZE);
    return this.#waitingBytes + typed.reduce((sum, piece) => sum + piece.payload.length, 0);
  }
}
