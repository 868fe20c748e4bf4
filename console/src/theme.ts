// Light or dark: what the system says, unless the person has switched.

import { Cell } from "./store";

export type Theme = "light" | "dark";

const NAME = "atoll.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme | null {
  const found = localStorage.getItem(NAME);
  return found === "light" || found === "dark" ? found : null;
}

function current(): Theme {
  return chosen() ?? (system.matches ? "dark" : "light");
}

export const theme = new Cell<Theme>(current());

function show(): void {
  theme.set(current());
  document.documentElement.dataset.theme = theme.get();
}

export function switchTheme(): void {
  const wanted: Theme = theme.get() === "dark" ? "light" : "dark";
  // Back at what the system says, there is nothing to remember: it is followed again.
  if (wanted === (system.matches ? "dark" : "light")) localStorage.removeItem(NAME);
  else localStorage.setItem(NAME, wanted);
  show();
}

system.addEventListener("change", show);
show();

/** A colour of the style sheet, for what draws by itself. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
