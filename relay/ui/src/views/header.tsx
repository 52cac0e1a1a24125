/** Shows the top of the page: tabs, the workspace, the person, and the state of the connection, always. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, type Link, type Me } from "../api.ts";
import type { App } from "../app.ts";
import { type Place, write } from "../place.ts";
import type { Workspace } from "../protocol.ts";
import { said } from "../signing.ts";
import { useStore } from "../store.ts";
import type { Tab } from "../tabs.ts";
import { connectionWords } from "../words.ts";
import { Dialog, Told } from "./dialog.tsx";
import { Cross, Down, Mark, Person } from "./glyphs.tsx";
import { Menu } from "./menu.tsx";

export function Header({ app }: { app: App }): JSX.Element {
  const { place, workspace } = useStore(app.view);
  const tabs = useStore(app.desk.tabs);
  return (
    <header class="header">
      <a class="brand" href="#/" aria-label="Relay: machines">
        <Mark />
        <span class="brand-name">Relay</span>
      </a>
      <nav class="tabs" aria-label="Machines and open sessions">
        <PlaceLink place={place} to={{ at: "machines" }} text="Machines" />
        {tabs.map((tab) => {
          const shown = place.at === "session" && place.session === tab.session;
          return <TabLink key={tab.session} app={app} tab={tab} shown={shown} />;
        })}
      </nav>
      <Connected app={app} />
      {workspace && app.me && <WorkspaceMenu app={app} me={app.me} shown={workspace} />}
      {app.me && <AccountMenu app={app} me={app.me} />}
    </header>
  );
}

function WorkspaceMenu({ app, me, shown }: { app: App; me: Me; shown: Workspace }): JSX.Element {
  const [asking, setAsking] = useState(false);
  const items = me.workspaces.map((each) => ({
    text: each.id === shown.id ? `${each.name} (shown)` : each.name,
    run: () => app.chooseWorkspace(each.id),
  }));
  items.push({ text: "Members and keys", run: () => app.go({ at: "team" }) });
  items.push({ text: "New workspace…", run: () => setAsking(true) });
  return (
    <>
      <Menu label={`Workspace ${shown.name}`} class="chooser" items={items}>
        <span class="chooser-text">{shown.name}</span>
        <Down />
      </Menu>
      {asking && (
        <Dialog
          title="New workspace"
          action="Create"
          confirm={(fields) => app.createWorkspace(String(fields.get("name")).trim())}
          close={() => setAsking(false)}
        >
          <label class="labelled">
            Name
            <input class="field" name="name" required maxLength={200} autofocus />
          </label>
        </Dialog>
      )}
    </>
  );
}

function AccountMenu({ app, me }: { app: App; me: Me }): JSX.Element {
  const [link, setLink] = useState<Link | null>(null);
  const makeLink = (): void =>
    void api.signInLink().then(setLink, (error: unknown) => {
      app.tell(said(error));
    });
  return (
    <>
      <Menu
        label={`Account of ${me.user.name}`}
        head={<p class="menu-head">{me.user.name}</p>}
        items={[
          { text: "Link for another device…", run: makeLink },
          { text: "Sign out", run: () => void app.signOut() },
        ]}
      >
        <Person />
      </Menu>
      {link && (
        <Told
          title="Link for another device"
          text="Open this link there within the hour. It signs you in once; do not give it to anybody."
          value={link.url}
          close={() => setLink(null)}
        />
      )}
    </>
  );
}

function PlaceLink({ place, to, text }: { place: Place; to: Place; text: string }): JSX.Element {
  const shown = place.at !== "session";
  return (
    <span class={shown ? "tab shown" : "tab"}>
      <a class="tab-link" href={write(to)} aria-current={shown ? "page" : undefined}>
        {text}
      </a>
    </span>
  );
}

function TabLink({ app, tab, shown }: { app: App; tab: Tab; shown: boolean }): JSX.Element {
  const terminal = app.desk.terminal(tab.session);
  return (
    <span class={shown ? "tab shown" : "tab"}>
      <a
        class="tab-link"
        href={write({ at: "session", machine: tab.machine, session: tab.session })}
        aria-current={shown ? "page" : undefined}
      >
        {terminal && <TabDot terminal={terminal} />}
        <span class="tab-name">{tab.name || "session"}</span>
        {terminal && <TabTitle terminal={terminal} />}
      </a>
      <button
        type="button"
        class="tab-close"
        aria-label={`Close the tab of ${tab.name || "this session"}`}
        onClick={() => app.closeTab(tab.session)}
      >
        <Cross />
      </button>
    </span>
  );
}

type Shown = NonNullable<ReturnType<App["desk"]["terminal"]>>;

function TabDot({ terminal }: { terminal: Shown }): JSX.Element {
  const { phase } = useStore(terminal.standing);
  const state = phase === "attached" ? "live" : phase === "ended" || phase === "refused" ? "offline" : "degraded";
  return <span class={`dot ${state}`} aria-hidden="true" />;
}

function TabTitle({ terminal }: { terminal: Shown }): JSX.Element | null {
  const title = useStore(terminal.title);
  return title ? <span class="tab-title">{title}</span> : null;
}

function Connected({ app }: { app: App }): JSX.Element {
  const connection = useStore(app.connection);
  const state = connection.state === "open" ? "live" : connection.state === "stopped" ? "offline" : "degraded";
  const words = connectionWords(connection);
  return (
    <div class={`connection ${state}`}>
      <span class={`dot ${state}`} aria-hidden="true" />
      <span class="connection-words" role="status">
        {words}
      </span>
      {connection.state === "waiting" && (
        <button type="button" class="link-button" onClick={() => app.hurry()}>
          Try now
        </button>
      )}
    </div>
  );
}
