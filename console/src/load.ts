// What a view shows and has to be asked for: loaded at first, again when told, and whenever the server is back.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { AwayError } from "./api/client";
import type { ContainerEvent } from "./api/shapes";
import { returns } from "./connection";
import { useCell } from "./store";

export interface Loaded<T> {
  data: T | null;
  error: unknown;
  reload: () => Promise<void>;
}

/** What was shown stays until the next is there. `every` loads it again after so many milliseconds, as long as the page is seen; `needs` are what `load` depends on. */
export function useLoad<T>(load: () => Promise<T>, needs: readonly unknown[], every?: number): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const newest = useRef(0);
  const askedAt = useRef(0);
  const back = useCell(returns);

  const reload = useCallback(async () => {
    newest.current += 1;
    const mine = newest.current;
    askedAt.current = performance.now();
    try {
      const found = await load();
      if (mine !== newest.current) return;
      setData(() => found);
      setError(null);
    } catch (failed) {
      // What is on the page stays while the server is away: the banner says so.
      if (mine === newest.current && !(failed instanceof AwayError)) setError(failed);
    }
  }, needs);

  useEffect(() => {
    void reload();
    return () => {
      newest.current += 1;
    };
  }, [reload, back]);

  useEffect(() => {
    if (every === undefined) return undefined;
    if (performance.now() - askedAt.current > every) void reload(); // it was not seen for a while
    const timer = setInterval(() => document.hidden || void reload(), every);
    return () => clearInterval(timer);
  }, [reload, every]);

  return { data, error, reload };
}

const SOON_MS = 200;

/** Give a function that calls `load` shortly after it is called: once for many calls, and never while the last one goes on. */
export function useSoon(load: () => Promise<void>): () => void {
  const newest = useRef(load);
  newest.current = load;
  const at = useRef<"rest" | "waiting" | "loading" | "loading, wanted again">("rest");
  return useCallback(() => {
    const wait = (ms: number): void => {
      at.current = "waiting";
      setTimeout(() => void go(), ms);
    };
    const go = async (): Promise<void> => {
      at.current = "loading";
      const beganAt = performance.now();
      await newest.current().catch(() => undefined); // whoever loads shows what went wrong
      const tookMs = performance.now() - beganAt;
      if (at.current === "loading") at.current = "rest";
      else wait(Math.max(SOON_MS, 2 * tookMs)); // what takes long is not done all the time
    };
    if (at.current === "rest") wait(SOON_MS);
    else if (at.current === "loading") at.current = "loading, wanted again";
  }, []);
}

/** Load when there has been another one of the events named, as long as it is shown, and what was missed when it is again. */
export function useReloadOn(type: string, events: readonly ContainerEvent[], isShown: boolean, load: () => Promise<void>): void {
  const soon = useSoon(load);
  const last = events.findLast((event) => event.type === type)?.id;
  const seen = useRef(last);
  useEffect(() => {
    if (!isShown || last === seen.current) return;
    seen.current = last;
    soon();
  }, [last, isShown]);
}

/** Give the time in seconds, anew each second. */
export function useNow(now: () => number): number {
  const [at, setAt] = useState(now);
  useEffect(() => {
    const timer = setInterval(() => setAt(now()), 1000);
    return () => clearInterval(timer);
  }, [now]);
  return at;
}
