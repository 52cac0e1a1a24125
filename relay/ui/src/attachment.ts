/** Owns one attachment of this page to one session: attach, replay, follow, type, and come back after any loss. */

import { Keyboard } from "./keyboard.ts";
import { type Attaching, type DetachReason, EVERYBODY, type Frame, Kind, type Mode } from "./protocol.ts";
import { type Problem, pack, type ToBrowser } from "./protocol.ts";
import { Reception, type Screen } from "./reception.ts";
import { Retry } from "./retry.ts";
import type { Socket } from "./socket.ts";
import { first, type Phase, readExit, type Standing } from "./standing.ts";

const SOON_MS = 400; // a first try again comes within this time
const FULL_MS = 8_000; // a screen that is hopelessly behind gets this long to catch up
const GAP_MS = 2_000; // after a gap on the bus everybody comes back, so each at a moment of its own
const UNHEARD = {
  lost: "Your last keys may not have arrived: this page was away for too long.",
  stale: "Somebody else took the keyboard meanwhile: your last keys were not used.",
};
const AWAY_MS = 30_000; // a look at a machine that the list calls unreachable

type Passed = Extract<ToBrowser, { type: "driver" }>;

/** One session in one tab. */
export class Attachment {
  readonly machine: string;
  readonly session: string;
  readonly keyboard: Keyboard;
  readonly #socket: Pick<Socket, "ask" | "send" | "sendFrame">;
  readonly #changed: (standing: Standing) => void;
  readonly #reception: Reception;
  readonly #retry = new Retry();
  #standing: Standing;
  #number: number | null = null;
  #before: number | null = null; // the attachment that the next one replaces, kept until then for its keyboard
  #asking = 0; // counts attaches, so that the answer to an abandoned one is not taken
  #take = false;
  #justOpened: boolean;
  #online = false;
  #connected = true;
  #closed = false;

  constructor(
    where: { machine: string; session: string; mode: Mode; justOpened: boolean },
    socket: Pick<Socket, "ask" | "send" | "sendFrame">,
    screen: Screen,
    changed: (standing: Standing) => void,
  ) {
    this.machine = where.machine;
    this.session = where.session;
    this.#justOpened = where.justOpened;
    this.#socket = socket;
    this.#changed = changed;
    this.#standing = first(where.mode);
    this.keyboard = new Keyboard((piece) => this.#sendFrame(piece.kind, piece.number, piece.payload));
    this.#reception = new Reception(screen, (sequence) => this.#sendFrame(Kind.SEEN, sequence));
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** The socket is open, for the first time or again. */
  online(): void {
    this.#online = true;
    this.#retry.worked();
    if (this.#alive()) this.#attach();
  }

  /** The socket is lost: the session goes on without us, and we know how far we have come. */
  offline(): void {
    this.#online = false;
    this.#leave();
    this.#before = null;
    if (this.#alive()) this.#tell({ phase: "connecting" });
  }

  /** The machine is reachable or not, as the list of machines says. */
  machineConnected(connected: boolean): void {
    const returned = connected && !this.#connected;
    this.#connected = connected;
    if (returned && this.#standing.phase === "away") this.#again(SOON_MS);
  }

  /** Leaves the session, which goes on. */
  close(): void {
    this.#reception.flush();
    this.#closed = true;
    this.#retry.cancel();
    this.#replace();
    this.#release();
  }

  /** Changes between driving and watching. */
  become(mode: Mode): void {
    if (mode === this.#standing.mode) return;
    this.#replace();
    if (mode === "watch") this.#release(); // the keyboard is free for others at once
    this.#tell({ mode, keyboard: "other", note: null });
    if (this.#online && this.#alive()) this.#attach();
  }

  /** Takes the keyboard from whoever has it. */
  take(): void {
    this.#take = true;
    if (this.#standing.mode === "watch") this.become("drive");
    else if (this.#number !== null) {
      this.#take = false;
      this.#socket.send({ type: "take", session: this.session, attachment: this.#number });
    }
  }

  /** Bytes that the person typed; false if they cannot go anywhere, which the person has to be shown. */
  type(bytes: Uint8Array): boolean {
    const { phase, mode, keyboard } = this.#standing;
    const somebodyElse = this.#number !== null && keyboard === "other";
    if (mode === "watch" || somebodyElse || phase === "away" || !this.#alive()) return false;
    if (this.keyboard.type(bytes) === "taken") return true;
    this.#tell({ note: "That was too much to send at once, so none of it was sent." });
    return false;
  }

  dismissNote(): void {
    this.#tell({ note: null });
  }

  message(message: ToBrowser): void {
    if (!("attachment" in message) || this.#number === null) return;
    const mine = message.attachment === this.#number;
    if (message.type === "driver") this.#keyboardPassed(message);
    else if (!mine) return;
    else if (message.type === "attached") this.#attached(message.head);
    else if (message.type === "detached") this.#detached(message.reason);
    else if (message.type === "input-refused") this.#refused(message.sequence, message.reason);
  }

  frame(frame: Frame): void {
    if (this.#number === null || (frame.attachment !== EVERYBODY && frame.attachment !== this.#number)) return;
    if (frame.kind === Kind.ACK) {
      this.keyboard.acknowledged(frame.sequence);
      return;
    }
    if (frame.kind !== Kind.OUTPUT && frame.kind !== Kind.EXIT && frame.kind !== Kind.RESIZED) return;
    const early = this.#standing.phase === "catching-up" && frame.attachment === EVERYBODY;
    const judged = this.#reception.take(frame);
    if (judged === "drop") return;
    if (judged === "again") {
      if (!early) this.#again(SOON_MS); // while catching up, `attached` finds any hole
      return;
    }
    this.#retry.worked();
    if (frame.kind === Kind.EXIT) {
      this.keyboard.restart();
      this.#tell({ phase: "ended", keyboard: "other", exit: readExit(frame.payload) });
    } else if (judged === "full") this.#again(FULL_MS);
  }

  #attach(): void {
    this.#retry.cancel();
    this.#replace();
    const asking = ++this.#asking;
    const { after } = this.#reception;
    this.#tell({ phase: "connecting", problem: null });
    this.#socket.ask<Attaching>(
      {
        type: "attach",
        machine: this.machine,
        session: this.session,
        mode: this.#standing.mode,
        ...(after ? { after } : {}),
        ...(this.keyboard.size ?? {}),
        ...(this.#take ? { take: true } : {}),
      },
      (answer) => {
        if (asking === this.#asking && !this.#closed) this.#attaching(answer);
        else this.#socket.send({ type: "detach", session: this.session, attachment: answer.attachment });
      },
      (problem) => {
        this.#release();
        if (asking === this.#asking) this.#failed(problem);
      },
    );
  }

  #attaching(answer: Attaching): void {
    this.#number = answer.attachment;
    this.#release();
    this.#take = false;
    const otherRun = this.#reception.after !== null && this.#reception.epoch !== answer.epoch;
    const start = this.#reception.begin(answer, !this.#justOpened);
    let { note } = this.#standing;
    if (start === "gap") note = "This was away for longer than the machine keeps output: some of it is missing.";
    if (otherRun && this.keyboard.restart()) note = "Your last keys did not arrive: the machine's agent was restarted.";
    this.#justOpened = false;
    const keyboard = answer.driver ? "me" : "other";
    this.#tell({ phase: "catching-up", keyboard, note, ...(answer.driver ? { operator: null } : {}) });
    const unheard = this.keyboard.attached(answer.input ?? 0, keyboard, answer.term ?? 0, answer);
    if (unheard !== null) this.#tell({ note: UNHEARD[unheard] });
  }

  #attached(head: number): void {
    if (!this.#reception.reached(head)) {
      this.#again(SOON_MS);
      return;
    }
    this.#retry.worked();
    if (this.#alive()) this.#tell({ phase: "attached" });
  }

  #failed(problem: Problem): void {
    switch (problem.code) {
      case "offline":
        this.#away();
        break;
      case "unavailable":
      case "registry-unavailable":
      case "timed-out":
      case "internal":
      case "limit-reached":
        this.#again(SOON_MS);
        break;
      case "not-found":
        this.#refuse("This session is over, and its machine does not keep it any more.");
        break;
      default:
        this.#refuse(problem.message);
    }
  }

  #detached(reason: DetachReason): void {
    this.#leave();
    if (reason === "forbidden") this.#refuse("You may not see this session any more.");
    else if (reason === "machine-revoked") this.#refuse("This machine was revoked.");
    else if (!this.#alive() || reason === "left") return;
    else if (reason === "machine-gone") this.#away();
    else this.#again(GAP_MS);
  }

  /** The machine is away: wait for the list to say that it returned, and look now and then in case nobody says so. One
      that the list still calls connected is on another node already, most likely. */
  #away(): void {
    this.#tell({ phase: "away", keyboard: "other" });
    this.#again(this.#connected ? SOON_MS : AWAY_MS, "away");
  }

  /** Attaches again at a random moment within `spreadMs`, later if that keeps failing. */
  #again(spreadMs: number, phase: Phase = "connecting"): void {
    this.#replace();
    this.#asking++;
    if (this.#standing.phase !== phase && this.#alive()) this.#tell({ phase });
    this.#retry.plan(spreadMs, () => {
      if (this.#online && this.#alive()) this.#attach();
    });
  }

  #refused(number: number, reason: string): void {
    const lost = this.keyboard.refused(number);
    const why = reason === "too-much-input" ? "The program takes no more input now" : "Somebody else has the keyboard";
    this.#tell({ keyboard: "other", ...(lost ? { note: `${why}: your last keys were not used.` } : {}) });
    if (reason !== "too-much-input" || !this.#alive()) return;
    this.#tell({ keyboard: "me" }); // it is still ours
    this.keyboard.resumed();
  }

  #keyboardPassed({ attachment, operator = null, term = 0 }: Passed): void {
    if (!this.#alive()) return;
    const had = this.#standing.keyboard === "me";
    const keyboard = attachment === 0 ? "nobody" : attachment === this.#number ? "me" : "other";
    const taken = had && keyboard === "other" && operator;
    this.#tell({
      keyboard,
      operator: keyboard === "other" ? operator : null,
      ...(taken ? { note: `${operator.user} took the keyboard.` } : {}),
    });
    this.keyboard.passed(keyboard, term);
  }

  #sendFrame(kind: number, sequence: number, payload?: Uint8Array): void {
    if (this.#number === null) return;
    const address = { attachment: this.#number, epoch: this.#reception.epoch, session: this.session };
    this.#socket.sendFrame(pack({ ...address, kind, sequence }, payload));
  }

  #refuse(problem: string): void {
    this.#leave();
    this.#retry.cancel();
    this.#tell({ phase: "refused", keyboard: "other", problem });
  }

  /** Stops hearing this attachment but keeps its number: a new one takes its place, and with it the keyboard. */
  #replace(): void {
    this.#before = this.#number ?? this.#before;
    this.#leave();
  }

  #release(): void {
    if (this.#before !== null) this.#socket.send({ type: "detach", session: this.session, attachment: this.#before });
    this.#before = null;
  }

  #leave(): void {
    this.#number = null;
    this.keyboard.left();
  }

  #alive(): boolean {
    return !this.#closed && this.#standing.phase !== "ended" && this.#standing.phase !== "refused";
  }

  #tell(change: Partial<Standing>): void {
    this.#standing = { ...this.#standing, ...change };
    this.#changed(this.#standing);
  }
}
