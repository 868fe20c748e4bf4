// The cells of a notebook as values, and how each event of a call changes one.

import type { Output, PythonEvent } from "./api/shapes";

export type CellState = "idle" | "waiting" | "running" | "completed" | "incomplete" | "failed" | "broken";

export interface Cell {
  id: number;
  code: string;
  state: CellState;
  outputs: readonly Output[];
  /** Names of the files that the call made or changed. */
  files: readonly string[];
  /** Why it is `broken`: what the server or the connection said. */
  trouble?: string;
  startedAt?: number;
  tookMs?: number;
}

const LOGS_CHARS_MAX = 400_000;

export function emptyCell(id: number, code = ""): Cell {
  return { id, code, state: "idle", outputs: [], files: [] };
}

export function started(cell: Cell): Cell {
  return { id: cell.id, code: cell.code, state: "waiting", outputs: [], files: [] };
}

export function taken(cell: Cell, event: PythonEvent, now: number): Cell {
  switch (event.type) {
    case "response.code_interpreter_call.interpreting":
      return { ...cell, state: "running", startedAt: now };
    case "response.code_interpreter_call_logs.delta":
      return { ...cell, outputs: withLogs(cell.outputs, event.delta) };
    case "response.code_interpreter_call_image.added":
      return { ...cell, outputs: [...cell.outputs, { type: "image", url: event.url }] };
    case "response.code_interpreter_call_html.added":
      return { ...cell, outputs: [...cell.outputs, { type: "html", html: event.html }] };
    case "response.output_item.done": {
      const { status, files } = event.item;
      const state = status === "incomplete" || status === "failed" ? status : "completed";
      const tookMs = now - (cell.startedAt ?? now);
      return { ...cell, state, files: files.map((file) => file.path), tookMs };
    }
    case "error":
      return broken(cell, event.message);
    default:
      return cell;
  }
}

export function broken(cell: Cell, trouble: string): Cell {
  return { ...cell, state: "broken", trouble };
}

export function isBusy({ state }: Cell): boolean {
  return state === "waiting" || state === "running";
}

/** Pieces of text belong together; of very much of it the end is kept. */
function withLogs(outputs: readonly Output[], text: string): readonly Output[] {
  const last = outputs.at(-1);
  if (last?.type !== "logs") return [...outputs, { type: "logs", logs: text }];
  const logs = (last.logs + text).slice(-LOGS_CHARS_MAX);
  return [...outputs.slice(0, -1), { type: "logs", logs }];
}

const KEPT_CHARS_MAX = 1_000_000;

/** Keep a notebook for when this tab is loaded again. */
export function keep(name: string, cells: readonly Cell[]): void {
  const settled = cells.map((cell) => (isBusy(cell) ? broken(cell, "The page was left while this ran.") : cell));
  let text = JSON.stringify(settled);
  if (text.length > KEPT_CHARS_MAX) text = JSON.stringify(settled.map(({ id, code }) => emptyCell(id, code)));
  try {
    sessionStorage.setItem(name, text);
  } catch {
    // No room: then it is not kept.
  }
}

export function kept(name: string): readonly Cell[] | null {
  const text = sessionStorage.getItem(name);
  return text === null ? null : (JSON.parse(text) as Cell[]);
}
