/** Owns who is signed in: links that bring a secret, the cookie that it becomes, and the way out. */

import { api, type Me, Refused } from "./api.ts";

export type Gate =
  | { at: "loading" }
  | { at: "signed-out"; problem: string | null; reachable: boolean }
  | { at: "in"; me: Me; note: string | null };

/** Redeems a sign-in link's secret if there is one, then says who is signed in. */
export async function enter(secret: string | null): Promise<Gate> {
  let problem: string | null = null;
  if (secret !== null) {
    try {
      await api.signIn(secret);
    } catch (error) {
      problem = said(error);
    }
  }
  try {
    const me = await api.me();
    return { at: "in", me, note: problem === null ? null : `${problem} You are still signed in.` };
  } catch (error) {
    if (isSignedOut(error)) return { at: "signed-out", problem, reachable: true };
    return { at: "signed-out", problem: said(error), reachable: false };
  }
}

/** Whether the sign-in still holds; an unreachable relay proves nothing. */
export async function holds(): Promise<boolean> {
  return api.me().then(
    () => true,
    (error: unknown) => !isSignedOut(error),
  );
}

/** What went wrong, as a sentence. */
export function said(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong.";
}

function isSignedOut(error: unknown): boolean {
  return error instanceof Refused && error.status === 401;
}
