// The notebooks that are open on this page. They outlive their view: code goes on while another view is looked at.

import { type Cell, emptyCell, isBusy, keep, kept } from "./cells";
import { key } from "./session";
import { Cell as Shown } from "./store";

export type Notebook = Shown<readonly Cell[]>;

const KEPT_AFTER_MS = 500;

const notebooks = new Map<string, Notebook>();
const unkept = new Map<string, readonly Cell[]>();
let timer: ReturnType<typeof setTimeout> | undefined;

export function notebookOf(containerId: string): Notebook {
  const found = notebooks.get(containerId);
  if (found) return found;
  const name = `atoll.notebook.${containerId}`;
  const made: Notebook = new Shown(kept(name) ?? [emptyCell(1)]);
  made.subscribe((cells) => {
    if (notebooks.get(containerId) !== made) return;
    unkept.set(name, cells);
    timer ??= setTimeout(keepAll, KEPT_AFTER_MS);
  });
  notebooks.set(containerId, made);
  return made;
}

/** Images and all are written each time, so not at each key. */
function keepAll(): void {
  clearTimeout(timer);
  timer = undefined;
  for (const [name, cells] of unkept) keep(name, cells);
  unkept.clear();
}

addEventListener("pagehide", keepAll);

key.subscribe(() => {
  notebooks.clear();
  unkept.clear();
});

/** Leaving the page hangs up on what runs, which stops it: the browser asks first. */
addEventListener("beforeunload", (event) => {
  if ([...notebooks.values()].some((notebook) => notebook.get().some(isBusy))) event.preventDefault();
});
