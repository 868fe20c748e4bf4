// Whether the server answers. Whoever finds that it does not says so; it is asked again until it does.

import { Cell } from "./store";

const PAUSE_MS = 1000;

export const isAway = new Cell(false);

/** Counts up each time the server is there again: views load what they show anew. */
export const returns = new Cell(0);

export function lost(): void {
  if (isAway.get()) return;
  isAway.set(true);
  setTimeout(ask, PAUSE_MS);
}

async function ask(): Promise<void> {
  try {
    const answer = await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (answer.ok) {
      isAway.set(false);
      returns.set(returns.get() + 1);
      return;
    }
  } catch {
    // Not yet.
  }
  setTimeout(ask, PAUSE_MS);
}
