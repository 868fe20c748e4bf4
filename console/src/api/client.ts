// Requests to the server that this page came from, with the person's key.

import { lost } from "../connection";
import { type Done, note } from "../journal";
import { key, signOut } from "../session";
import type { Page } from "./shapes";

const PAGE_SIZE_MAX = 100;
const STOPPING = "server_stopping";
/** What proxies answer when the server behind them does not. */
const ABSENT = new Set([502, 503, 504]);

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

/** Send a request and read the whole answer; an answer that breaks off is none. Throws as `send` does. */
export async function ask<T>(method: string, path: string, asking: Asking = {}): Promise<T> {
  const answer = await send(method, path, asking);
  let text: string;
  try {
    text = await answer.text();
  } catch (error) {
    if (asking.signal?.aborted) throw error;
    lost();
    throw new AwayError();
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new RefusedError(answer.status, "What answered is no Atoll server: its answer is not JSON.");
  }
}

export interface Items<T> {
  items: T[];
  /** There are more than were asked for. */
  isCut: boolean;
}

/** Give the items of a list, the newest first, page after page, but no more than `most`. */
export async function all<T extends { id: string }>(path: string, most: number): Promise<Items<T>> {
  const items: T[] = [];
  let after = "";
  for (;;) {
    const page = await ask<Page<T>>("GET", `${path}?limit=${PAGE_SIZE_MAX}${after}`);
    items.push(...page.data);
    if (!page.has_more || items.length >= most) return { items: items.slice(0, most), isCut: page.has_more };
    after = `&after=${page.last_id}`;
  }
}

export function authorization(): Record<string, string> {
  const secret = key.get();
  return secret === null ? {} : { Authorization: `Bearer ${secret}` };
}

/** Read a refusal as the server words it. A key that opens nothing any more ends the session; a proxy that says in the
 * server's place that nobody is there, and a server that is about to stop, are a server that is away. */
export function refusal(status: number, text: string): RefusedError | AwayError {
  let error: { message?: string; code?: string | null; param?: string | null } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // A proxy's page, say.
  }
  if (error.code === STOPPING || (ABSENT.has(status) && error.message === undefined)) {
    lost();
    return new AwayError();
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
