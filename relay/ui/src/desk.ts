/** Owns the open tabs: each a terminal on one session, which comes back after a reload. */

import type { Frame, Machine, Mode, Session, ToBrowser } from "./protocol.ts";
import type { Socket } from "./socket.ts";
import { Store } from "./store.ts";
import { load, neighbour, save, type Tab, TABS } from "./tabs.ts";
import { lastSize, Terminal } from "./terminal.ts";

export class Desk {
  readonly tabs: Store<readonly Tab[]>;
  readonly #terminals = new Map<string, Terminal>();
  readonly #find: (machine: string) => Machine | undefined;
  #socket: Socket | null = null;
  #online = false;

  constructor(find: (machine: string) => Machine | undefined) {
    this.#find = find;
    this.tabs = new Store<readonly Tab[]>(load(sessionStorage));
  }

  /** Brings back the tabs that the page had before it was loaded again. */
  open(socket: Socket): void {
    this.#socket = socket;
    for (const tab of this.tabs.value) this.#start(tab, false);
  }

  terminal(session: string): Terminal | undefined {
    return this.#terminals.get(session);
  }

  tab(session: string): Tab | undefined {
    return this.tabs.value.find((tab) => tab.session === session);
  }

  /** A tab for this session: the one that it has, or a new one; false if the page is full. */
  show(machine: Machine, session: Session, mode: Mode, justOpened: boolean): boolean {
    const known = this.#terminals.get(session.id);
    if (known && known.standing.value.phase !== "refused") return true;
    if (known) this.close(session.id);
    const { id, name, workspaceId } = machine;
    return this.#add(
      { machine: id, session: session.id, name, title: session.title ?? "", mode, workspace: workspaceId },
      justOpened,
    );
  }

  /** A tab for the session that the address names. */
  restore(machine: string, session: string, workspace: string): void {
    if (this.tab(session)) return;
    const name = this.#find(machine)?.name ?? "";
    this.#add({ machine, session, name, title: "", mode: "drive", workspace }, false);
  }

  /** Closes a tab, whose session goes on; answers the tab to show in its place. */
  close(session: string): Tab | null {
    const next = neighbour(this.tabs.value, session);
    this.#terminals.get(session)?.dispose();
    this.#terminals.delete(session);
    this.#set(this.tabs.value.filter((tab) => tab.session !== session));
    return next;
  }

  closeAll(): void {
    for (const terminal of this.#terminals.values()) terminal.dispose();
    this.#terminals.clear();
    this.#set([]);
    this.#socket = null;
  }

  /** Leaves all sessions and keeps the tabs, for the next load of the page. */
  unload(): void {
    for (const terminal of this.#terminals.values()) terminal.attachment.close();
  }

  /** Drives or watches, and remembers it for the next reload. */
  become(session: string, mode: Mode): void {
    this.#terminals.get(session)?.attachment.become(mode);
    this.#set(this.tabs.value.map((tab) => (tab.session === session ? { ...tab, mode } : tab)));
  }

  online(): void {
    this.#online = true;
    for (const terminal of this.#terminals.values()) terminal.attachment.online();
  }

  offline(): void {
    this.#online = false;
    for (const terminal of this.#terminals.values()) terminal.attachment.offline();
  }

  message(message: ToBrowser): void {
    if ("session" in message && message.session) this.#terminals.get(message.session)?.attachment.message(message);
  }

  frame(frame: Frame): void {
    this.#terminals.get(frame.session)?.attachment.frame(frame);
  }

  machineChanged(machine: Machine | null, id: string): void {
    for (const { attachment } of this.#terminals.values()) {
      if (attachment.machine === id) attachment.machineConnected(machine?.connected ?? false);
    }
    if (machine && this.tabs.value.some((tab) => tab.machine === id && tab.name !== machine.name)) {
      this.#set(this.tabs.value.map((tab) => (tab.machine === id ? { ...tab, name: machine.name } : tab)));
    }
  }

  #add(tab: Tab, justOpened: boolean): boolean {
    if (this.tabs.value.length >= TABS) return false;
    this.#set([...this.tabs.value, tab]);
    this.#start(tab, justOpened);
    return true;
  }

  #start(tab: Tab, justOpened: boolean): void {
    if (!this.#socket || this.#terminals.has(tab.session)) return;
    const terminal = new Terminal(tab, justOpened, lastSize.value, this.#socket);
    this.#terminals.set(tab.session, terminal);
    const machine = this.#find(tab.machine);
    if (machine) terminal.attachment.machineConnected(machine.connected);
    if (this.#online) terminal.attachment.online();
  }

  #set(tabs: readonly Tab[]): void {
    this.tabs.set(tabs);
    save(sessionStorage, tabs);
  }
}
