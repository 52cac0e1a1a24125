/** Shows the whole page: a gate, or the header and the place where the person is. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { App } from "../app.ts";
import { useStore } from "../store.ts";
import { Device, Invitation, Loading, SignedOut } from "./gate.tsx";
import { Header } from "./header.tsx";
import { Picker } from "./picker.tsx";
import { ScreenView } from "./screen.tsx";
import { Team } from "./team.tsx";

export function Page({ app }: { app: App }): JSX.Element {
  const { gate, arrival, place, notice } = useStore(app.view);
  const tabs = useStore(app.desk.tabs);
  const shown = place.at === "session" ? tabs.find((tab) => tab.session === place.session) : undefined;
  useEffect(() => {
    document.title = shown?.name ? `${shown.name} · Relay` : "Relay";
  }, [shown?.name]);
  if (gate.at === "loading") return <Loading />;
  if (arrival?.kind === "invite") return <Invitation app={app} />;
  if (gate.at === "signed-out") return <SignedOut app={app} problem={gate.problem} reachable={gate.reachable} />;
  if (arrival?.kind === "device") return <Device app={app} code={arrival.code} />;
  return (
    <div class="page">
      <Header app={app} />
      {place.at === "team" && <Team app={app} />}
      {(place.at === "machines" || (place.at === "session" && !shown)) && <Picker app={app} />}
      {tabs.map((tab) => (
        <ScreenView key={tab.session} app={app} tab={tab} shown={tab === shown} />
      ))}
      {notice && (
        <p class="toast" role="status">
          {notice}
        </p>
      )}
    </div>
  );
}
