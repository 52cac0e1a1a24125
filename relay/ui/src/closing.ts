/** Owns what a close code means for the page: stop and say why, or come back, and when. */

export type Verdict =
  | { then: "stop"; why: "signed-out" | "forbidden" | "protocol" | "outdated" }
  | { then: "return"; notBeforeMs: number; withinMs: number; elsewhere: boolean };

const FIRST_MS = 60; // never at once: a fleet of pages must not fall on the next node in one instant
const SOON_MS = 600; // most losses are one node's; others are there already
const LATER_MS = 5_000; // the node asked for room
const CAP_MS = 15_000; // a person is looking at the page and a longer wait looks like a broken one

/** What to do after a close with `code` when `failures` connections in a row never became usable. */
export function judge(code: number, failures: number): Verdict {
  if (code === 4002) return { then: "stop", why: "signed-out" };
  if (code === 4006) return { then: "stop", why: "outdated" };
  if (code === 4005 || code === 1007 || code === 1009) return { then: "stop", why: "protocol" };
  if (code >= 4000 && code < 4100) return { then: "stop", why: "forbidden" };
  if (code >= 4100 && code < 4200) {
    const withinMs = Math.min(CAP_MS, LATER_MS * 2 ** Math.min(failures, 4));
    return { then: "return", notBeforeMs: LATER_MS / 2, withinMs, elsewhere: true };
  }
  const withinMs = Math.min(CAP_MS, SOON_MS * 2 ** Math.min(failures, 6));
  return { then: "return", notBeforeMs: FIRST_MS, withinMs, elsewhere: code !== 4203 };
}

/** A moment between the two ends of a verdict's wait; `random` is in [0, 1). */
export function waitMs(verdict: { notBeforeMs: number; withinMs: number }, random: number): number {
  return Math.round(verdict.notBeforeMs + random * Math.max(0, verdict.withinMs - verdict.notBeforeMs));
}

/** The node to try next: any but the one just lost, unless there is no other. */
export function nextNode(nodes: readonly string[], lost: string | null, random: number): string {
  const others = nodes.filter((node) => node !== lost);
  const pool = others.length > 0 ? others : nodes;
  return pool[Math.floor(random * pool.length)] ?? "";
}
