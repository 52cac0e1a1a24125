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
  const create = async (fields: FormData): Promise<void> => {
    const { token } = await api.createKey(workspace.id, String(fields.get("name")).trim());
    await load();
    setTimeout(() => setAsked({ what: "token", token })); // after this dialog has closed
  };
  const revoke = async (key: Key, fields: FormData): Promise<void> => {
    await api.revokeKey(workspace.id, key.id, fields.get("machines") !== null);
    app.tell(`The key ${key.name} is revoked.`);
    await load();
  };
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
          <KeyItem key={key.id} found={key} revoke={() => setAsked({ what: "revoke", key })} />
        ))}
      </ul>
      {asked?.what === "create" && <Create confirm={create} close={close} />}
      {asked?.what === "token" && (
        <Told
          title="The new key"
          text="Keep it where your machines read it. It is not shown again."
          value={asked.token}
          close={close}
        />
      )}
      {asked?.what === "revoke" && (
        <Revoke found={asked.key} confirm={(fields) => revoke(asked.key, fields)} close={close} />
      )}
    </section>
  );
}

function KeyItem({ found, revoke }: { found: Key; revoke: () => void }): JSX.Element {
  return (
    <li class="person">
      <span class="person-name">{found.name}</span>
      <span class="quiet">
        made {ago(Date.now() - Date.parse(found.createdAt))} by {found.createdBy}
      </span>
      <button type="button" class="button small" aria-label={`Revoke ${found.name}`} onClick={revoke}>
        Revoke
      </button>
    </li>
  );
}

interface AskProps {
  confirm: (fields: FormData) => Promise<void>;
  close: () => void;
}

function Create({ confirm, close }: AskProps): JSX.Element {
  return (
    <Dialog title="New workspace key" action="Create" confirm={confirm} close={close}>
      <label class="labelled">
        What is it for?
        <input class="field" name="name" required maxLength={200} autofocus placeholder="build machines" />
      </label>
    </Dialog>
  );
}

function Revoke({ found, confirm, close }: AskProps & { found: Key }): JSX.Element {
  return (
    <Dialog title={`Revoke the key ${found.name}?`} action="Revoke" danger confirm={confirm} close={close}>
      <p>Scripts that use it are refused at once.</p>
      <label class="choice">
        <input type="checkbox" name="machines" />
        <span>Revoke the machines that were registered with it, too</span>
      </label>
    </Dialog>
  );
}
