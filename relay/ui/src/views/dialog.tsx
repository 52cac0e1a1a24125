/** Shows one question over the page: a confirmation, or a form with a few fields. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { said } from "../signing.ts";

interface Asked {
  title: string;
  children?: ComponentChildren;
  action: string;
  danger?: boolean;
  /** Does it; what it throws is shown, and the dialog stays. */
  confirm: (fields: FormData) => Promise<void>;
  close: () => void;
}

export function Dialog({ title, children, action, danger, confirm, close }: Asked): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await confirm(new FormData(event.currentTarget as HTMLFormElement));
      close();
    } catch (error) {
      setProblem(said(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={element} class="dialog" aria-labelledby={heading} onClose={close}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id={heading}>{title}</h2>
        {children}
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="buttons">
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={danger ? "button danger" : "button primary"} disabled={busy}>
            {action}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** Shows something once that cannot be shown again, with a button that copies it. */
export function Told({
  title,
  text,
  value,
  close,
}: {
  title: string;
  text: string;
  value: string;
  close: () => void;
}): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  const copy = (): void => {
    void navigator.clipboard?.writeText(value).then(() => setCopied(true));
  };
  return (
    <dialog ref={element} class="dialog" aria-labelledby={heading} onClose={close}>
      <h2 id={heading}>{title}</h2>
      <p>{text}</p>
      <input
        class="field secret"
        readOnly
        value={value}
        aria-label={title}
        onFocus={(event) => event.currentTarget.select()}
      />
      <div class="buttons">
        <button type="button" class="button" onClick={copy}>
          {copied ? "Copied" : "Copy"}
        </button>
        <button type="button" class="button primary" onClick={close}>
          Done
        </button>
      </div>
    </dialog>
  );
}
