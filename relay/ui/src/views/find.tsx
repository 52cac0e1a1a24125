/** Shows the search in a terminal: as one types, forwards and backwards, with the number of places. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../store.ts";
import type { Terminal } from "../terminal.ts";
import { Cross, Down, Up } from "./glyphs.tsx";

export function Find({ terminal, close }: { terminal: Terminal; close: () => void }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const { index, count } = useStore(terminal.found);
  useEffect(() => field.current?.focus(), []);
  const press = (event: KeyboardEvent): void => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") terminal.find(text, !event.shiftKey);
  };
  return (
    <div class="find" role="search">
      <input
        ref={field}
        class="field"
        aria-label="Find in the terminal"
        placeholder="Find"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          terminal.find(event.currentTarget.value, true);
        }}
        onKeyDown={press}
      />
      <span class="find-count" role="status">
        {text === "" ? "" : count === 0 ? "nothing found" : `${index + 1} of ${count}`}
      </span>
      <button type="button" class="icon-button" aria-label="Previous place" onClick={() => terminal.find(text, true)}>
        <Up />
      </button>
      <button type="button" class="icon-button" aria-label="Next place" onClick={() => terminal.find(text, false)}>
        <Down />
      </button>
      <button type="button" class="icon-button" aria-label="Close the search" onClick={close}>
        <Cross />
      </button>
    </div>
  );
}
