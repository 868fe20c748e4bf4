// Requests to the server that this page came from, with the person's key.

import { lost } from "../connection";
import { type Done, note } from "../journal";
import { key, signOut } from "../session";
import type { Page } from "./shapes";

/** The server has refused; `message` is its own sentence. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

/** Nobody has answered. */
export class AwayError extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

export interface Asking {
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  /** What the person has done, when it was they and not the page. */
  title?: string;
  done?: Partial<Done>;
}

/** Send a request; give the answer when it has begun. Throws `RefusedError`, `AwayError`, or what aborted it. */
export async function send(method: string, path: string, asking: Asking = {}): Promise<Response> {
  const headers: Record<string, string> = { ...authorization(), ...asking.headers };
  const init: RequestInit = { method, headers, cache: "no-store", credentials: "omit" };
  if (asking.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(asking.body);
  }
  if (asking.signal) init.signal = asking.signal;
  if (asking.title) note({ title: asking.title, method, path, body: asking.body, ...asking.done });
  let answer: Response;
  try {
    answer = await fetch(`v1${path}`, init);
  } catch (error) {
    if (asking.signal?.aborted) throw error;
    lost();
    throw new AwayError();
  }
  heard(answer);
  if (!answer.ok) throw refusal(answer.status, await answer.text().catch(() => ""));
  return answer;
}

export async function ask<T>(method: string, path: string, asking: Asking = {}): Promise<T> {
  const answer = await send(method, path, asking);
  return (await answer.json()) as T;
}

/** Give all items of a list, page after page, but no more than `most`. */
export async function all<T extends { id: string }>(path: string, most = 2000): Promise<T[]> {
  const found: T[] = [];
  let after = "";
  for (;;) {
    const page = await ask<Page<T>>("GET", `${path}?limit=100${after}`);
    found.push(...page.data);
    if (!page.has_more || found.length >= most) return found;
    after = `&after=${page.last_id}`;
  }
}

export function authorization(): Record<string, string> {
  const secret = key.get();
  return secret === null ? {} : { Authorization: `Bearer ${secret}` };
}

/** Read a refusal as the server words it. A key that opens nothing any more ends the session. */
export function refusal(status: number, text: string): RefusedError {
  let error: { message?: string; code?: string | null; param?: string | null } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // A proxy's page, say.
  }
  if (status === 401 && key.get() !== null) signOut("The server does not accept this key any more.");
  return new RefusedError(
    status,
    error.message ?? `The server answered with status ${status}.`,
    error.code ?? null,
    error.param ?? null,
  );
}

let clockAheadMs = 0;

function heard(answer: Response): void {
  const date = Date.parse(answer.headers.get("date") ?? "");
  // The header has whole seconds; only a clock that is really another one counts.
  if (Number.isFinite(date)) clockAheadMs = Math.abs(date - Date.now()) > 3000 ? date - Date.now() : 0;
}

/** The server's time, in seconds since 1970. */
export function serverNow(): number {
  return (Date.now() + clockAheadMs) / 1000;
}

/** Put an error into words for people. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
