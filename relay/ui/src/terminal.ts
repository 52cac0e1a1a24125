/** Owns one terminal on the page: xterm.js as the screen of one attachment, its size, its colours and its search. */

import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal as XTerm } from "@xterm/xterm";
import { Attachment } from "./attachment.ts";
import { palette, searchColours } from "./colours.ts";
import type { Size } from "./keyboard.ts";
import type { Screen } from "./reception.ts";
import type { Socket } from "./socket.ts";
import { first, type Standing } from "./standing.ts";
import { Store } from "./store.ts";
import type { Tab } from "./tabs.ts";
import { plain } from "./words.ts";

const SCROLLBACK_ROWS = 10_000; // about what a full ring of the machine holds in short lines
const TITLE_CHARACTERS = 60; // programs may set any title; a tab shows this much
const FONT = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const FONT_PIXELS = 14;
// What xterm.js answers by itself: device attributes, cursor position, status, colours, and settings.
const ANSWERS = /^(\x1b\[[?>]?[\d;]*[cRn]|\x1b\]\d+;[^\x07\x1b]*(\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\)+$/;

export interface Found {
  index: number; // -1: none
  count: number;
}

/** One session's screen; lives as long as its tab, also while another tab is shown. */
export class Terminal implements Screen {
  readonly attachment: Attachment;
  readonly standing: Store<Standing>;
  readonly title = new Store("");
  readonly found = new Store<Found>({ index: -1, count: 0 });
  readonly unheard = new Store(0); // counts keys that could go nowhere, so that the view can show it
  readonly #xterm: XTerm;
  readonly #fit = new FitAddon();
  readonly #search = new SearchAddon();
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #recolour = (): void => this.#colour();
  #quiet = false;
  #accelerated = false;
  #observer: ResizeObserver | null = null;

  constructor(tab: Tab, justOpened: boolean, size: Size | null, socket: Socket) {
    this.standing = new Store(first(tab.mode));
    this.title.set(plain(tab.title));
    this.#xterm = new XTerm({
      allowProposedApi: true, // Unicode 11 widths and the marks of a search
      fontFamily: FONT,
      fontSize: FONT_PIXELS,
      lineHeight: 1.15,
      scrollback: SCROLLBACK_ROWS,
      cursorBlink: false,
      macOptionIsMeta: true,
      // Said though they are xterm.js's own defaults: a program must not read the window's title or size back as keys,
      // and a link whose text says something else shows where it leads before it is followed.
      windowOptions: {},
      linkHandler: { activate: followLink, allowNonHttpProtocols: false },
      ...(size ? { cols: size.columns, rows: size.rows } : {}),
    });
    for (const addon of [this.#fit, this.#search, new Unicode11Addon(), new WebLinksAddon(openLink)]) {
      this.#xterm.loadAddon(addon);
    }
    this.#xterm.unicode.activeVersion = "11";
    const where = { machine: tab.machine, session: tab.session, mode: tab.mode, justOpened };
    this.attachment = new Attachment(where, socket, this, (standing) => this.standing.set(standing));
    if (size) this.attachment.keyboard.resize(size);
    this.#xterm.onData((text) => this.#typed(new TextEncoder().encode(text), text));
    this.#xterm.onBinary((text) =>
      this.#typed(
        Uint8Array.from(text, (one) => one.charCodeAt(0)),
        text,
      ),
    );
    this.#xterm.onTitleChange((title) => this.title.set(plain(title).slice(0, TITLE_CHARACTERS)));
    this.#search.onDidChangeResults(({ resultIndex, resultCount }) =>
      this.found.set({ index: resultIndex, count: resultCount }),
    );
    this.#colour();
    this.#dark.addEventListener("change", this.#recolour);
  }

  /** Puts the screen into an element of the page and keeps its size. */
  mount(element: HTMLElement): void {
    if (this.#xterm.element) element.append(this.#xterm.element);
    else this.#xterm.open(element);
    this.#observer?.disconnect();
    this.#observer = new ResizeObserver(() => this.fit());
    this.#observer.observe(element);
    this.fit();
    void this.#accelerate();
  }

  /** Says the size that the window has room for; the screen itself follows the machine's word. */
  fit(): void {
    const room = this.#fit.proposeDimensions();
    if (!room || !Number.isFinite(room.cols) || !Number.isFinite(room.rows)) return;
    const size = { columns: Math.min(room.cols, 1_000), rows: Math.min(room.rows, 1_000) };
    if (size.columns < 2 || size.rows < 1) return;
    if (this.standing.value.phase === "ended") {
      this.resize(this.#xterm.cols, size.rows); // nobody draws on it any more, so it makes room for what is said below
      return;
    }
    lastSize.set(size);
    this.attachment.keyboard.resize(size);
  }

  /** A key that was pressed beside the terminal. */
  press(text: string): void {
    this.#xterm.input(text, true);
    this.focus();
  }

  focus(): void {
    this.#xterm.focus();
  }

  /** Marks all places of a text and goes to the next or previous one. */
  find(text: string, backwards: boolean): void {
    if (text === "") {
      this.#search.clearDecorations();
      this.found.set({ index: -1, count: 0 });
      return;
    }
    const options = { decorations: searchColours(this.#dark.matches) };
    if (backwards) this.#search.findPrevious(text, options);
    else this.#search.findNext(text, options);
  }

  endFind(): void {
    this.find("", false);
    this.#xterm.clearSelection();
    this.focus();
  }

  dispose(): void {
    this.attachment.close();
    this.#observer?.disconnect();
    this.#dark.removeEventListener("change", this.#recolour);
    this.#xterm.dispose();
  }

  write(bytes: Uint8Array, drawn: () => void): void {
    // A page out of sight has its timers slowed to one a minute, and the driver's page would stall the machine. After
    // input xterm.js parses the next bytes at once, without a timer; empty input is no input for anybody else.
    if (document.hidden) {
      this.#xterm.options.scrollOnUserInput = false;
      this.#xterm.input("", true);
      this.#xterm.options.scrollOnUserInput = true;
    }
    this.#xterm.write(bytes, drawn);
  }

  resize(columns: number, rows: number): void {
    this.#xterm.write("", () => this.#xterm.resize(columns, rows));
  }

  clear(because: string): void {
    this.#xterm.write(`\x1bc\x1b[2m── ${because} ──\x1b[22m\r\n`);
  }

  quiet(quiet: boolean): void {
    if (quiet) this.#quiet = true;
    else
      this.#xterm.write("", () => {
        this.#quiet = false;
      });
  }

  #typed(bytes: Uint8Array, text: string): void {
    if (bytes.length === 0) return;
    const answer = ANSWERS.test(text);
    if (answer && (this.#quiet || this.standing.value.keyboard === "other")) return;
    if (!this.attachment.type(bytes) && !answer) this.unheard.set(this.unheard.value + 1);
  }

  #colour(): void {
    this.#xterm.options.theme = palette(this.#dark.matches);
  }

  /** Draws on the graphics card where there is one; a software renderer is slower than plain elements. */
  async #accelerate(): Promise<void> {
    if (this.#accelerated || !hasGraphicsCard()) return;
    this.#accelerated = true;
    try {
      const { WebglAddon } = await import("@xterm/addon-webgl");
      const addon = new WebglAddon();
      addon.onContextLoss(() => addon.dispose());
      this.#xterm.loadAddon(addon);
    } catch {
      // Plain elements draw the same.
    }
  }
}

/** The size of the last screen that was measured: what a new session begins with. */
export const lastSize = new Store<Size | null>(null);

function hasGraphicsCard(): boolean {
  const probe = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!probe) return false;
  const name = probe.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL;
  const renderer = String(probe.getParameter(name ?? probe.RENDERER));
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software/i.test(renderer);
}

/** A link of a program's own making (OSC 8): its text may be anything, so the address is shown first. */
function followLink(event: MouseEvent, address: string): void {
  if (confirm(`Open this address?\n\n${plain(address)}`)) openLink(event, address);
}

function openLink(event: MouseEvent, address: string): void {
  if (event.button === 0) window.open(address, "_blank", "noopener,noreferrer");
}
