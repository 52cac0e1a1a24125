/** Owns the address bar's fragment: one-time secrets that come in by it, and the place a person is at. */

export type Arrival =
  { kind: "sign-in"; secret: string } | { kind: "invite"; secret: string } | { kind: "device"; code: string };

export type Place =
  { at: "machines"; machine?: string } | { at: "session"; machine: string; session: string } | { at: "team" };

const ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const SESSION = new RegExp(`^#/session/(${ID})/(${ID})$`);
const MACHINE = new RegExp(`^#/machine/(${ID})$`);

/** What a link brought: a secret to redeem, or nothing. */
export function arrival(hash: string): Arrival | null {
  const found = /^#(sign-in|invite|device)=(.+)$/.exec(hash);
  if (!found) return null;
  const value = decodeURIComponent(found[2]!);
  switch (found[1]) {
    case "sign-in":
      return { kind: "sign-in", secret: value };
    case "invite":
      return { kind: "invite", secret: value };
    default:
      return { kind: "device", code: value };
  }
}

/** Where a fragment points; anything unknown is the list of machines. */
export function read(hash: string): Place {
  const session = SESSION.exec(hash);
  if (session) return { at: "session", machine: session[1]!, session: session[2]! };
  const machine = MACHINE.exec(hash);
  if (machine) return { at: "machines", machine: machine[1]! };
  return hash === "#/team" ? { at: "team" } : { at: "machines" };
}

/** The fragment of a place. */
export function write(place: Place): string {
  switch (place.at) {
    case "session":
      return `#/session/${place.machine}/${place.session}`;
    case "team":
      return "#/team";
    case "machines":
      return place.machine ? `#/machine/${place.machine}` : "#/";
  }
}
