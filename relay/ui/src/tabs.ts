/** Owns the open tabs, which come back after a reload: machine and session ids only, never what was on the screen. */

import type { Mode } from "./protocol.ts";

const KEY = "relay.tabs";
export const TABS = 32; // half of what the server allows one page to attach to

export interface Tab {
  machine: string;
  session: string;
  name: string; // the machine's name when the tab was opened, shown until the list is there
  title: string;
  mode: Mode;
  workspace: string;
}

interface Kept {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** The tabs that this browser tab had; anything unreadable counts as none. */
export function load(storage: Kept): Tab[] {
  try {
    const found: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(isTab).slice(0, TABS) : [];
  } catch {
    return [];
  }
}

export function save(storage: Kept, tabs: readonly Tab[]): void {
  try {
    storage.setItem(KEY, JSON.stringify(tabs));
  } catch {
    // No storage: the tabs live as long as the page, and the address still names the one that is shown.
  }
}

/** The tab to show when the one at `index` closes: its right neighbour, else the left one. */
export function neighbour(tabs: readonly Tab[], session: string): Tab | null {
  const index = tabs.findIndex((tab) => tab.session === session);
  return tabs[index + 1] ?? tabs[index - 1] ?? null;
}

function isTab(found: unknown): found is Tab {
  if (typeof found !== "object" || found === null) return false;
  const tab = found as Record<string, unknown>;
  const texts = ["machine", "session", "name", "title", "workspace"];
  return texts.every((key) => typeof tab[key] === "string") && (tab["mode"] === "drive" || tab["mode"] === "watch");
}
