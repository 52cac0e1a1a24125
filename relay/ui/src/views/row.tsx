/** Shows one machine in the list: its presence, its names, whose it is and who is on it. */

import type { JSX } from "preact";
import type { App } from "../app.ts";
import type { Machine } from "../protocol.ts";
import { presence, whoIsOn } from "../words.ts";
import { Actions, type Asked } from "./actions.tsx";
import { Lock } from "./glyphs.tsx";

interface RowProps {
  app: App;
  machine: Machine;
  index: number;
  chosen: boolean;
  opened: boolean;
  now: number;
  ask: (asked: Asked) => void;
}

export function Row({ app, machine, index, chosen, opened, now, ask }: RowProps): JSX.Element {
  const on = whoIsOn(machine);
  const names = ["row", machine.state];
  if (on) names.push("in-use");
  if (chosen) names.push("chosen");
  if (opened) names.push("opened");
  return (
    <div
      id={`machine-${machine.id}`}
      class={names.join(" ")}
      role="row"
      aria-rowindex={index + 1}
      aria-selected={chosen || opened}
      onClick={() => app.go({ at: "machines", machine: machine.id })}
    >
      <span class="row-dot" role="gridcell">
        <span class={`dot ${machine.state}`} role="img" aria-label={machine.state} />
      </span>
      <span class="row-names" role="gridcell">
        <span class="row-name">
          {machine.name}
          {machine.visibility === "PRIVATE" && (
            <span class="private" title="Private">
              <Lock />
              <span class="unseen">private</span>
            </span>
          )}
          {machine.shadowedBy && <span class="tag">name taken over</span>}
        </span>
        <span class="row-hostname">{machine.hostname}</span>
      </span>
      <span class="row-owner" role="gridcell">
        {machine.owner?.name ?? "workspace"}
      </span>
      <span class="row-state" role="gridcell">
        {on ? <span class="row-on">{on}</span> : <span class="row-presence">{presence(machine, now)}</span>}
        {on && machine.state !== "live" && <span class="row-presence">{presence(machine, now)}</span>}
      </span>
      <span class="row-actions" role="gridcell">
        <Actions app={app} machine={machine} ask={ask} />
      </span>
    </div>
  );
}
