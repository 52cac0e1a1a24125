/** Shows one machine: what it is, its sessions to come back to, and the way to a new one. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Machine, Session } from "../protocol.ts";
import { said } from "../signing.ts";
import { useStore } from "../store.ts";
import { plain, presence, sessionLine, whoIsOn } from "../words.ts";
import { Actions, type Asked } from "./actions.tsx";
import { Dialog } from "./dialog.tsx";
import { Cross, Plus } from "./glyphs.tsx";

const ENDED_SHOWN = 20; // of the sessions that a machine remembers, the newest

export function Panel({
  app,
  id,
  now,
  ask,
}: {
  app: App;
  id: string;
  now: number;
  ask: (asked: Asked) => void;
}): JSX.Element {
  const fleet = useStore(app.machines.store);
  const connection = useStore(app.connection);
  const machine = app.machines.find(id);
  const close = (): void => app.go({ at: "machines" });
  if (!machine) {
    return (
      <aside class="panel" aria-label="Machine">
        <div class="panel-head">
          <h2>{fleet.known ? "Not here" : "…"}</h2>
          <CloseButton close={close} />
        </div>
        {fleet.known && <p>There is no such machine in this workspace, or you may not see it.</p>}
      </aside>
    );
  }
  return (
    <aside
      class="panel"
      aria-label={`Machine ${machine.name}`}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <div class="panel-head">
        <h2>{machine.name}</h2>
        <Actions app={app} machine={machine} ask={ask} />
        <CloseButton close={close} />
      </div>
      <Facts machine={machine} now={now} />
      <Sessions app={app} machine={machine} now={now} open={connection.state === "open"} />
    </aside>
  );
}

function CloseButton({ close }: { close: () => void }): JSX.Element {
  return (
    <button type="button" class="icon-button" aria-label="Close this machine" onClick={close}>
      <Cross />
    </button>
  );
}

function Facts({ machine, now }: { machine: Machine; now: number }): JSX.Element {
  const on = whoIsOn(machine);
  const labels = Object.entries(machine.labels);
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <span class={`dot ${machine.state}`} aria-hidden="true" /> {presence(machine, now)}
        {machine.offlineReason && <span class="quiet"> ({machine.offlineReason.replaceAll("-", " ")})</span>}
      </dd>
      {on && (
        <>
          <dt>In use by</dt>
          <dd>{on}</dd>
        </>
      )}
      <dt>Hostname</dt>
      <dd class="mono">{machine.hostname}</dd>
      <dt>Owner</dt>
      <dd>{machine.owner?.name ?? "the workspace"}</dd>
      <dt>Seen by</dt>
      <dd>{machine.visibility === "SHARED" ? `everybody in ${machine.workspaceName}` : "its owner only"}</dd>
      <dt>Version</dt>
      <dd>{plain(machine.version)}</dd>
      {labels.length > 0 && (
        <>
          <dt>Labels</dt>
          <dd>
            {labels.map(([key, value]) => (
              <span key={key} class="tag">
                {key}: {value}
              </span>
            ))}
          </dd>
        </>
      )}
    </dl>
  );
}

function Sessions({
  app,
  machine,
  now,
  open,
}: {
  app: App;
  machine: Machine;
  now: number;
  open: boolean;
}): JSX.Element {
  const [sessions, setSessions] = useState<Session[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [opening, setOpening] = useState(false);
  const first = useRef<HTMLButtonElement>(null);
  const may = (what: string): boolean => machine.can?.includes(what) ?? true;
  useEffect(() => {
    let wanted = true;
    if (!open || !machine.connected) return;
    app.listSessions(machine.id).then(
      (found) => wanted && (setSessions(found), setProblem(null)),
      (error: unknown) => wanted && setProblem(said(error)),
    );
    return () => {
      wanted = false;
    };
  }, [machine.id, machine.sessions, machine.connected, machine.activeSession?.sessionId, open]);
  useEffect(() => first.current?.focus(), []);
  const begin = async (): Promise<void> => {
    setOpening(true);
    const failed = await app.openSession(machine);
    setOpening(false);
    if (failed) setProblem(failed.message);
  };
  const live = sessions?.filter((session) => session.endedAt == null) ?? [];
  const ended = sessions?.filter((session) => session.endedAt != null).slice(0, ENDED_SHOWN) ?? [];
  return (
    <>
      {may("drive") && (
        <button
          ref={first}
          type="button"
          class="button primary wide"
          disabled={!machine.connected || !open || opening}
          onClick={() => void begin()}
        >
          <Plus />
          {opening ? "Opening…" : "New session"}
        </button>
      )}
      {!machine.connected && (
        <p class="banner">{machine.name} is not connected. Its sessions are there again when it returns.</p>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {live.length > 0 && <h3>Running sessions</h3>}
      <ul class="sessions">
        {live.map((session) => (
          <SessionItem
            key={session.id}
            app={app}
            machine={machine}
            session={session}
            now={now}
            mayDrive={may("drive")}
          />
        ))}
      </ul>
      {ended.length > 0 && (
        <details class="ended">
          <summary>Ended sessions ({ended.length})</summary>
          <ul class="sessions">
            {ended.map((session) => (
              <li key={session.id} class="session">
                <span class="session-words">
                  <span class="session-title">{plain(session.title || session.kind)}</span>
                  <span class="quiet">{sessionLine(session, now)}</span>
                </span>
                <button type="button" class="button small" onClick={() => app.show(machine, session, "watch")}>
                  Read
                </button>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

interface SessionProps {
  app: App;
  machine: Machine;
  session: Session;
  now: number;
  mayDrive: boolean;
}

function SessionItem({ app, machine, session, now, mayDrive }: SessionProps): JSX.Element {
  const [ending, setEnding] = useState(false);
  const title = session.title || session.kind;
  const end = async (): Promise<void> => {
    const failed = await app.endSession(machine.id, session.id);
    if (failed) throw new Error(failed.message);
  };
  return (
    <li class="session">
      <span class="session-words">
        <span class="session-title">{title}</span>
        <span class="quiet">{sessionLine(session, now)}</span>
      </span>
      {mayDrive && (
        <button
          type="button"
          class="button small"
          aria-label={`Open ${title}`}
          onClick={() => app.show(machine, session, "drive")}
        >
          Open
        </button>
      )}
      <button
        type="button"
        class="button small"
        aria-label={`Watch ${title}`}
        onClick={() => app.show(machine, session, "watch")}
      >
        Watch
      </button>
      {mayDrive && (
        <button type="button" class="button small" aria-label={`End ${title}`} onClick={() => setEnding(true)}>
          End
        </button>
      )}
      {ending && (
        <Dialog title="End this session?" action="End it" danger confirm={end} close={() => setEnding(false)}>
          <p>What runs in it is ended for everybody who is on it.</p>
        </Dialog>
      )}
    </li>
  );
}
