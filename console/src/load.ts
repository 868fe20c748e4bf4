// What a view shows and has to be asked for: loaded at first, again when told, and whenever the server is back.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { AwayError } from "./api/client";
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
  const back = useCell(returns);

  const reload = useCallback(async () => {
    newest.current += 1;
    const mine = newest.current;
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
    const timer = setInterval(() => document.hidden || void reload(), every);
    return () => clearInterval(timer);
  }, [reload, every]);

  return { data, error, reload };
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
