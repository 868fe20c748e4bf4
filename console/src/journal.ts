// What the person has just done, as requests: `lines` shows each as curl and as Python.

import { key } from "./session";
import { Cell } from "./store";

export interface Done {
  number: number;
  title: string;
  method: string;
  path: string;
  body?: unknown;
  /** The name of the file that was sent as a form. */
  file?: string;
  /** What went with it in the form. */
  fields?: Record<string, string>;
  /** The name that what came back was saved under. */
  saved?: string;
}

const KEPT = 30;
let number = 0;

export const journal = new Cell<readonly Done[]>([]);

export function note(done: Omit<Done, "number">): void {
  number += 1;
  journal.set([{ ...done, body: withoutSecrets(done.body), number }, ...journal.get()].slice(0, KEPT));
}

/** It belongs to whoever had the key. */
key.subscribe(() => journal.set([]));

/** Secrets of domains are in no line that is shown or copied. */
function withoutSecrets(body: unknown): unknown {
  if (body === undefined) return undefined;
  return JSON.parse(JSON.stringify(body), (name, value: unknown) =>
    name === "domain_secrets" && Array.isArray(value) ? value.map((one: object) => ({ ...one, value: "…" })) : value,
  ) as unknown;
}
