/** Shows a small menu at a button: arrows move in it, Escape and a click elsewhere close it. */

import type { ComponentChildren, JSX } from "preact";
import { useId, useRef } from "preact/hooks";

const EDGE_PIXELS = 8; // between a menu and the edge of the window

export interface Item {
  text: string;
  danger?: boolean;
  run: () => void;
}

export function Menu(props: { label: string; class?: string; items: Item[]; head?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const place = (): void => {
    const at = button.current?.getBoundingClientRect();
    const menu = list.current;
    if (!at || !menu) return;
    const right = Math.max(EDGE_PIXELS, window.innerWidth - at.right);
    const below = at.bottom + 4 + menu.offsetHeight < window.innerHeight;
    menu.style.right = `${right}px`;
    menu.style.top = below ? `${at.bottom + 4}px` : `${Math.max(EDGE_PIXELS, at.top - 4 - menu.offsetHeight)}px`;
    menu.querySelector<HTMLElement>("[role=menuitem]")?.focus();
  };
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const items = [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + step + items.length) % items.length]?.focus();
  };
  return (
    <span class="menu-place" onClick={(event) => event.stopPropagation()} onKeyDown={(event) => event.stopPropagation()}>
      <button
        ref={button}
        type="button"
        class={props.class ?? "icon-button"}
        aria-label={props.label}
        aria-haspopup="menu"
        popovertarget={id}
      >
        {props.children}
      </button>
      <div ref={list} id={id} class="menu" popover="auto" onToggle={(event) => event.newState === "open" && place()} onKeyDown={move}>
        {props.head}
        <div role="menu" aria-label={props.label}>
          {props.items.map((item) => (
            <button
              key={item.text}
              type="button"
              role="menuitem"
              class={item.danger ? "menu-item danger" : "menu-item"}
              onClick={() => {
                list.current?.hidePopover();
                item.run();
              }}
            >
              {item.text}
            </button>
          ))}
        </div>
      </div>
    </span>
  );
}
