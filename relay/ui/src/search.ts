/** Decides which machines a query shows: the tiers of relay/rules/resolver.py, so that what is listed also resolves. */

import type { Machine } from "./protocol.ts";

const WHOLE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ID_PREFIX = /^[0-9a-f]{4}[0-9a-f-]*$/;
const FUZZY_CHARACTERS = 2; // one letter would match half of the list

type Searched = Pick<Machine, "id" | "name" | "hostname"> & { shadowedBy?: string | null };

/** The form in which names, hostnames and queries are compared: canonical caseless, composed. */
export function fold(text: string): string {
  return text.normalize("NFD").toUpperCase().toLowerCase().normalize("NFC");
}

/** The hostname without a trailing dot and one `.local`, unless nothing would be left. */
export function bare(hostname: string): string {
  const undotted = hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
  return (undotted.toLowerCase().endsWith(".local") ? undotted.slice(0, -6) : undotted) || hostname;
}

/** Whether a query is too short to look inside names; the picker then shows everybody and says so. */
export function isShort(query: string): boolean {
  const length = [...query.trim().normalize("NFC")].length;
  return length > 0 && length < FUZZY_CHARACTERS;
}

/** A test for many machines; names given up in the last day are known to the server only. */
export function matcher(query: string): (machine: Searched) => boolean {
  const text = query.trim().normalize("NFC");
  if (text === "") return () => true;
  const key = fold(text);
  if (WHOLE_ID.test(key)) return (machine) => machine.id === key;
  const bareKey = bare(key);
  const short = isShort(text);
  const prefix = ID_PREFIX.test(key);
  return (machine) => {
    const hostname = fold(machine.hostname);
    const name = machine.shadowedBy ? null : fold(machine.name);
    if (key === hostname || bareKey === bare(hostname) || key === name) return true;
    if (short) return false;
    return hostname.includes(key) || !!name?.includes(key) || (prefix && machine.id.startsWith(key));
  };
}
