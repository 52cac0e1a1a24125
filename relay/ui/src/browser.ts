/** Owns what this page says of itself and remembers in this browser. */

const PROGRAMS: [RegExp, string][] = [
  [/Edg\//, "Edge"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/iPhone|iPad/, "iOS"],
  [/Android/, "Android"],
  [/Mac OS X/, "macOS"],
  [/Windows/, "Windows"],
  [/Linux/, "Linux"],
];
const ID_BYTES = 16;

/** A name for this browser that others see beside the person's: "Firefox on Linux". */
export function describe(userAgent: string): string {
  const program = PROGRAMS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "Browser";
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1];
  return system ? `${program} on ${system}` : program;
}

/** An id for the input streams of this load of the page; never stored, because a duplicated tab copies storage. */
export function newClient(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(ID_BYTES)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`relay.${key}`, value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`relay.${key}`);
  } catch {
    return null;
  }
}
