/** Shows one session: its screen, who has the keyboard, how it stands, and a search in what is on it. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Standing } from "../standing.ts";
import { useStore } from "../store.ts";
import type { Tab } from "../tabs.ts";
import type { Terminal } from "../terminal.ts";
import { ending, plain } from "../words.ts";
import { Find } from "./find.tsx";
import { Cross, Eye, Keys, Lens } from "./glyphs.tsx";
import { TouchKeys } from "./touchkeys.tsx";

export function ScreenView({ app, tab, shown }: { app: App; tab: Tab; shown: boolean }): JSX.Element | null {
  const terminal = app.desk.terminal(tab.session);
  return terminal ? <Session app={app} tab={tab} terminal={terminal} shown={shown} /> : null;
}

interface SessionProps {
  app: App;
  tab: Tab;
  terminal: Terminal;
  shown: boolean;
}

function Session({ app, tab, terminal, shown }: SessionProps): JSX.Element {
  const standing = useStore(terminal.standing);
  const box = useRef<HTMLDivElement>(null);
  const [finding, setFinding] = useState(false);
  useEffect(() => {
    if (!shown || !box.current) return;
    terminal.mount(box.current);
    terminal.focus();
  }, [shown, terminal]);
  const press = (event: KeyboardEvent): void => {
    const wanted = event.key.toLowerCase() === "f" && ((event.ctrlKey && event.shiftKey) || event.metaKey);
    if (!wanted) return;
    event.preventDefault();
    event.stopPropagation();
    setFinding(true);
  };
  const endFind = (): void => {
    setFinding(false);
    terminal.endFind();
  };
  return (
    <main class="session-view" hidden={!shown} onKeyDownCapture={press} aria-label={`Session on ${tab.name}`}>
      <div class="toolbar">
        <h1 class="toolbar-name">{tab.name || "Session"}</h1>
        <Keyboard app={app} tab={tab} terminal={terminal} standing={standing} />
        <button
          type="button"
          class="icon-button"
          aria-label="Find in the terminal"
          title="Find (Ctrl Shift F)"
          onClick={() => setFinding(!finding)}
        >
          <Lens />
        </button>
      </div>
      {finding && <Find terminal={terminal} close={endFind} />}
      <div class="over-screen">
        {standing.phase !== "ended" && <State app={app} tab={tab} standing={standing} />}
        {standing.note && (
          <p class="banner note" role="status">
            <span>{standing.note}</span>
            <button
              type="button"
              class="icon-button"
              aria-label="Dismiss"
              onClick={() => terminal.attachment.dismissNote()}
            >
              <Cross />
            </button>
          </p>
        )}
      </div>
      <div class="screen">
        <div ref={box} class="screen-box" />
      </div>
      {standing.phase === "ended" && <State app={app} tab={tab} standing={standing} />}
      <TouchKeys terminal={terminal} />
    </main>
  );
}

function Keyboard({
  app,
  tab,
  terminal,
  standing,
}: {
  app: App;
  tab: Tab;
  terminal: Terminal;
  standing: Standing;
}): JSX.Element | null {
  const unheard = useStore(terminal.unheard);
  const [flash, setFlash] = useState(false);
  useEffect(() => {
    if (unheard === 0) return;
    setFlash(true);
    const timer = setTimeout(() => setFlash(false), 600);
    return () => clearTimeout(timer);
  }, [unheard]);
  if (standing.phase === "ended" || standing.phase === "refused") return <span class="keyboard" />;
  const watch = standing.mode === "watch";
  const who = plain(standing.operator?.user ?? "Somebody else");
  const words = {
    me: "You have the keyboard",
    nobody: "The keyboard is free",
    other: `${who} has the keyboard`,
  };
  const attached = standing.phase === "attached" || standing.phase === "catching-up";
  const mayDrive = app.machines.find(tab.machine)?.can?.includes("drive") ?? true;
  return (
    <span class={flash ? "keyboard flash" : "keyboard"}>
      <span class="keyboard-words" role="status">
        {watch ? "Watching" : attached ? words[standing.keyboard] : ""}
      </span>
      {mayDrive && (watch || (attached && standing.keyboard === "other")) && (
        <button
          type="button"
          class="button small"
          onClick={() => {
            if (watch) app.desk.become(tab.session, "drive");
            else terminal.attachment.take();
            terminal.focus();
          }}
        >
          <Keys />
          {watch ? "Join" : "Take the keyboard"}
        </button>
      )}
      {!watch && (
        <button type="button" class="button small" onClick={() => app.desk.become(tab.session, "watch")}>
          <Eye />
          Only watch
        </button>
      )}
    </span>
  );
}

function State({ app, tab, standing }: { app: App; tab: Tab; standing: Standing }): JSX.Element | null {
  const name = tab.name || "The machine";
  const begin = (): void => {
    const machine = app.machines.find(tab.machine);
    if (!machine) return;
    void app.openSession(machine).then((problem) => {
      if (problem) app.tell(problem.message);
    });
  };
  switch (standing.phase) {
    case "attached":
      return null;
    case "connecting":
      return <Banner late text="Connecting to the session… What you type is sent when it is back." />;
    case "catching-up":
      return <Banner late text="Catching up…" />;
    case "away":
      return <Banner text={`${name} is not connected. The session continues here when it returns.`} />;
    case "refused":
      return (
        <Banner text={standing.problem ?? "This session cannot be shown."}>
          <button type="button" class="button small" onClick={() => app.closeTab(tab.session)}>
            Close tab
          </button>
        </Banner>
      );
    case "ended":
      return (
        <Banner text={`Session ${standing.exit ? ending(standing.exit) : "ended"}.`}>
          <button type="button" class="button small" onClick={begin}>
            New session
          </button>
          <button type="button" class="button small" onClick={() => app.closeTab(tab.session)}>
            Close tab
          </button>
        </Banner>
      );
  }
}

/** A line over the screen; a `late` one is not seen if what it says passes within a moment. */
function Banner({
  text,
  late,
  children,
}: {
  text: string;
  late?: boolean;
  children?: JSX.Element | JSX.Element[];
}): JSX.Element {
  return (
    <div class={late ? "banner late" : "banner"}>
      <span role="status">{text}</span>
      {children}
    </div>
  );
}
