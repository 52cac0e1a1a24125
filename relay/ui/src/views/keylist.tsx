/** Shows a workspace's keys: what machines and scripts sign in with. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, type Key } from "../api.ts";
import type { App } from "../app.ts";
import type { Workspace } from "../protocol.ts";
import { said } from "../signing.ts";
import { ago } from "../words.ts";
import { Dialog, Told } from "./dialog.tsx";

type Asked = null | { what: "create" } | { what: "token"; token: string } | { what: "revoke"; key: Key };

export function KeyList({ app, workspace }: { app: App; workspace: Workspace }): JSX.Element {
  const [keys, setKeys] = useState<Key[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [asked, setAsked] = useState<Asked>(null);
  const close = (): void => setAsked(null);
  const load = (): Promise<void> =>
    api.keys(workspace.id).then(
      (found) => setKeys(found.keys),
      (error: unknown) => setProblem(said(error)),
    );
  useEffect(() => void load(), [workspace.id]);
  return (
    <section aria-labelledby="keys">
      <div class="section-head">
        <h2 id="keys">Workspace keys</h2>
        <button type="button" class="button" onClick={() => setAsked({ what: "create" })}>
          New key…
        </button>
      </div>
      <p class="quiet">Servers and scripts sign in with a key. It may do what a member may, and owns nothing.</p>
      {problem && <p class="problem">{problem}</p>}
      {keys?.length === 0 && <p class="quiet">No keys yet.</p>}
      <ul class="people">
        {keys?.map((key) => (
          <li key={key.id} class="person">
            <span class="person-name">{key.name}</span>
            <span class="quiet">
              made {ago(Date.now() - Date.parse(key.createdAt))} by {key.createdBy}
            </span>
            <button type="button" class="button small" aria-label={`Revoke ${key.name}`} onClick={() => setAsked({ what: "revoke", key })}>
              Revoke
            </button>
          </li>
        ))}
      </ul>
      {asked?.what === "create" && (
        <Dialog
          title="New workspace key"
          action="Create"
          confirm={async (fields) => {
            const { token } = await api.createKey(workspace.id, String(fields.get("name")).trim());
            await load();
            setTimeout(() => setAsked({ what: "token", token }));
          }}
          close={close}
        >
          <label class="labelled">
            What is it for?
            <input class="field" name="name" required maxLength={200} autofocus placeholder="build machines" />
          </label>
        </Dialog>
      )}
      {asked?.what === "token" && (
        <Told title="The new key" text="Keep it where your machines read it. It is not shown again." value={asked.token} close={close} />
      )}
      {asked?.what === "revoke" && (
        <Dialog
          title={`Revoke the key ${asked.key.name}?`}
          action="Revoke"
          danger
          confirm={async (fields) => {
            await api.revokeKey(workspace.id, asked.key.id, fields.get("machines") !== null);
            app.tell(`The key ${asked.key.name} is revoked.`);
            await load();
          }}
          close={close}
        >
          <p>Scripts that use it are refused at once.</p>
          <label class="choice">
            <input type="checkbox" name="machines" />
            <span>Revoke the machines that were registered with it, too</span>
          </label>
        </Dialog>
      )}
    </section>
  );
}
