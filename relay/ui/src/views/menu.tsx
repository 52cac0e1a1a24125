/** Shows a small menu at a button: arrows move in it, Escape and a click elsewhere close it. */

import type { ComponentChildren, JSX } from "preact";
import { useId, useRef } from "preact/hooks";

const EDGE_PIXELS = 8; // between a menu and the edge of the window
const GAP_PIXELS = 4; // between a menu and its button

export interface Item {
  text: string;
  danger?: boolean;
  run: () => void;
}

interface MenuProps {
  label: string;
  class?: string;
  items: Item[];
  head?: ComponentChildren;
  children: ComponentChildren;
}

export function Menu(props: MenuProps): JSX.Element {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const opened = (event: { newState: string }): void => {
    if (event.newState === "open" && button.current && list.current) place(list.current, button.current);
  };
  const keep = (event: Event): void => event.stopPropagation(); // what is done in a row's menu is not done to the row
  return (
    <span class="menu-place" onClick={keep} onKeyDown={keep}>
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
      <div ref={list} id={id} class="menu" popover="auto" onToggle={opened} onKeyDown={move}>
        {props.head}
        <div role="menu" aria-label={props.label}>
          {props.items.map((item) => {
            const run = (): void => {
              list.current?.hidePopover();
              item.run();
            };
            const looks = item.danger ? "menu-item danger" : "menu-item";
            return (
              <button key={item.text} type="button" role="menuitem" class={looks} onClick={run}>
                {item.text}
              </button>
            );
          })}
        </div>
      </div>
    </span>
  );
}

/** Puts an open menu under its button, or over it where there is no room, and goes to its first item. */
function place(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const below = at.bottom + GAP_PIXELS + menu.offsetHeight < window.innerHeight;
  menu.style.right = `${Math.max(EDGE_PIXELS, window.innerWidth - at.right)}px`;
  menu.style.top = below
    ? `${at.bottom + GAP_PIXELS}px`
    : `${Math.max(EDGE_PIXELS, at.top - GAP_PIXELS - menu.offsetHeight)}px`;
  itemsOf(menu)[0]?.focus();
}

function move(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (step === 0) return;
  event.preventDefault();
  const items = itemsOf(event.currentTarget as HTMLElement);
  const at = items.indexOf(document.activeElement as HTMLElement);
  items[(at + step + items.length) % items.length]?.focus();
}

function itemsOf(menu: HTMLElement): HTMLElement[] {
  return [...menu.querySelectorAll<HTMLElement>("[role=menuitem]")];
}
