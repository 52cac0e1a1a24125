/** Shows what one may do to a machine from its row or panel: rename, share or hide, revoke; each asks first. */

import type { JSX } from "preact";
import { api } from "../api.ts";
import type { App } from "../app.ts";
import type { Machine } from "../protocol.ts";
import { Dialog } from "./dialog.tsx";
import { More } from "./glyphs.tsx";
import { type Item, Menu } from "./menu.tsx";

const NAME_CHARACTERS = 63;

export interface Asked {
  what: "rename" | "visibility" | "revoke";
  machine: Machine;
}

/** The menu at a machine; what it asks is shown by the page, because a row may scroll out of existence. */
export function Actions({
  app,
  machine,
  ask,
}: {
  app: App;
  machine: Machine;
  ask: (asked: Asked) => void;
}): JSX.Element {
  const copy = (): void => void navigator.clipboard?.writeText(machine.id).then(() => app.tell("The id is copied."));
  const items: Item[] = [{ text: "Copy the id", run: copy }];
  if (machine.can?.includes("manage")) {
    const hide = machine.visibility === "SHARED";
    items.push({ text: "Rename…", run: () => ask({ what: "rename", machine }) });
    if (machine.owner)
      items.push({ text: hide ? "Make private…" : "Share…", run: () => ask({ what: "visibility", machine }) });
    items.push({ text: "Revoke…", danger: true, run: () => ask({ what: "revoke", machine }) });
  }
  return (
    <Menu label={`Actions for ${machine.name}`} items={items}>
      <More />
    </Menu>
  );
}

export function Question({ app, asked, close }: { app: App; asked: Asked; close: () => void }): JSX.Element {
  switch (asked.what) {
    case "rename":
      return <Rename machine={asked.machine} close={close} />;
    case "visibility":
      return <Visibility machine={asked.machine} close={close} />;
    case "revoke":
      return <Revoke app={app} machine={asked.machine} close={close} />;
  }
}

function Rename({ machine, close }: { machine: Machine; close: () => void }): JSX.Element {
  const confirm = async (fields: FormData): Promise<void> => {
    await api.rename(machine.id, String(fields.get("name")).trim());
  };
  return (
    <Dialog title={`Rename ${machine.name}`} action="Rename" confirm={confirm} close={close}>
      <p>The old name still finds it for a day.</p>
      <label class="labelled">
        Name
        <input
          class="field"
          name="name"
          required
          maxLength={NAME_CHARACTERS}
          defaultValue={machine.name}
          autofocus
          spellcheck={false}
        />
      </label>
    </Dialog>
  );
}

function Visibility({ machine, close }: { machine: Machine; close: () => void }): JSX.Element {
  const hide = machine.visibility === "SHARED";
  const confirm = async (): Promise<void> => {
    await api.setVisibility(machine.id, hide ? "PRIVATE" : "SHARED");
  };
  return (
    <Dialog
      title={hide ? `Make ${machine.name} private?` : `Share ${machine.name}?`}
      action={hide ? "Make private" : "Share"}
      confirm={confirm}
      close={close}
    >
      <p>
        {hide
          ? `Only ${machine.owner?.name ?? "its owner"} will see it. Everybody else who is on it now is disconnected.`
          : `Everybody in ${machine.workspaceName} will see it, and members can open sessions on it.`}
      </p>
    </Dialog>
  );
}

function Revoke({ app, machine, close }: { app: App; machine: Machine; close: () => void }): JSX.Element {
  const confirm = async (): Promise<void> => {
    const { unconfirmedNodes, refusedEverywhere } = await api.revoke(machine.id);
    app.tell(
      refusedEverywhere === false
        ? `${machine.name} is revoked, but Redis cannot be told yet. Nodes that cannot read the registry may keep it until then.`
        : unconfirmedNodes.length > 0
          ? `${machine.name} is revoked. Not every node has confirmed yet; they will within seconds.`
          : `${machine.name} is revoked.`,
    );
    const { place } = app.view.value;
    if (place.at === "machines" && place.machine === machine.id) app.go({ at: "machines" });
  };
  return (
    <Dialog title={`Revoke ${machine.name}?`} action="Revoke" danger confirm={confirm} close={close}>
      <p>
        It is disconnected at once, its sessions end, and it cannot come back by itself. To use it again, somebody has
        to register it again on the machine.
      </p>
    </Dialog>
  );
}
