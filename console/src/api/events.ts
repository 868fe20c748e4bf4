// A container's events as they happen, picked up where they were left when the connection breaks. A page that nobody sees
// lets go of its connection: browsers have six for all pages of a server together.

import { isAway, returns } from "../connection";
import { key } from "../session";
import { RefusedError, send } from "./client";
import type { ContainerEvent } from "./shapes";
import { readEvents } from "./sse";

const PAUSE_MS = 1000;

/** Hand on what the server still remembers and then each event; give what ends it. */
export function watch(id: string, take: (event: ContainerEvent) => void): () => void {
  const ending = new AbortController();
  void follow(id, take, ending.signal);
  return () => ending.abort();
}

async function follow(id: string, take: (event: ContainerEvent) => void, signal: AbortSignal): Promise<void> {
  let last = "";
  for (;;) {
    await untilSeen(signal);
    if (signal.aborted || key.get() === null) return;
    const path = `/containers/${id}/events${last ? "" : "?after=start"}`;
    const connection = new AbortController();
    const leave = (): void => {
      if (signal.aborted || document.hidden) connection.abort();
    };
    signal.addEventListener("abort", leave);
    document.addEventListener("visibilitychange", leave);
    try {
      const headers: Record<string, string> = last ? { "Last-Event-ID": last } : {};
      const answer = await send("GET", path, { signal: connection.signal, headers });
      if (answer.body) {
        for await (const event of readEvents(answer.body)) {
          last = event.id || last;
          const told = JSON.parse(event.data) as ContainerEvent;
          take(told);
          if (told.type === "container.deleted" || told.type === "container.expired") return;
        }
      }
    } catch (error) {
      // 404 and 400: it is gone or has expired. An answer that is refused for want of room is asked for again.
      if (error instanceof RefusedError && error.status < 429) return;
    } finally {
      signal.removeEventListener("abort", leave);
      document.removeEventListener("visibilitychange", leave);
    }
    if (!signal.aborted && !document.hidden) await pause(signal);
  }
}

function untilSeen(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** Wait a moment, or until the server is back. */
function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const release = (): void => {
      clearTimeout(timer);
      unsubscribe();
      signal.removeEventListener("abort", release);
      resolve();
    };
    const unsubscribe = returns.subscribe(release);
    const timer = setTimeout(() => isAway.get() || release(), PAUSE_MS);
    signal.addEventListener("abort", release);
  });
}
