/** Shows the keys that a phone's keyboard lacks; hidden where there is a mouse. */

import type { JSX } from "preact";
import type { Terminal } from "../terminal.ts";

const KEYS: [string, string, string][] = [
  ["Esc", "\x1b", "Escape"],
  ["Tab", "\t", "Tab"],
  ["^C", "\x03", "Control C"],
  ["^D", "\x04", "Control D"],
  ["←", "\x1b[D", "Left"],
  ["↑", "\x1b[A", "Up"],
  ["↓", "\x1b[B", "Down"],
  ["→", "\x1b[C", "Right"],
];

export function TouchKeys({ terminal }: { terminal: Terminal }): JSX.Element {
  return (
    <div class="touch-keys" role="toolbar" aria-label="Keys">
      {KEYS.map(([text, bytes, label]) => (
        <button
          key={text}
          type="button"
          class="touch-key"
          aria-label={label}
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => terminal.press(bytes)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
