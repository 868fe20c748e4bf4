// Asks for the key.

import { useEffect, useRef, useState } from "preact/hooks";

import { ThemeSwitch } from "../app";
import { AwayError, refusal, words } from "../api/client";
import { lost } from "../connection";
import { Logo } from "../parts/icons";
import { signIn, signedOutBecause } from "../session";
import { useCell } from "../store";

export function SignIn() {
  const because = useCell(signedOutBecause);
  const [secret, setSecret] = useState("");
  const [isKept, setKept] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []); // browsers heed autofocus only on a page that is new

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      setFailed(await refusedBecause(secret.trim()));
    } catch (error) {
      setFailed(words(error));
    } finally {
      setBusy(false);
    }
  };
  const refusedBecause = async (given: string): Promise<string | null> => {
    if (!given) return "Type or paste a key first.";
    if (!/^[\x20-\x7e]+$/.test(given)) return "A key has only plain ASCII characters; this is another text.";
    let answer: Response;
    try {
      const headers = { Authorization: `Bearer ${given}` };
      answer = await fetch("v1/containers?limit=1", { headers, cache: "no-store", credentials: "omit" });
    } catch {
      lost();
      throw new AwayError();
    }
    if (answer.status === 401) return "This key opens nothing here. Compare it with the one that the server printed.";
    if (!answer.ok) throw refusal(answer.status, await answer.text().catch(() => ""));
    signIn(given, isKept);
    return null;
  };

  return (
    <main class="sign-in">
      <div class="corner">
        <ThemeSwitch />
      </div>
      <form class="card" onSubmit={(event) => void submit(event)}>
        <div class="brand large">
          <Logo />
          <h1>Atoll</h1>
        </div>
        <p class="muted">Containers on {location.host}</p>
        {because && <p class="failure">{because}</p>}
        <label class="field">
          <span>Key</span>
          <input
            type="password"
            name="key"
            autocomplete="off"
            ref={field}
            spellcheck={false}
            placeholder="sk-atoll-…"
            value={secret}
            aria-invalid={failed !== null}
            aria-describedby={failed ? "key-failure" : undefined}
            onInput={(event) => setSecret(event.currentTarget.value)}
          />
        </label>
        {failed && (
          <p id="key-failure" class="failure" role="alert">
            {failed}
          </p>
        )}
        <label class="check">
          <input type="checkbox" checked={isKept} onChange={(event) => setKept(event.currentTarget.checked)} />
          <span>Keep it in this browser, also after it is closed</span>
        </label>
        <button type="submit" class="button main" aria-disabled={isBusy}>
          <span>Sign in</span>
        </button>
        <p class="hint">
          <code>scripts/serve</code> prints a key at its first start; <code>atoll keys create</code> makes more. It is sent to
          this server only.
        </p>
      </form>
    </main>
  );
}
