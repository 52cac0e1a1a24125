/** Owns the wire as the page sees it: the 32-byte header and the control messages, as in relay/rules. */

export const SUBPROTOCOL = "relay.v1";
export const HEADER_BYTES = 32;
export const EVERYBODY = 0; // as an attachment number: all who are attached

export const Kind = {
  OUTPUT: 1,
  EXIT: 2,
  RESIZED: 3,
  INPUT: 16,
  RESIZE: 17,
  END_INPUT: 18,
  ACK: 32,
  SEEN: 33,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export interface Frame {
  kind: number;
  flags: number;
  attachment: number;
  epoch: number;
  session: string;
  sequence: number;
  payload: Uint8Array;
}

export interface Person {
  id: string;
  name: string;
}

export interface Workspace extends Person {
  role: Role;
}

export type Role = "owner" | "admin" | "member" | "viewer";
export type Mode = "drive" | "watch";

export interface Operator {
  user: string;
  client?: string;
}

export interface Machine {
  id: string;
  name: string;
  hostname: string;
  workspaceId: string;
  workspaceName: string;
  owner: Person | null;
  visibility: "SHARED" | "PRIVATE";
  version: string;
  online: boolean;
  state: "live" | "degraded" | "offline";
  connected: boolean;
  lastSeenAt: string | null;
  offlineReason: string | null;
  labels: Record<string, string>;
  activeSession: { sessionId: string; startedAt: string; operator: Operator } | null;
  sessions: number;
  createdAt: string;
  shadowedBy?: string | null;
  can?: string[];
}

/** A session as its agent describes it; times are Unix seconds. Fields at their default are left out on the wire. */
export interface Session {
  id: string;
  epoch: number;
  kind: "terminal" | "exec";
  title?: string;
  startedAt?: number;
  endedAt?: number | null;
  exitCode?: number | null;
  ended?: string | null;
  columns?: number;
  rows?: number;
  attached?: number;
}

export interface After {
  epoch: number;
  sequence: number;
}

export interface Attaching {
  type: "attaching";
  ref: number;
  machine: string;
  session: string;
  attachment: number;
  epoch: number;
  first: number;
  recovered: boolean;
  driver: boolean;
  columns: number;
  rows: number;
  input?: number;
  term?: number; // how often the keyboard has passed from one client to another
}

export interface Problem {
  code: string;
  message: string;
  lastSeenAt?: string;
}

export type DetachReason = "machine-gone" | "gap" | "behind" | "forbidden" | "machine-revoked" | "left";

export type ToBrowser =
  | { type: "welcome"; user: Person; workspaces: Workspace[]; nodes: string[]; node: string }
  | { type: "nodes"; nodes: string[] } // in place of the welcome's
  | {
      type: "snapshot";
      ref?: number;
      workspace: string;
      seq: number;
      now: string;
      machines: Machine[];
      settled?: boolean;
      more?: boolean;
    }
  | { type: "machine"; workspace: string; seq: number; machine: Machine }
  | { type: "gone"; workspace: string; seq: number; id: string; reason?: string }
  | { type: "seen"; workspace: string; seq: number; at: Record<string, string> }
  | { type: "result"; ref: number; result: Record<string, unknown> }
  | Attaching
  | { type: "attached"; session: string; attachment: number; head: number }
  | { type: "detached"; session: string; attachment: number; reason: DetachReason }
  | { type: "input-refused"; session: string; attachment: number; sequence: number; reason: string }
  | { type: "driver"; session: string; attachment: number; operator?: Operator | null; term?: number }
  | { type: "notice"; code: string; message: string }
  | ({ type: "error"; ref?: number; session?: string } & Problem)
  | { type: "pong"; at?: number };

export type Request =
  | { type: "subscribe"; workspace: string }
  | {
      type: "attach";
      machine: string;
      session: string;
      mode: Mode;
      after?: After;
      columns?: number;
      rows?: number;
      take?: boolean;
    }
  | { type: "open"; machine: string; kind: "terminal"; columns: number; rows: number; title?: string }
  | { type: "end"; machine: string; session: string }
  | { type: "sessions"; machine: string };

export type FromBrowser =
  | { type: "hello"; client: string; label: string }
  | (Request & { ref: number })
  | { type: "unsubscribe"; workspace: string }
  | { type: "visible"; workspace: string; machines: string[] }
  | { type: "detach"; session: string; attachment: number }
  | { type: "take"; session: string; attachment: number }
  | { type: "ping"; at: number };

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const HIGH = 2 ** 32; // sequences are below 2^53, so two halves fit a double exactly

/** One frame as the bytes of a binary message. */
export function pack(frame: Omit<Frame, "payload" | "flags">, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, frame.kind);
  view.setUint16(2, frame.attachment);
  view.setUint32(4, frame.epoch);
  const session = frame.session.replaceAll("-", "");
  for (let at = 0; at < 16; at++) bytes[8 + at] = Number.parseInt(session.slice(at * 2, at * 2 + 2), 16);
  view.setUint32(24, Math.floor(frame.sequence / HIGH));
  view.setUint32(28, frame.sequence % HIGH);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** The frame in a binary message, or null if it is too short to be one; the payload is a view, not a copy. */
export function unpack(data: ArrayBuffer): Frame | null {
  if (data.byteLength < HEADER_BYTES) return null;
  const view = new DataView(data);
  let id = "";
  for (let at = 0; at < 16; at++) {
    if (at === 4 || at === 6 || at === 8 || at === 10) id += "-";
    id += HEX[view.getUint8(8 + at)];
  }
  return {
    kind: view.getUint8(0),
    flags: view.getUint8(1),
    attachment: view.getUint16(2),
    epoch: view.getUint32(4),
    session: id,
    sequence: view.getUint32(24) * HIGH + view.getUint32(28),
    payload: new Uint8Array(data, HEADER_BYTES),
  };
}

/** Columns and rows as the payload of RESIZE. */
export function packSize(columns: number, rows: number): Uint8Array {
  return new Uint8Array([columns >> 8, columns & 255, rows >> 8, rows & 255]);
}

/** Columns and rows from the payload of RESIZED. */
export function unpackSize(payload: Uint8Array): { columns: number; rows: number } | null {
  if (payload.length < 4) return null;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return { columns: view.getUint16(0), rows: view.getUint16(2) };
}
