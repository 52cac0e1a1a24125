/** Turns times, states and outcomes into the words that people read. */

import type { Exit } from "./standing.ts";
import type { Connection } from "./socket.ts";
import type { Machine, Session } from "./protocol.ts";

// What turns the text around it or begins a line: controls, marks and overrides of direction, separators.
const STEERING = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/gu;

/** A text that a program or another client chose, without what would change how the page around it reads. */
export function plain(text: string): string {
  return text.replace(STEERING, "");
}

/** How long ago, in one short unit. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${hours} h ago`;
  return `${Math.round(hours / 24)} days ago`;
}

/** A machine's presence in a few words. */
export function presence(machine: Machine, nowMs: number): string {
  if (machine.state === "live") return "online";
  const seen = machine.lastSeenAt ? ago(nowMs - Date.parse(machine.lastSeenAt)) : "never";
  return machine.state === "degraded" ? `unsteady, seen ${seen}` : `last seen ${seen}`;
}

/** Who is on a machine. */
export function whoIsOn(machine: Machine): string | null {
  const operator = machine.activeSession?.operator;
  if (!operator) return null;
  return plain(operator.client ? `${operator.user}, ${operator.client}` : operator.user);
}

/** How a session ended. */
export function ending(exit: Exit): string {
  if (exit.signal !== null) return `ended by signal ${exit.signal}`;
  if (exit.code !== null) return exit.code === 0 ? "finished, exit 0" : `finished, exit ${exit.code}`;
  return exit.reason ? `ended: ${plain(exit.reason).replaceAll("-", " ")}` : "ended";
}

/** A session in a list: what runs and since when. */
export function sessionLine(session: Session, nowMs: number): string {
  if (session.endedAt != null) {
    const how = ending({ code: session.exitCode ?? null, signal: null, reason: session.ended ?? null });
    return `${how}, ${ago(nowMs - session.endedAt * 1000)}`;
  }
  const people = session.attached ?? 0;
  const on = people === 0 ? "nobody on it" : people === 1 ? "1 person on it" : `${people} people on it`;
  return session.startedAt ? `started ${ago(nowMs - session.startedAt * 1000)}, ${on}` : on;
}

/** The connection as one honest phrase. */
export function connectionWords(connection: Connection): string {
  switch (connection.state) {
    case "open":
      return "Connected";
    case "connecting":
      return connection.again ? "Reconnecting…" : "Connecting…";
    case "waiting":
      return connection.attempt > 3 ? "No answer, still trying…" : "Reconnecting…";
    case "stopped":
      return STOPPED[connection.why];
  }
}

const STOPPED = {
  "signed-out": "Signed out",
  forbidden: "You have no access any more",
  protocol: "This page and the relay do not understand each other. Reload the page.",
  outdated: "This page is out of date. Reload it.",
  left: "Disconnected",
} as const;
