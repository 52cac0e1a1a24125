/** Owns the REST calls that the page makes, on whatever node answers. */

import { Nodes } from "./nodes.ts";
import type { Machine, Person, Problem, Role, Workspace } from "./protocol.ts";

const ANSWER_MS = 15_000; // a person waits for a button no longer than this
const NEXT_MS = 4_000; // and gives one node so long while there is another to ask
const TICKET_MS = 2_500; // the node that served the page may be the one that is gone; the cookie is tried then
const REPEATABLE = new Set(["GET", "PATCH", "DELETE"]); // done twice they are as if done once

export interface Me {
  user: Person;
  workspaces: Workspace[];
  nodes: string[];
}

export interface Member {
  user: Person;
  role: Role;
  joinedAt: string;
}

export interface Key extends Person {
  createdAt: string;
  createdBy: string;
  expiresAt: string | null;
}

export interface Link {
  url: string;
  expiresAt: string;
}

export interface Revoked {
  closedConnections: number;
  unconfirmedNodes: string[];
  refusedEverywhere?: boolean; // false: Redis could not be told yet; nodes of before it say nothing of that
}

/** An answer that is not the one hoped for, with the server's own sentence. */
export class Refused extends Error {
  readonly code: string;
  readonly status: number;

  constructor(problem: Problem, status: number) {
    super(problem.message);
    this.code = problem.code;
    this.status = status;
  }
}

/** Where the calls of this page go. */
export const nodes = new Nodes(globalThis.location?.origin ?? "");

export const api = {
  me: () => call<Me>("GET", "/api/me"),
  signIn: (secret: string) => call<unknown>("POST", "/api/sign-in", { secret }),
  signOut: () => call<unknown>("POST", "/api/sign-out", {}, { again: true }),
  accept: (secret: string, name?: string) =>
    call<unknown>("POST", "/api/invitations/accept", name === undefined ? { secret } : { secret, name }),
  approveDevice: (userCode: string, deny: boolean) =>
    call<{ approved: boolean; client: string }>("POST", "/api/device/approve", { userCode, deny }),
  signInLink: () => call<Link>("POST", "/api/sign-in-links", {}, { again: true }),
  ticket: () => call<{ ticket: string }>("POST", "/api/tickets", {}, { again: true, answerMs: TICKET_MS }),

  rename: (machine: string, name: string) => call<Machine>("PATCH", `/api/machines/${machine}`, { name }),
  setVisibility: (machine: string, visibility: Machine["visibility"]) =>
    call<Machine>("PATCH", `/api/machines/${machine}/visibility`, { visibility }),
  revoke: (machine: string) => call<Revoked>("DELETE", `/api/machines/${machine}`),

  createWorkspace: (name: string) => call<Workspace>("POST", "/api/workspaces", { name }),
  members: (workspace: string) => call<{ members: Member[] }>("GET", `/api/workspaces/${workspace}/members`),
  setRole: (workspace: string, member: string, role: Role) =>
    call<Member>("PATCH", `/api/workspaces/${workspace}/members/${member}`, { role }),
  removeMember: (workspace: string, member: string) =>
    call<unknown>("DELETE", `/api/workspaces/${workspace}/members/${member}`),
  invite: (workspace: string, role: Role) => call<Link>("POST", `/api/workspaces/${workspace}/invitations`, { role }),
  keys: (workspace: string) => call<{ keys: Key[] }>("GET", `/api/workspaces/${workspace}/keys`),
  createKey: (workspace: string, name: string) =>
    call<Key & { token: string }>("POST", `/api/workspaces/${workspace}/keys`, { name }),
  revokeKey: (workspace: string, key: string, machines: boolean) =>
    call<unknown>("DELETE", `/api/workspaces/${workspace}/keys/${key}${machines ? "?machines=true" : ""}`),
};

interface Manner {
  again?: boolean; // it may be done twice
  answerMs?: number;
}

async function call<Answer>(method: string, path: string, body?: object, manner: Manner = {}): Promise<Answer> {
  const again = manner.again ?? REPEATABLE.has(method);
  const order = nodes.order(again);
  let response: Response | null = null;
  for (const [index, node] of order.entries()) {
    const whole = manner.answerMs ?? ANSWER_MS;
    try {
      response = await ask(node, method, path, body, index + 1 < order.length ? Math.min(whole, NEXT_MS) : whole);
      break;
    } catch {
      continue; // nobody answered; a browser does not say whether anybody heard
    }
  }
  if (!response) {
    const then = again ? "Try again in a moment." : "Look whether it was done all the same before you try again.";
    throw new Refused({ code: "unavailable", message: `The relay does not answer. ${then}` }, 0);
  }
  const text = await response.text();
  if (response.ok) return (text === "" ? {} : JSON.parse(text)) as Answer;
  throw new Refused(problemOf(text, response), response.status);
}

function ask(
  node: string,
  method: string,
  path: string,
  body: object | undefined,
  answerMs: number,
): Promise<Response> {
  return fetch(new URL(path, node || location.origin), {
    method,
    credentials: "include", // the cookie is sent to other ports of this host only when asked for
    signal: AbortSignal.timeout(answerMs),
    ...(body ? { headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {}),
  });
}

function problemOf(text: string, response: Response): Problem {
  try {
    const found = JSON.parse(text) as Partial<Problem> & { detail?: string };
    return { code: found.code ?? "internal", message: sentence(found.detail ?? found.message ?? response.statusText) };
  } catch {
    return { code: "internal", message: `The relay answered ${response.status}.` };
  }
}

/** The server's sentence as one on a page: with a capital letter and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const whole = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
