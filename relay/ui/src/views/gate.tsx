/** Shows what stands before the page: waiting, signing in, an invitation, the approval of a terminal. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { api } from "../api.ts";
import type { App } from "../app.ts";
import { said } from "../signing.ts";
import { Mark } from "./glyphs.tsx";

function Card({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <main class="gate">
      <div class="card">
        <p class="brand">
          <Mark />
          Relay
        </p>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

export function Loading(): JSX.Element {
  return (
    <main class="gate">
      <p class="quiet" role="status">
        Opening Relay…
      </p>
    </main>
  );
}

export function SignedOut({
  app,
  problem,
  reachable,
}: {
  app: App;
  problem: string | null;
  reachable: boolean;
}): JSX.Element {
  const [link, setLink] = useState("");
  const [wrong, setWrong] = useState(false);
  if (!reachable) {
    return (
      <Card title="The relay does not answer">
        <p>{problem}</p>
        <button type="button" class="button primary wide" onClick={() => void app.start()}>
          Try again
        </button>
      </Card>
    );
  }
  const follow = (event: Event): void => {
    event.preventDefault();
    const fragment = /#(sign-in|invite)=\S+/.exec(link)?.[0];
    setWrong(!fragment);
    if (fragment) location.hash = fragment;
  };
  return (
    <Card title="Sign in">
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <p>Open a sign-in link, or paste it here. It works once.</p>
      <form onSubmit={follow}>
        <label class="labelled">
          Sign-in link
          <input
            class="field"
            type="url"
            autocomplete="off"
            spellcheck={false}
            value={link}
            aria-invalid={wrong}
            onInput={(event) => setLink(event.currentTarget.value)}
          />
        </label>
        {wrong && (
          <p class="problem" role="alert">
            That is not a sign-in link of Relay.
          </p>
        )}
        <button type="submit" class="button primary wide">
          Sign in
        </button>
      </form>
      <p class="quiet hint">
        Where do links come from? <code>relay dev</code> prints one when it starts, a colleague can invite you, and a
        page that is signed in makes one for your other devices.
      </p>
    </Card>
  );
}

export function Invitation({ app }: { app: App }): JSX.Element {
  const { me } = app;
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const accept = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const name = new FormData(event.currentTarget as HTMLFormElement).get("name");
    try {
      await app.accept(typeof name === "string" ? name.trim() : undefined);
    } catch (error) {
      setProblem(said(error));
      setBusy(false);
    }
  };
  return (
    <Card title="You are invited">
      <p>{me ? `Join the workspace as ${me.user.name}?` : "Choose the name that the others will see."}</p>
      <form onSubmit={(event) => void accept(event)}>
        {!me && (
          <label class="labelled">
            Your name
            <input class="field" name="name" required maxLength={200} autocomplete="name" autofocus />
          </label>
        )}
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="button primary wide" disabled={busy}>
          Join
        </button>
        {me && (
          <button type="button" class="button wide" onClick={() => app.dismissArrival()}>
            Not now
          </button>
        )}
      </form>
    </Card>
  );
}

export function Device({ app, code }: { app: App; code: string }): JSX.Element {
  const [done, setDone] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const answer = async (deny: boolean): Promise<void> => {
    setProblem(null);
    try {
      const { approved, client } = await api.approveDevice(code, deny);
      setDone(approved ? `${client} is signed in as ${app.me?.user.name ?? "you"}.` : "That sign-in was refused.");
    } catch (error) {
      setProblem(said(error));
    }
  };
  if (done) {
    return (
      <Card title="Done">
        <p role="status">{done}</p>
        <button type="button" class="button primary wide" onClick={() => app.dismissArrival()}>
          Go to the machines
        </button>
      </Card>
    );
  }
  return (
    <Card title="Sign in a terminal?">
      <p>A terminal asks to be signed in as {app.me?.user.name}. It shows this code:</p>
      <p class="device-code">{code}</p>
      <p class="quiet">Approve only if you started this yourself and the code is the same.</p>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <button type="button" class="button primary wide" onClick={() => void answer(false)}>
        Approve
      </button>
      <button type="button" class="button wide" onClick={() => void answer(true)}>
        Refuse
      </button>
    </Card>
  );
}
