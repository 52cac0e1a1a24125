/** Names what a person is shown about one attachment. */

import type { Mode, Operator } from "./protocol.ts";

export interface Exit {
  code: number | null;
  signal: number | null;
  reason: string | null;
}

export type Phase = "connecting" | "catching-up" | "attached" | "away" | "ended" | "refused";
export type Holder = "me" | "nobody" | "other";

export interface Standing {
  phase: Phase;
  mode: Mode;
  keyboard: Holder;
  operator: Operator | null; // who has the keyboard, if it is somebody else and known
  exit: Exit | null;
  problem: string | null; // why it is refused
  note: string | null; // something that happened once and that the person should know
}

export function first(mode: Mode): Standing {
  return { phase: "connecting", mode, keyboard: "other", operator: null, exit: null, problem: null, note: null };
}

/** How a session ended, from the payload of its EXIT frame; an unreadable one still ended. */
export function readExit(payload: Uint8Array): Exit {
  try {
    const found = JSON.parse(new TextDecoder().decode(payload)) as Partial<Exit>;
    return { code: found.code ?? null, signal: found.signal ?? null, reason: found.reason ?? null };
  } catch {
    return { code: null, signal: null, reason: null };
  }
}
