// The frame around every view: who is signed in, whether the server answers, what was just done.

import { useEffect, useState } from "preact/hooks";

import { isAway } from "./connection";
import { useKeys } from "./keys";
import { dismiss, notices } from "./notices";
import { Button } from "./parts/button";
import { Icon, Logo } from "./parts/icons";
import { href, route } from "./route";
import { key, signOut } from "./session";
import { useCell } from "./store";
import { switchTheme, theme } from "./theme";
import { ContainerView } from "./views/container";
import { Containers } from "./views/containers";
import { Lines } from "./views/lines";
import { Shortcuts } from "./views/shortcuts";
import { SignIn } from "./views/sign_in";

export function App() {
  const secret = useCell(key);
  return (
    <>
      <Away />
      {secret === null ? <SignIn /> : <SignedIn key={secret} />}
      <Notices />
    </>
  );
}

function SignedIn() {
  const at = useCell(route);
  const [shown, setShown] = useState<"lines" | "shortcuts" | null>(null);
  useKeys({ "?": () => setShown("shortcuts"), c: () => setShown("lines") });
  useEffect(() => {
    if (at.view === "containers") document.title = "Containers – Atoll";
  }, [at.view]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href({ view: "containers" })}>
          <Logo />
          <span>Atoll</span>
        </a>
        <nav aria-label="Page">
          <Button kind="quiet" icon="code" label="Code for what was just done" onPress={() => setShown("lines")}>
            Code
          </Button>
          <Button kind="quiet" icon="keyboard" label="Keyboard shortcuts" onPress={() => setShown("shortcuts")} />
          <ThemeSwitch />
          <Button kind="quiet" icon="leave" label="Sign out" onPress={() => signOut()} />
        </nav>
      </header>
      <main id="main" tabIndex={-1}>
        {at.view === "containers" ? <Containers /> : <ContainerView key={at.id} id={at.id} tab={at.tab} />}
      </main>
      {shown === "lines" && <Lines onClose={() => setShown(null)} />}
      {shown === "shortcuts" && <Shortcuts onClose={() => setShown(null)} />}
    </>
  );
}

/** The address names the view, so the link must not change it. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

export function ThemeSwitch() {
  const isDark = useCell(theme) === "dark";
  return (
    <Button
      kind="quiet"
      icon={isDark ? "sun" : "moon"}
      label={isDark ? "Switch to light" : "Switch to dark"}
      onPress={switchTheme}
    />
  );
}

function Away() {
  const away = useCell(isAway);
  return (
    <div class="away" role="status" hidden={!away}>
      {away && `The server at ${location.host} does not answer. The page goes on when it is back; cells that were running are broken off.`}
    </div>
  );
}

function Notices() {
  const shown = useCell(notices);
  return (
    <div class="notices" role="log" aria-label="Messages">
      {shown.map(({ number, kind, text }) => (
        <div key={number} class={`notice ${kind}`}>
          <span>{text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(number)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
