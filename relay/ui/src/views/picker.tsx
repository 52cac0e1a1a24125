/** Shows the machines: found by typing, moved through by arrows, opened by Enter; only rows in sight exist. */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Fleet } from "../fleet.ts";
import type { Machine } from "../protocol.ts";
import { isShort, matcher } from "../search.ts";
import { useStore } from "../store.ts";
import { rowsInSight, scrollTo } from "../window.ts";
import { type Asked, Question } from "./actions.tsx";
import { useNow } from "./clock.ts";
import { Lens } from "./glyphs.tsx";
import { Panel } from "./panel.tsx";
import { Row } from "./row.tsx";

const ROW_PIXELS = 64; // as in picker.css
const VISIBLE_ROWS = 200; // as many as the relay tells last-seen times of
const SETTLE_MS = 300; // a scroll has come to rest
const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }; // rows per key

export function Picker({ app }: { app: App }): JSX.Element {
  const fleet = useStore(app.machines.store);
  const { place, workspace } = useStore(app.view);
  const now = useNow() + fleet.skewMs;
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  const [asked, setAsked] = useState<Asked | null>(null);
  const found = useMemo(() => find(fleet.machines, query), [fleet.machines, query]);
  const opened = place.at === "machines" ? place.machine : undefined;
  const at = found.findIndex((machine) => machine.id === chosen);
  const press = (event: KeyboardEvent): void => {
    const step = STEPS[event.key];
    const meant = found[at] ?? (query === "" ? undefined : found[0]);
    if (step !== undefined) {
      event.preventDefault();
      setChosen(found[Math.min(found.length - 1, Math.max(0, at + step))]?.id ?? null);
    } else if (event.key === "Enter" && meant) app.go({ at: "machines", machine: meant.id });
    else if (event.key === "Escape" && query !== "") setQuery("");
    else if (event.key === "Escape" && opened) app.go({ at: "machines" });
    else if (event.key === "Escape") (event.target as HTMLElement).blur();
  };
  const type = (text: string): void => {
    setQuery(text);
    setChosen(null);
  };
  const unsure = !fleet.settled && fleet.machines.some((machine) => machine.state !== "live");
  return (
    <main class={opened ? "picker with-panel" : "picker"}>
      <h1 class="unseen">Machines of {workspace?.name}</h1>
      <section class="list-side" aria-label="Machines">
        <SearchField query={query} active={found[at]?.id} type={type} press={press} />
        <p class="count" role="status">
          {summary(fleet, query === "" || isShort(query) ? null : found.length)}
          {isShort(query) && " Type one more letter to look inside names."}
        </p>
        {unsure && <p class="banner">The relay has just started. Machines report back within half a minute.</p>}
        {fleet.known && fleet.machines.length === 0 ? (
          <Empty />
        ) : (
          <Rows
            app={app}
            machines={found}
            chosen={found[at]?.id}
            opened={opened}
            now={now}
            ask={setAsked}
            press={press}
          />
        )}
      </section>
      {opened && <Panel key={opened} app={app} id={opened} now={now} ask={setAsked} />}
      {asked && <Question app={app} asked={asked} close={() => setAsked(null)} />}
    </main>
  );
}

interface SearchProps {
  query: string;
  active: string | undefined; // the id of the row that the arrows are at
  type: (text: string) => void;
  press: (event: KeyboardEvent) => void;
}

function SearchField({ query, active, type, press }: SearchProps): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  useSearchKey(field);
  return (
    <div class="search">
      <Lens />
      <input
        ref={field}
        class="search-field"
        type="text"
        inputMode="search"
        role="combobox"
        aria-label="Find a machine by name, hostname or id"
        aria-expanded="true"
        aria-haspopup="grid"
        aria-controls="machines"
        aria-activedescendant={active && `machine-${active}`}
        placeholder="Find a machine"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        value={query}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={press}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  );
}

interface RowsProps {
  app: App;
  machines: readonly Machine[];
  chosen: string | undefined;
  opened: string | undefined;
  now: number;
  ask: (asked: Asked) => void;
  press: (event: KeyboardEvent) => void;
}

function Rows({ app, machines, chosen, opened, now, ask, press }: RowsProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [scrolled, setScrolled] = useState(0);
  const [height, setHeight] = useState(800);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const row = machines.findIndex((machine) => machine.id === chosen);
    if (row >= 0 && box.current) box.current.scrollTop = scrollTo(row, ROW_PIXELS, box.current.scrollTop, height);
  }, [chosen]);
  const rows = rowsInSight(machines.length, ROW_PIXELS, scrolled, height);
  const shown = machines.slice(rows.first, rows.last);
  const ids = shown.slice(0, VISIBLE_ROWS).map((machine) => machine.id);
  useEffect(() => {
    const timer = setTimeout(() => app.visible(ids), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [ids.join()]);
  return (
    <div
      ref={box}
      class="rows"
      hidden={machines.length === 0}
      onScroll={(event) => setScrolled(event.currentTarget.scrollTop)}
      onKeyDown={press}
    >
      <div
        id="machines"
        class="rows-all"
        role="grid"
        aria-label="Machines"
        aria-rowcount={machines.length}
        style={{ height: `${rows.total}px` }}
      >
        <div class="rows-shown" role="rowgroup" style={{ transform: `translateY(${rows.above}px)` }}>
          {shown.map((machine, index) => (
            <Row
              key={machine.id}
              app={app}
              machine={machine}
              index={rows.first + index}
              chosen={machine.id === chosen}
              opened={machine.id === opened}
              now={now}
              ask={ask}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

function Empty(): JSX.Element {
  return (
    <div class="empty">
      <h2>No machines yet</h2>
      <p>On the machine that you want to reach, install Relay, sign in and let it serve:</p>
      <pre>
        relay login --url {location.origin}
        {"\n"}relay serve
      </pre>
      <p class="quiet">It dials out, so no port has to be opened. It appears here by itself.</p>
    </div>
  );
}

/** What a query shows: machines that it finds; everybody while it is too short to find anybody. */
function find(machines: readonly Machine[], query: string): readonly Machine[] {
  const found = machines.filter(matcher(query));
  return isShort(query) && found.length === 0 ? machines : found;
}

function summary(fleet: Fleet, found: number | null): string {
  const all = fleet.machines.length;
  const online = fleet.machines.reduce((sum, machine) => sum + Number(machine.online), 0);
  if (!fleet.known) return "Asking for the machines…";
  if (all === 0) return "";
  if (found === 0) return "No machine matches.";
  if (found !== null) return found === 1 ? "1 machine matches." : `${found} machines match.`;
  return all === 1 ? `1 machine, ${online} online.` : `${all} machines, ${online} online.`;
}

/** `/` goes to the search field from anywhere that is not a field itself. */
function useSearchKey(search: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      const typing = target.closest("input, textarea, select, dialog, [contenteditable]");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      search.current?.focus();
      search.current?.select();
    };
    document.addEventListener("keydown", press);
    if (matchMedia("(pointer: fine)").matches) search.current?.focus();
    return () => document.removeEventListener("keydown", press);
  }, []);
}
