/** Wires the page: who is signed in, the socket, the machines, the open tabs and where the person is. */

import { api, type Me, nodes } from "./api.ts";
import { describe, newClient, recall, remember } from "./browser.ts";
import { Desk } from "./desk.ts";
import { Machines } from "./fleet.ts";
import { type Arrival, arrival, type Place, read, write } from "./place.ts";
import type { Machine, Mode, Problem, Request, Session, ToBrowser, Workspace } from "./protocol.ts";
import { enter, type Gate, holds, said } from "./signing.ts";
import { type Connection, Socket } from "./socket.ts";
import { Store } from "./store.ts";
import { lastSize } from "./terminal.ts";

const NOTICE_MS = 6_000; // long enough to read two lines
const ASK_AGAIN_MS = 2_000; // while nobody can say whether the sign-in still holds
const FIRST_SIZE = { columns: 80, rows: 24 }; // until a screen was measured

export interface View {
  gate: Gate;
  arrival: Arrival | null;
  workspace: Workspace | null;
  place: Place;
  notice: string | null;
}

/** Everything that lives as long as the page; views read its stores and call its methods. */
export class App {
  readonly view: Store<View>;
  readonly connection = new Store<Connection>({ state: "connecting", attempt: 0, again: false });
  readonly machines: Machines;
  readonly desk: Desk;
  #socket: Socket | null = null;
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const brought = this.#takeArrival();
    this.view = new Store<View>({
      gate: { at: "loading" },
      arrival: brought,
      workspace: null,
      place: read(location.hash),
      notice: null,
    });
    this.machines = new Machines(
      (workspace) =>
        this.#ask(
          { type: "subscribe", workspace },
          () => undefined,
          (problem) => this.machines.refused(workspace, problem),
        ),
      (machine, id) => this.desk.machineChanged(machine, id),
    );
    this.desk = new Desk((machine) => this.machines.find(machine));
    window.addEventListener("hashchange", () => this.#hashChanged());
    window.addEventListener("online", () => this.#socket?.hurry());
    window.addEventListener("pagehide", () => this.#unload());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#socket?.hurry();
    });
  }

  /** Redeems what the link brought, then lets the person in or says why not. */
  async start(): Promise<void> {
    const brought = this.view.value.arrival;
    if (brought?.kind === "sign-in") this.view.update({ arrival: null });
    const gate = await enter(brought?.kind === "sign-in" ? brought.secret : null);
    this.view.update({ gate });
    if (gate.at !== "in") return;
    if (gate.note) this.tell(gate.note);
    this.#choose(gate.me);
    this.#connect(gate.me);
    this.#restore();
  }

  /** Joins with the invitation that the link brought; throws what the server said. */
  async accept(name?: string): Promise<void> {
    const brought = this.view.value.arrival;
    if (brought?.kind !== "invite") return;
    await api.accept(brought.secret, name);
    this.view.update({ arrival: null });
    this.#socket?.stop();
    await this.start();
  }

  dismissArrival(): void {
    this.view.update({ arrival: null });
  }

  async signOut(): Promise<void> {
    try {
      await api.signOut();
      this.#leave(null);
    } catch (error) {
      this.tell(said(error));
    }
  }

  get me(): Me | null {
    const { gate } = this.view.value;
    return gate.at === "in" ? gate.me : null;
  }

  chooseWorkspace(id: string): void {
    const workspace = this.me?.workspaces.find((each) => each.id === id);
    if (!workspace || workspace.id === this.view.value.workspace?.id) return;
    const left = this.view.value.workspace;
    if (left) this.#socket?.send({ type: "unsubscribe", workspace: left.id });
    remember("workspace", id);
    this.view.update({ workspace });
    this.go({ at: "machines" });
    this.machines.choose(id);
  }

  /** Founds a workspace and turns to it; throws what the server said. */
  async createWorkspace(name: string): Promise<void> {
    const made = await api.createWorkspace(name);
    remember("workspace", made.id);
    this.view.update({ workspace: made });
    this.go({ at: "machines" });
    this.#socket?.stop(); // a socket knows the workspaces of its welcome only
    await this.start();
  }

  go(place: Place): void {
    this.view.update({ place });
    const fragment = write(place);
    if (location.hash !== fragment) history.pushState(null, "", fragment);
  }

  /** Shows a session in a tab. */
  show(machine: Machine, session: Session, mode: Mode, justOpened = false): void {
    if (this.desk.show(machine, session, mode, justOpened)) {
      this.go({ at: "session", machine: machine.id, session: session.id });
    } else this.tell("This page is full of tabs. Close one first.");
  }

  closeTab(session: string): void {
    const next = this.desk.close(session);
    const { place } = this.view.value;
    if (place.at !== "session" || place.session !== session) return;
    this.go(next ? { at: "session", machine: next.machine, session: next.session } : { at: "machines" });
  }

  /** Starts a terminal on a machine and shows it; answers what went wrong, or null. */
  openSession(machine: Machine): Promise<Problem | null> {
    const size = lastSize.value ?? FIRST_SIZE;
    return new Promise((resolve) => {
      this.#ask<{ session: Session }>(
        { type: "open", machine: machine.id, kind: "terminal", ...size },
        ({ session }) => {
          this.show(machine, session, "drive", true);
          resolve(null);
        },
        resolve,
      );
    });
  }

  listSessions(machine: string): Promise<Session[]> {
    return new Promise((resolve, reject) => {
      this.#ask<{ sessions: Session[] }>(
        { type: "sessions", machine },
        ({ sessions }) => resolve(sessions),
        (problem) => reject(new Error(problem.message)),
      );
    });
  }

  endSession(machine: string, session: string): Promise<Problem | null> {
    return new Promise((resolve) => this.#ask({ type: "end", machine, session }, () => resolve(null), resolve));
  }

  /** These rows are in sight: their last-seen times are worth telling. */
  visible(machines: string[]): void {
    const { workspace } = this.machines.store.value;
    if (workspace) this.#socket?.send({ type: "visible", workspace, machines });
  }

  tell(notice: string): void {
    clearTimeout(this.#noticeTimer);
    this.view.update({ notice });
    this.#noticeTimer = setTimeout(() => this.view.update({ notice: null }), NOTICE_MS);
  }

  /** Tries at once instead of sitting out the wait. */
  hurry(): void {
    this.#socket?.hurry();
  }

  #connect(me: Me): void {
    if (this.#socket) {
      this.#socket.start();
      return;
    }
    const around = {
      origin: location.origin,
      client: newClient(),
      label: describe(navigator.userAgent),
      ticket: (node: string) => {
        nodes.prefer(node);
        return api.ticket().then(
          ({ ticket }) => ticket,
          () => null,
        );
      },
      signedIn: holds,
    };
    this.#socket = new Socket(around, me.nodes, {
      connection: (now) => this.#connectionChanged(now),
      message: (message) => this.#message(message),
      frame: (frame) => this.desk.frame(frame),
    });
    this.desk.open(this.#socket);
    this.#socket.start();
  }

  /** Keeps to the workspace of before, or takes the first; says whether that is another one than is listed. */
  #choose(me: Me): boolean {
    const before = this.view.value.workspace?.id ?? recall("workspace");
    const workspace = me.workspaces.find((each) => each.id === before) ?? me.workspaces[0] ?? null;
    this.view.update({ workspace });
    const another = workspace !== null && workspace.id !== this.machines.store.value.workspace;
    if (another) this.machines.choose(workspace.id);
    return another;
  }

  #restore(): void {
    const { place, workspace } = this.view.value;
    if (place.at === "session") this.desk.restore(place.machine, place.session, workspace?.id ?? "");
  }

  #takeArrival(): Arrival | null {
    const brought = arrival(location.hash);
    if (brought) history.replaceState(null, "", `${location.pathname}#/`); // a secret stays in the bar for no longer
    return brought;
  }

  #hashChanged(): void {
    const brought = this.#takeArrival();
    if (brought?.kind === "sign-in") this.#leave(null);
    this.view.update({ place: read(location.hash), ...(brought ? { arrival: brought } : {}) });
    if (brought?.kind === "sign-in") void this.start();
    else this.#restore();
  }

  /** The page goes: its next load is another client, which should find the keyboard free and not kept for this one. */
  #unload(): void {
    this.desk.unload();
    this.#socket?.stop();
  }

  #connectionChanged(now: Connection): void {
    const wasOpen = this.connection.value.state === "open";
    this.connection.set(now);
    if (wasOpen) this.desk.offline();
    if (now.state === "stopped" && now.why === "signed-out" && this.me) void this.#signedOut(this.me);
  }

  /**
   * A node does not know this page's sign-in. Another tab may have signed the same person in again meanwhile, or the one
   * node that has the cookie cannot be asked: only its own word is final.
   */
  async #signedOut(before: Me): Promise<void> {
    const gate = await enter(null);
    if (!this.me || !this.#socket) return;
    if (gate.at === "in" && gate.me.user.id === before.user.id) this.#socket.start();
    else if (gate.at === "signed-out" && !gate.reachable) setTimeout(() => this.#socket?.start(), ASK_AGAIN_MS);
    else this.#leave("You were signed out.");
  }

  #message(message: ToBrowser): void {
    switch (message.type) {
      case "welcome": {
        const { me } = this;
        if (!me) return;
        const now = { ...me, workspaces: message.workspaces, nodes: message.nodes };
        if (this.#socket) nodes.follow(this.#socket.url, message.nodes);
        this.view.update({ gate: { at: "in", me: now, note: null } });
        if (!this.#choose(now)) this.machines.online();
        this.desk.online();
        break;
      }
      case "nodes":
        if (this.#socket) nodes.follow(this.#socket.url, message.nodes);
        break;
      case "notice":
        this.tell(message.message);
        break;
      default:
        this.machines.message(message);
        this.desk.message(message);
    }
  }

  #ask<Answer>(request: Request, done: (answer: Answer) => void, failed: (problem: Problem) => void): void {
    if (this.#socket) this.#socket.ask(request, done, failed);
    else failed({ code: "unavailable", message: "Not connected to the relay at the moment." });
  }

  #leave(problem: string | null): void {
    const socket = this.#socket;
    this.#socket = null;
    this.view.update({
      gate: { at: "signed-out", problem, reachable: true },
      workspace: null,
      place: { at: "machines" },
    });
    socket?.stop("signed-out");
    this.desk.closeAll();
    this.machines.choose("");
    history.replaceState(null, "", `${location.pathname}#/`);
  }
}
