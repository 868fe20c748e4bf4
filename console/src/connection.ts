// Whether the server answers. Whoever finds that it does not says so; it is asked again until it does.

import { Cell } from "./store";

const PAUSE_MS = 1000;
const PAUSE_MS_MAX = 30_000;
/** Lost again within this time, something else than the server's absence may be behind it: it is asked less and less often. */
const STEADY_MS = 10_000;

export const isAway = new Cell(false);

/** Counts up each time the server is there again: views load what they show anew. */
export const returns = new Cell(0);

let pauseMs = PAUSE_MS;
let backAt = -Infinity;

export function lost(): void {
  if (isAway.get()) return;
  pauseMs = performance.now() - backAt < STEADY_MS ? Math.min(2 * pauseMs, PAUSE_MS_MAX) : PAUSE_MS;
  isAway.set(true);
  setTimeout(ask, pauseMs);
}

/** Ask the server whether it is there. */
export async function answers(): Promise<boolean> {
  try {
    return (await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(10_000) })).ok;
  } catch {
    return false;
  }
}

async function ask(): Promise<void> {
  if (!(await answers())) {
    setTimeout(ask, PAUSE_MS);
    return;
  }
  backAt = performance.now();
  isAway.set(false);
  returns.set(returns.get() + 1);
}
